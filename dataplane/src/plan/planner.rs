// SPDX-License-Identifier: MIT OR Apache-2.0
//! Gives ids to what compiled Services want and finds the ops between that and what the kernel holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::diff::diff;
use super::draft::Draft;
use super::ids::Ids;
use super::maps::{Bound, Capacity};
use super::mirror::{Mirror, ports_of};
use super::op::Op;
use super::tables::{AddressFlags, KernelState};
use crate::compile::Compiled;
use crate::model::{FrontendKey, ServiceName, ServicePortName};

/// Holds a mirror of the kernel, so that a plan costs as much as its Services, not as the cluster.
#[derive(Clone, Debug)]
pub struct Planner {
    mirror: Mirror,
    ids: Ids,
    node_addresses: BTreeSet<IpAddr>,
    /// Their flags may have to change though no frontend does.
    stale_addresses: BTreeSet<IpAddr>,
}

/// What to do, in order, and what cannot be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub ops: Vec<Op>,
    pub shortages: BTreeSet<Shortage>,
}

/// A ServicePort that could not get all the ids it needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shortage {
    pub port: ServicePortName,
    pub bound: Bound,
}

impl Planner {
    /// Takes over what the kernel holds. The first plan has to be [`Self::plan_everything`].
    pub fn adopt(state: KernelState, capacity: Capacity) -> Self {
        let mut ids = Ids::new(capacity);
        ids.adopt(&state);
        Self {
            mirror: Mirror::of(state),
            ids,
            node_addresses: BTreeSet::new(),
            stale_addresses: BTreeSet::new(),
        }
    }

    /// Believes the kernel again, after it was not sure what arrived there. As after [`Self::adopt`], the next
    /// plan has to be [`Self::plan_everything`].
    pub fn readopt(&mut self, state: KernelState) {
        self.ids.adopt(&state);
        self.mirror = Mirror::of(state);
    }

    pub fn node_addresses(&self) -> &BTreeSet<IpAddr> {
        &self.node_addresses
    }

    pub fn set_node_addresses(&mut self, addresses: BTreeSet<IpAddr>) {
        self.stale_addresses
            .extend(self.node_addresses.symmetric_difference(&addresses));
        self.node_addresses = addresses;
    }

    /// The ops that bring these Services in step and leave all others alone.
    pub fn plan(&mut self, wanted: &BTreeMap<ServiceName, Compiled>) -> Plan {
        let mut before = KernelState::default();
        for service in wanted.keys() {
            self.mirror.copy_service(service, &mut before);
        }
        let mut draft = Draft::of(&self.mirror, &mut self.ids, wanted);
        let kept = |key: &FrontendKey| !before.frontends.contains_key(key);
        let mut touched = std::mem::take(&mut self.stale_addresses);
        touched.extend(
            before
                .frontends
                .keys()
                .chain(draft.after.frontends.keys())
                .map(|key| key.addr),
        );
        for addr in touched {
            let vip = draft.after.frontends.range(ports_of(addr)).next().is_some()
                || self
                    .mirror
                    .state()
                    .frontends
                    .range(ports_of(addr))
                    .any(|(key, _)| kept(key));
            self.want_address(addr, vip, &mut draft.after);
            if let Some(flags) = self.mirror.state().addresses.get(&addr) {
                before.addresses.insert(addr, *flags);
            }
        }
        Plan {
            ops: diff(&draft.after, &before),
            shortages: draft.shortages,
        }
    }

    /// The ops that bring the whole kernel in step: it shall hold these Services and nothing else.
    pub fn plan_everything(&mut self, wanted: &BTreeMap<ServiceName, Compiled>) -> Plan {
        let mut draft = Draft::of(&self.mirror, &mut self.ids, wanted);
        self.stale_addresses.clear();
        for addr in &self.node_addresses {
            self.want_address(*addr, false, &mut draft.after);
        }
        let vips: BTreeSet<IpAddr> = draft.after.frontends.keys().map(|key| key.addr).collect();
        for addr in vips {
            self.want_address(addr, true, &mut draft.after);
        }
        Plan {
            ops: diff(&draft.after, self.mirror.state()),
            shortages: draft.shortages,
        }
    }

    /// Whether the kernel's tables hold together after `op`. Every op of a plan passes, unless one before it
    /// failed that it depends on; then it has to wait for the next plan.
    pub fn admits(&self, op: &Op) -> bool {
        self.mirror.admits(op)
    }

    /// The kernel took `op`.
    pub fn applied(&mut self, op: &Op) {
        self.mirror.record(op);
        self.ids.applied(op);
    }

    /// What the kernel holds, as far as the ops reported to [`Self::applied`] tell.
    pub fn kernel(&self) -> &KernelState {
        self.mirror.state()
    }

    fn want_address(&self, addr: IpAddr, vip: bool, after: &mut KernelState) {
        let flags = AddressFlags {
            vip,
            node: self.node_addresses.contains(&addr),
        };
        if !flags.is_empty() {
            after.addresses.insert(addr, flags);
        }
    }
}
