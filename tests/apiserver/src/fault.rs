// SPDX-License-Identifier: MIT OR Apache-2.0
//! Failures on demand: rules, and the requests that they apply to. Pure.

use crate::call::Verb;
use crate::resource::Resource;

/// A failure, and the requests that it applies to: all of them without verb and resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Only requests with this verb.
    pub verb: Option<Verb>,
    /// Only requests for this resource.
    pub resource: Option<Resource>,
    /// How many requests it lets pass first: the first page of a list, say.
    pub skip: u32,
    /// How many requests fail; all of them if absent.
    pub times: Option<u32>,
    /// What happens to them.
    pub fault: Fault,
}

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answer with this HTTP status and a `Status` body.
    Answer {
        /// 403, 429, 500, 503 and the like. 410 on a watch is a start that is too old.
        code: u16,
        /// `Retry-After`, in seconds.
        retry_after: Option<u32>,
    },
    /// Answer late.
    Delay {
        /// By how much.
        millis: u64,
    },
    /// Close the connection instead of answering.
    Hangup,
    /// Break off in the middle of a list's body.
    CutList,
    /// Begin a watch as usual, and send an ERROR event with code 410 at once.
    GoneEvent,
    /// Spoil the next event of a watch.
    Garble(Garble),
}

/// How an event is spoiled. It is never sent again on that connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garble {
    /// Half of its line, then the end of the connection.
    Half,
    /// A line that is no JSON in its place.
    NotJson,
    /// A line that is JSON and no watch event in its place.
    NotAnEvent,
}

impl Rule {
    /// A failure of every request.
    pub fn always(fault: Fault) -> Self {
        Self {
            verb: None,
            resource: None,
            skip: 0,
            times: None,
            fault,
        }
    }

    /// Only requests with this verb.
    #[must_use]
    pub fn on(self, verb: Verb) -> Self {
        Self {
            verb: Some(verb),
            ..self
        }
    }

    /// Only requests for this resource.
    #[must_use]
    pub fn of(self, resource: Resource) -> Self {
        Self {
            resource: Some(resource),
            ..self
        }
    }

    /// Lets `skip` requests pass first.
    #[must_use]
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    /// Only the next `times` requests that it applies to.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    fn meets(&self, verb: Verb, resource: Resource) -> bool {
        self.verb.is_none_or(|v| v == verb) && self.resource.is_none_or(|r| r == resource)
    }
}

/// The moment in a request at which a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before anything is answered.
    Arrival,
    /// When the body of a list is sent.
    ListBody,
    /// When a watch has been accepted.
    WatchStart,
    /// When an event is sent.
    WatchEvent,
}

impl Fault {
    fn moment(&self) -> Moment {
        match self {
            Self::Answer { .. } | Self::Delay { .. } | Self::Hangup => Moment::Arrival,
            Self::CutList => Moment::ListBody,
            Self::GoneEvent => Moment::WatchStart,
            Self::Garble(_) => Moment::WatchEvent,
        }
    }
}

/// The rules in force, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Faults(Vec<Rule>);

impl Faults {
    /// Adds a rule.
    pub fn add(&mut self, rule: Rule) {
        self.0.push(rule);
    }

    /// Drops all rules.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The rules in force.
    pub fn rules(&self) -> &[Rule] {
        &self.0
    }

    /// What strikes this request at this moment; uses up one time of the rule.
    pub fn strike(&mut self, moment: Moment, verb: Verb, resource: Resource) -> Option<Fault> {
        let at = self.0.iter_mut().position(|rule| {
            let met = rule.fault.moment() == moment && rule.meets(verb, resource);
            let passed = met && rule.skip > 0;
            rule.skip -= u32::from(passed);
            met && !passed
        })?;
        let rule = self.0.get_mut(at)?;
        let fault = rule.fault.clone();
        match rule.times.as_mut() {
            Some(times) if *times > 1 => *times -= 1,
            Some(_) => drop(self.0.remove(at)),
            None => {}
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Fault = Fault::Answer {
        code: 503,
        retry_after: Some(1),
    };

    #[test]
    fn a_rule_applies_only_to_the_requests_it_names() {
        let mut faults = Faults::default();
        faults.add(Rule::always(BUSY).on(Verb::List).of(Resource::Services));
        assert_eq!(
            faults.strike(Moment::Arrival, Verb::Watch, Resource::Services),
            None
        );
        assert_eq!(faults.strike(Moment::Arrival, Verb::List, Resource::Nodes), None);
        assert_eq!(
            faults.strike(Moment::ListBody, Verb::List, Resource::Services),
            None
        );
        assert_eq!(
            faults.strike(Moment::Arrival, Verb::List, Resource::Services),
            Some(BUSY)
        );
    }

    #[test]
    fn a_rule_is_spent_after_its_times() {
        let mut faults = Faults::default();
        faults.add(Rule::always(BUSY).times(2));
        let mut strike = || faults.strike(Moment::Arrival, Verb::Get, Resource::Nodes);
        assert_eq!((strike(), strike(), strike()), (Some(BUSY), Some(BUSY), None));
        assert!(faults.rules().is_empty());
    }

    #[test]
    fn a_rule_lets_some_requests_pass_first() {
        let mut faults = Faults::default();
        faults.add(Rule::always(BUSY).on(Verb::List).after(1).times(1));
        assert_eq!(faults.strike(Moment::Arrival, Verb::Get, Resource::Nodes), None);
        let mut strike = || faults.strike(Moment::Arrival, Verb::List, Resource::Nodes);
        assert_eq!((strike(), strike(), strike()), (None, Some(BUSY), None));
    }
}
