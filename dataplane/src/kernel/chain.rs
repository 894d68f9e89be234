// SPDX-License-Identifier: MIT OR Apache-2.0
//! The programs that a device has at a hook, in the order the kernel runs them: those of TCX links, then clsact's
//! filters by their priority. A program that returns a verdict ends the chain for a packet.

use std::collections::BTreeSet;
use std::io;

use dataplane_common::Hook;
use rtnetlink::packet_core::NLM_F_DUMP;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption};
use serde::Serialize;

use super::features::has_tcx;
use super::netlink::ask;
use super::pins::Pins;
use super::syscall::{link_program, program_name, tcx_programs};

/// The numbers of our filters: the second is for the time in which one takes the other's place.
pub(super) const HANDLES: [u16; 2] = [0x5348, 0x5349];

/// Where our program stands among others at a hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum End {
    /// Before all others: none of them can hide a packet from Shunt
    First,
    /// After all others, which see a flow with the addresses of its two ends; one that ends the chain hides the packet
    #[default]
    Last,
}

impl End {
    /// The priority of our filter.
    pub(super) fn priority(self) -> u16 {
        match self {
            Self::First => 1,
            Self::Last => u16::MAX,
        }
    }

    fn of<T>(self, all: &[T]) -> Option<&T> {
        match self {
            Self::First => all.first(),
            Self::Last => all.last(),
        }
    }
}

/// A filter of a device's clsact qdisc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) priority: u16,
    pub(super) handle: u32,
    pub(super) program: Option<u32>,
    name: String,
}

impl Filter {
    /// Whether it is one that we attach, of this version or an earlier one.
    pub(super) fn is_ours(&self) -> bool {
        let priorities = [End::First, End::Last].map(End::priority);
        priorities.contains(&self.priority) && HANDLES.map(u32::from).contains(&self.handle)
    }
}

/// All of a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// Programs of TCX links.
    pub(super) links: Vec<u32>,
    pub(super) filters: Vec<Filter>,
}

/// How our program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    Link,
    Filter,
}

impl Chain {
    /// Reads it; empty where the kernel does not tell.
    pub(super) fn read(ifindex: u32, hook: Hook) -> Self {
        Self {
            filters: filters(ifindex, hook).unwrap_or_default(),
            ..Self::of_links(ifindex, hook)
        }
    }

    /// The links of a device that has no filters.
    pub(super) fn of_links(ifindex: u32, hook: Hook) -> Self {
        let links = match has_tcx() {
            true => tcx_programs(ifindex, attach_type(hook)).unwrap_or_default(),
            false => Vec::new(),
        };
        Self {
            links,
            filters: Vec::new(),
        }
    }

    /// How our program can be there. Filters run after links, so that behind another's filter only a filter is last.
    pub(super) fn means(&self, end: End, tcx: bool) -> Means {
        let has_foreign = || self.filters.iter().any(|filter| !filter.is_ours());
        if !tcx || end == End::Last && has_foreign() {
            Means::Filter
        } else {
            Means::Link
        }
    }

    /// Whether one of `ours` is there, by the right means and by no other.
    pub(super) fn is_in_order(&self, end: End, tcx: bool, ours: &[u32]) -> bool {
        let own_links = || self.links.iter().filter(|id| ours.contains(id)).count();
        let is_there = |filter: &Filter| {
            filter.priority == end.priority()
                && filter.is_ours()
                && filter.program.is_none_or(|id| ours.contains(&id))
        };
        match self.means(end, tcx) {
            Means::Link => {
                end.of(&self.links).is_some_and(|id| ours.contains(id)) && self.own_filters().count() == 0
            }
            Means::Filter => {
                end.of(&self.filters).is_some_and(is_there)
                    && self.own_filters().count() == 1
                    && own_links() == 0
            }
        }
    }

    /// Our filters.
    pub(super) fn own_filters(&self) -> impl Iterator<Item = &Filter> {
        self.filters.iter().filter(|filter| filter.is_ours())
    }
}

/// Another's program at a hook of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherProgram {
    pub hook: &'static str,
    /// Before Shunt's program, or after it.
    pub before: bool,
    /// `tcx`, or `clsact` and the priority.
    pub attached_by: String,
    /// Its name, as far as the kernel tells.
    pub name: String,
}

/// The programs of others on a device, in the order they run.
pub fn other_programs(pins: &Pins, ifindex: u32) -> Vec<OtherProgram> {
    let mut others = Vec::new();
    for hook in Hook::ALL {
        let own = link_program(&pins.link(ifindex, hook)).ok();
        let chain = Chain::read(ifindex, hook);
        let mut before = true;
        for id in &chain.links {
            if own == Some(*id) {
                before = false;
                continue;
            }
            others.push(OtherProgram {
                hook: hook.as_str(),
                before,
                attached_by: "tcx".to_owned(),
                name: program_name(*id).unwrap_or_else(|| format!("program {id}")),
            });
        }
        for filter in &chain.filters {
            if filter.is_ours() {
                before = false;
                continue;
            }
            others.push(OtherProgram {
                hook: hook.as_str(),
                before,
                attached_by: format!("clsact priority {}", filter.priority),
                name: filter.name.clone(),
            });
        }
    }
    others
}

/// Of `enum bpf_attach_type` (linux/bpf.h).
fn attach_type(hook: Hook) -> u32 {
    match hook {
        Hook::Ingress => 46,
        Hook::Egress => 47,
    }
}

/// The devices that may have filters at ingress or egress: one question for all.
pub fn devices_with_filters() -> io::Result<BTreeSet<u32>> {
    let mut devices = BTreeSet::new();
    ask(
        RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default()),
        NLM_F_DUMP,
        |message| {
            if let RouteNetlinkMessage::NewQueueDiscipline(qdisc) = message {
                // `ingress` is the older qdisc, in the same place.
                let holds_filters = qdisc.attributes.iter().any(|attribute| {
                    matches!(attribute, TcAttribute::Kind(kind) if kind == "clsact" || kind == "ingress")
                });
                if holds_filters {
                    devices.insert(qdisc.header.index.cast_unsigned());
                }
            }
        },
    )?;
    Ok(devices)
}

/// The filters of a device's clsact qdisc; none if it has no such qdisc.
fn filters(ifindex: u32, hook: Hook) -> io::Result<Vec<Filter>> {
    let minor = match hook {
        Hook::Ingress => TcHandle::MIN_INGRESS,
        Hook::Egress => TcHandle::MIN_EGRESS,
    };
    let mut question = TcMessage::with_index(ifindex.cast_signed());
    question.header.parent = TcHandle {
        major: TcHandle::CLSACT.major,
        minor,
    };
    let mut filters = Vec::new();
    ask(
        RouteNetlinkMessage::GetTrafficFilter(question),
        NLM_F_DUMP,
        |message| {
            if let RouteNetlinkMessage::NewTrafficFilter(filter) = message {
                filters.extend(read_filter(&filter));
            }
        },
    )?;
    Ok(filters)
}

/// A filter; a message without a handle is of a priority as a whole.
fn read_filter(message: &TcMessage) -> Option<Filter> {
    let handle = u32::from(message.header.handle.major) << 16 | u32::from(message.header.handle.minor);
    let (mut program, mut name) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            TcAttribute::Kind(kind) if name.is_none() => name = Some(kind.clone()),
            TcAttribute::Options(options) => {
                for option in options {
                    match option {
                        TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => program = Some(*id),
                        TcOption::Bpf(TcFilterBpfOption::ProgName(text)) => name = Some(text.clone()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    (handle != 0).then(|| Filter {
        // The protocol is in the lower half.
        priority: (message.header.info >> 16) as u16,
        handle,
        program,
        name: name.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [u32; 1] = [7];

    fn filter(priority: u16, handle: u32) -> Filter {
        Filter {
            priority,
            handle,
            program: handle_is_ours(handle).then_some(7),
            name: String::new(),
        }
    }

    fn handle_is_ours(handle: u32) -> bool {
        HANDLES.map(u32::from).contains(&handle)
    }

    fn chain(links: &[u32], filters: &[Filter]) -> Chain {
        Chain {
            links: links.to_vec(),
            filters: filters.to_vec(),
        }
    }

    #[test]
    fn a_link_is_at_its_end() {
        let order = |links: &[u32]| {
            [End::First, End::Last].map(|end| chain(links, &[]).is_in_order(end, true, &OURS))
        };
        assert_eq!(order(&[7]), [true, true]);
        assert_eq!(order(&[7, 9]), [true, false]);
        assert_eq!(order(&[9, 7]), [false, true]);
        assert_eq!(order(&[]), [false, false]);
    }

    #[test]
    fn behind_a_filter_only_a_filter_is_last() {
        let foreign = filter(1, 1);
        let own = filter(u16::MAX, 0x5348);
        let link = chain(&[7], std::slice::from_ref(&foreign));
        assert_eq!(link.means(End::First, true), Means::Link);
        assert!(link.is_in_order(End::First, true, &OURS));
        assert_eq!(link.means(End::Last, true), Means::Filter);
        assert!(!link.is_in_order(End::Last, true, &OURS));
        let last =
            |links: &[u32], filters: &[Filter]| chain(links, filters).is_in_order(End::Last, true, &OURS);
        assert!(last(&[], &[foreign.clone(), own.clone()]));
        assert!(!last(&[7], &[foreign, own.clone()]), "once is enough");
        assert!(!last(&[7], &[own]), "the filter it followed is gone");
    }

    #[test]
    fn without_links_a_filter_is_the_first_of_priority_one_or_the_last_of_all() {
        let order = |end, filters: &[Filter]| chain(&[], filters).is_in_order(end, false, &OURS);
        assert!(order(End::First, &[filter(1, 0x5348), filter(1, 1)]));
        assert!(order(End::First, &[filter(1, 0x5349), filter(1, 1)]));
        assert!(!order(End::First, &[filter(1, 1), filter(1, 0x5348)]));
        assert!(order(End::Last, &[filter(1, 1), filter(u16::MAX, 0x5348)]));
        assert!(
            !order(End::Last, &[filter(1, 0x5348), filter(49_152, 1)]),
            "as earlier versions had it"
        );
    }
}
