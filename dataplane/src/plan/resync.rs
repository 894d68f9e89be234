// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plans everything, some Services at a time, so that the compiled form of a large cluster is never in memory at once.
//!
//! The parts only put. Entries that are no longer used, and entries that belong to no Service, are removed at the end.
//! So a frontend that moved to another Service is overwritten and never missing, whichever Service comes first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::cache::KernelCache;
use super::desired::Desired;
use super::diff::{diff, puts};
use super::id::{ServiceId, SetId};
use super::planner::{Plan, Planner};
use super::state::KernelState;
use crate::compile::Compiled;
use crate::model::{FrontendKind, ServiceName};

/// The progress of a resync.
#[derive(Debug, Default)]
pub struct Resync {
    /// Service ports that are desired.
    claimed: BTreeSet<ServiceId>,
    /// Entries of these that are no longer desired.
    stale: KernelState,
}

impl Resync {
    /// The ops that give these Services all they want. To be carried out before the next part is planned.
    pub fn part(&mut self, planner: &mut Planner, wanted: &BTreeMap<ServiceName, Compiled>) -> Plan {
        let mut before = KernelState::default();
        for service in wanted.keys() {
            planner.cache.copy_service(service, &mut before);
        }
        let mut desired = Desired::of(&planner.cache, &mut planner.ids, wanted);
        for id in desired.state.services.keys() {
            // A new one may be the id of something nameless.
            planner.cache.copy_holding(*id, &mut before);
            self.claimed.insert(*id);
        }
        self.set_aside(before, &desired.state);
        desired.state.networks.clone_from(&planner.node_network.networks);
        Plan {
            ops: puts(&desired.state, planner.cache.state()),
            shortages: desired.shortages,
        }
    }

    /// When all Services have had their part: the ops that put the addresses and remove everything else.
    pub fn rest(mut self, planner: &mut Planner) -> Plan {
        planner.stale_addresses.clear();
        self.add_unclaimed(&planner.cache);
        let state = planner.cache.state();
        // Another Service may own it by now.
        self.stale
            .frontends
            .retain(|key, value| state.frontends.get(key) == Some(value));
        let mut kinds: BTreeMap<IpAddr, BTreeSet<FrontendKind>> = BTreeMap::new();
        for addr in planner.node_network.addresses.keys() {
            kinds.entry(*addr).or_default();
        }
        for (key, value) in &state.frontends {
            if !self.stale.frontends.contains_key(key) {
                kinds.entry(key.addr).or_default().insert(value.kind);
            }
        }
        let mut after = KernelState::default();
        for (addr, kinds) in kinds {
            planner.want_address(addr, &kinds, &mut after);
        }
        after.networks.clone_from(&planner.node_network.networks);
        let mut before = self.stale;
        before.addresses.clone_from(&state.addresses);
        before.networks.clone_from(&state.networks);
        Plan {
            ops: diff(&after, &before),
            shortages: BTreeSet::new(),
        }
    }

    fn set_aside(&mut self, mut before: KernelState, after: &KernelState) {
        before.services.retain(|id, _| !after.services.contains_key(id));
        before.sets.retain(|id, _| !after.sets.contains_key(id));
        before
            .frontends
            .retain(|key, _| !after.frontends.contains_key(key));
        for (service, ranges) in &mut before.ranges {
            let wanted = after.ranges.get(service);
            ranges.retain(|range| wanted.is_none_or(|wanted| !wanted.contains(range)));
        }
        self.stale.services.append(&mut before.services);
        let backends = before.backends.iter();
        let backends = backends.filter(|(id, _)| !after.backends.contains_key(id));
        self.stale.backends.extend(backends.map(|(id, it)| (id, *it)));
        self.stale.sets.append(&mut before.sets);
        self.stale.frontends.append(&mut before.frontends);
        self.stale.ranges.append(&mut before.ranges);
    }

    /// Adds entries that belong to no desired Service port.
    fn add_unclaimed(&mut self, cache: &KernelCache) {
        let (Self { claimed, stale }, state) = (self, cache.state());
        let of_none = |service: &ServiceId| !claimed.contains(service);
        let services = state.services.iter().filter(|(id, _)| of_none(id));
        stale
            .services
            .extend(services.map(|(id, name)| (*id, name.clone())));
        let backends = state.backends.iter().filter(|(_, it)| of_none(&it.service));
        stale.backends.extend(backends.map(|(id, it)| (id, *it)));
        // Not by its members' present owner: a set that named unused ids belongs to no Service, whoever gets those ids.
        let held: BTreeSet<&SetId> = claimed
            .iter()
            .filter_map(|service| cache.holding(*service))
            .flat_map(|holding| &holding.sets)
            .collect();
        let sets = state.sets.iter().filter(|(id, _)| !held.contains(id));
        stale
            .sets
            .extend(sets.map(|(id, members)| (*id, members.clone())));
        let frontends = state.frontends.iter().filter(|(_, it)| of_none(&it.service));
        stale.frontends.extend(frontends.map(|(key, it)| (*key, *it)));
        let ranges = state.ranges.iter().filter(|(service, _)| of_none(service));
        stale
            .ranges
            .extend(ranges.map(|(service, ranges)| (*service, ranges.clone())));
    }
}
