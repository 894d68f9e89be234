// SPDX-License-Identifier: MIT OR Apache-2.0
//! Assigns ids to compiled Services, and finds the ops between the desired and the actual state.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::cache::{KernelCache, ports_of};
use super::desired::Desired;
use super::diff::diff;
use super::id_pool::Ids;
use super::maps::{Capacity, Shortage};
use super::op::Op;
use super::state::{AddressFlags, KernelState};
use crate::compile::Compiled;
use crate::model::{FrontendKey, FrontendKind, NodeNetwork, ServiceName};

/// Holds a cache of the kernel, so that a plan costs as much as its Services, not as the cluster.
#[derive(Clone, Debug)]
pub struct Planner {
    pub(super) cache: KernelCache,
    pub(super) ids: Ids,
    pub(super) node_network: NodeNetwork,
    /// Their flags may have to change though no frontend does.
    pub(super) stale_addresses: BTreeSet<IpAddr>,
}

/// The ops in order, and the Service ports for which ids ran out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub ops: Vec<Op>,
    pub shortages: BTreeSet<Shortage>,
}

impl Plan {
    /// The ops in order, and together those of which none rests on another: neighbouring puts of backends. Whether
    /// one of the others is still admitted depends on the one before it.
    pub fn runs(&self) -> impl Iterator<Item = &[Op]> {
        let is_backend = |op: &Op| matches!(op, Op::PutBackend { .. });
        self.ops.chunk_by(move |a, b| is_backend(a) && is_backend(b))
    }
}

impl Planner {
    /// Takes over what the kernel holds. The first plans have to be those of a [`Resync`](super::Resync).
    pub fn adopt(state: KernelState, capacity: Capacity) -> Self {
        let mut ids = Ids::new(capacity);
        ids.adopt(&state);
        Self {
            cache: KernelCache::of(state),
            ids,
            node_network: NodeNetwork::default(),
            stale_addresses: BTreeSet::new(),
        }
    }

    /// Believes the kernel again, after it was not sure what arrived there. As after [`Self::adopt`], the next
    /// plans have to be those of a [`Resync`](super::Resync).
    pub fn readopt(&mut self, state: KernelState) {
        self.ids.adopt(&state);
        self.cache = KernelCache::of(state);
    }

    pub fn set_node_network(&mut self, node_network: NodeNetwork) {
        if self.node_network == node_network {
            return;
        }
        let (old, new) = (&self.node_network.addresses, &node_network.addresses);
        let differs = |addr: &&IpAddr| old.get(addr) != new.get(addr);
        self.stale_addresses
            .extend(old.keys().chain(new.keys()).filter(differs));
        self.node_network = node_network;
    }

    /// The ops that bring these Services in step and leave all others alone.
    pub fn plan(&mut self, wanted: &BTreeMap<ServiceName, Compiled>) -> Plan {
        let mut before = KernelState::default();
        for service in wanted.keys() {
            self.cache.copy_service(service, &mut before);
        }
        let mut desired = Desired::of(&self.cache, &mut self.ids, wanted);
        let kept = |key: &FrontendKey| !before.frontends.contains_key(key);
        let mut touched = std::mem::take(&mut self.stale_addresses);
        touched.extend(
            before
                .frontends
                .keys()
                .chain(desired.state.frontends.keys())
                .map(|key| key.addr),
        );
        for addr in touched {
            let at = || ports_of(addr);
            let ours = desired.state.frontends.range(at());
            let others = self
                .cache
                .state()
                .frontends
                .range(at())
                .filter(|(key, _)| kept(key));
            let kinds: BTreeSet<FrontendKind> = ours.chain(others).map(|(_, value)| value.kind).collect();
            self.want_address(addr, &kinds, &mut desired.state);
            if let Some(flags) = self.cache.state().addresses.get(&addr) {
                before.addresses.insert(addr, *flags);
            }
        }
        desired.state.networks.clone_from(&self.node_network.networks);
        before.networks.clone_from(&self.cache.state().networks);
        Plan {
            ops: diff(&desired.state, &before),
            shortages: desired.shortages,
        }
    }

    /// Whether every reference in the kernel's maps holds after `op`. Every op of a plan passes, unless one before it
    /// failed that it depends on; then it has to wait for the next plan.
    pub fn admits(&self, op: &Op) -> bool {
        self.cache.admits(op)
    }

    /// The kernel took `op`.
    pub fn applied(&mut self, op: &Op) {
        self.cache.record(op);
        self.ids.applied(op);
    }

    /// Takes as little memory as it can: for after everything was planned.
    pub fn pack(&mut self) {
        self.cache.pack();
    }

    /// The kernel's contents, according to the ops reported to [`Self::applied`].
    pub fn kernel(&self) -> &KernelState {
        self.cache.state()
    }

    /// With frontends of these kinds.
    pub(super) fn want_address(&self, addr: IpAddr, kinds: &BTreeSet<FrontendKind>, after: &mut KernelState) {
        // A NodePort's frontend is at no address of its own.
        if addr.is_unspecified() {
            return;
        }
        let own = self.node_network.addresses.get(&addr);
        let flags = AddressFlags {
            vip: !kinds.is_empty(),
            cluster_ip: kinds.contains(&FrontendKind::ClusterIp),
            node: own.is_some(),
            node_ports: own.is_some_and(|own| own.serves_node_ports),
        };
        if !flags.is_empty() {
            after.addresses.insert(addr, flags);
        }
    }
}
