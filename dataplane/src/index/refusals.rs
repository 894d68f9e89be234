// SPDX-License-Identifier: MIT OR Apache-2.0
//! Refused objects, or parts of objects, with the reasons.

use std::collections::BTreeMap;

use crate::model::{ObjectRef, Reason, Refusal};

/// The stage that refused an object. Each stage replaces only its own reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Parse,
    Compile,
}

#[derive(Clone, Debug, Default)]
pub struct Refusals {
    reasons: BTreeMap<(ObjectRef, Stage), Vec<Reason>>,
    news: Vec<News>,
}

/// For the log: each refusal is reported once when it appears and once when it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Refused(Refusal),
    Withdrawn(Refusal),
}

impl Refusals {
    /// All reasons that stand.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectRef, &Reason)> {
        self.reasons
            .iter()
            .flat_map(|((object, _), reasons)| reasons.iter().map(move |it| (object, it)))
    }

    pub fn len(&self) -> usize {
        self.reasons.values().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.reasons.is_empty()
    }

    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    pub(super) fn set(&mut self, object: ObjectRef, stage: Stage, reasons: Vec<Reason>) {
        let key = (object, stage);
        let old = self.reasons.remove(&key).unwrap_or_default();
        let refusal = |reason: &Reason| Refusal {
            object: key.0.clone(),
            reason: reason.clone(),
        };
        let gone = old.iter().filter(|it| !reasons.contains(it));
        self.news
            .extend(gone.map(|reason| News::Withdrawn(refusal(reason))));
        let new = reasons.iter().filter(|it| !old.contains(it));
        self.news.extend(new.map(|reason| News::Refused(refusal(reason))));
        if !reasons.is_empty() {
            self.reasons.insert(key, reasons);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, NamespacedName};

    #[test]
    fn a_reason_is_reported_once_when_it_appears_and_once_when_it_is_gone() {
        let object = ObjectRef::new(Kind::Service, &NamespacedName::new("default", "web"));
        let reason = Reason::Unreadable("odd".into());
        let refusal = Refusal {
            object: object.clone(),
            reason: reason.clone(),
        };
        let mut refusals = Refusals::default();
        refusals.set(object.clone(), Stage::Parse, vec![reason.clone()]);
        refusals.set(object.clone(), Stage::Parse, vec![reason]);
        refusals.set(object.clone(), Stage::Compile, vec![]);
        assert_eq!(refusals.take_news(), [News::Refused(refusal.clone())]);
        assert_eq!(refusals.len(), 1);
        refusals.set(object, Stage::Parse, vec![]);
        assert_eq!(refusals.take_news(), [News::Withdrawn(refusal)]);
        assert!(refusals.is_empty());
    }
}
