// SPDX-License-Identifier: MIT OR Apache-2.0
//! The endpoints for a Service port's clients, in one family.

use std::collections::{BTreeMap, BTreeSet};

use dataplane_common::EmptyVerdict;

use crate::model::{Conditions, Endpoint, Family, Hints, Node, NodeHint, ServicePort, Slice, Target};

/// Endpoints by address and port, each believed once.
pub(super) type Endpoints<'a> = BTreeMap<Target, Report<'a>>;

/// Greater is more credible, see [`Conditions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Report<'a> {
    pub(super) conditions: Conditions,
    pub(super) hints: &'a Hints,
}

/// Merges the slices' endpoints for a port: slices may give one port name different target ports, and one
/// endpoint may appear in several slices while it moves from one to the other.
pub(super) fn gather<'a>(
    slices: impl Iterator<Item = &'a Slice>,
    family: Family,
    port: &ServicePort,
) -> Endpoints<'a> {
    let mut endpoints = Endpoints::new();
    for slice in slices.filter(|slice| slice.family == family) {
        let named = |it: &&_| {
            let crate::model::SlicePort { name, protocol, .. } = it;
            *name == port.name && *protocol == port.protocol
        };
        for slice_port in slice.ports.iter().filter(named) {
            for Endpoint {
                addr,
                conditions,
                hints,
            } in &slice.endpoints
            {
                let report = Report {
                    conditions: *conditions,
                    hints,
                };
                endpoints
                    .entry(Target {
                        addr: *addr,
                        port: slice_port.port,
                    })
                    .and_modify(|known| *known = report.max(*known))
                    .or_insert(report);
            }
        }
    }
    endpoints.retain(|_, report| report.conditions.is_usable());
    endpoints
}

/// The two choices there are, as kube-proxy's `CategorizeEndpoints` has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Categorized {
    /// For clients that may go anywhere: ready endpoints, near ones only if the hints allow; if none is ready
    /// anywhere, those that are terminating and still serve (KEP-1669), near or not.
    pub(super) cluster: BTreeSet<Target>,
    /// For clients that must stay on this node: its ready endpoints; if there are none, those terminating and
    /// still serving. Hints have no say.
    pub(super) local: BTreeSet<Target>,
    /// For clients whose choice is empty: rejected if no endpoint serves anywhere.
    pub(super) empty: EmptyVerdict,
}

pub(super) fn categorize(endpoints: &Endpoints<'_>, node: &Node) -> Categorized {
    let near = Nearness::of(endpoints, node);
    let pick = |wanted: &dyn Fn(&Report<'_>) -> bool| -> BTreeSet<Target> {
        endpoints
            .iter()
            .filter(|(_, report)| wanted(report))
            .map(|(target, _)| *target)
            .collect()
    };
    let ready = |it: &Report<'_>| it.conditions.ready;
    let leaving = |it: &Report<'_>| it.conditions.is_serving_terminating();
    let local = |it: &Report<'_>| it.conditions.local;
    let or_else = |first: BTreeSet<Target>, second: &dyn Fn(&Report<'_>) -> bool| {
        if first.is_empty() { pick(second) } else { first }
    };
    Categorized {
        cluster: or_else(pick(&|it| ready(it) && near.admits(it.hints, node)), &leaving),
        local: or_else(pick(&|it| ready(it) && local(it)), &|it| leaving(it) && local(it)),
        empty: if endpoints.is_empty() {
            EmptyVerdict::Reject
        } else {
            EmptyVerdict::Drop
        },
    }
}

/// How close an endpoint must be. Hints count only if every ready endpoint has them and one of them means this
/// node: otherwise some clients would find no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nearness {
    SameNode,
    SameZone,
    Anywhere,
}

impl Nearness {
    fn of(endpoints: &Endpoints<'_>, node: &Node) -> Self {
        let ready = || {
            endpoints
                .values()
                .filter(|report| report.conditions.ready)
                .map(|report| report.hints)
        };
        let decides = |hinted: fn(&Hints) -> bool, nearness: Self| {
            ready().all(hinted) && ready().any(|hints| nearness.admits(hints, node))
        };
        if decides(|hints| hints.node != NodeHint::None, Self::SameNode) {
            Self::SameNode
        } else if decides(|hints| !hints.zones.is_empty(), Self::SameZone) {
            Self::SameZone
        } else {
            Self::Anywhere
        }
    }

    fn admits(self, hints: &Hints, node: &Node) -> bool {
        match self {
            Self::SameNode => hints.node == NodeHint::Here,
            Self::SameZone => node.zone.as_ref().is_some_and(|zone| hints.zones.contains(zone)),
            Self::Anywhere => true,
        }
    }
}
