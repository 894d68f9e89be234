// SPDX-License-Identifier: MIT OR Apache-2.0
//! Gives ids to what compiled Services want and finds the ops between that and what the kernel holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::diff::diff;
use super::ids::IdPool;
use super::maps::{Bound, Capacity};
use super::mirror::{Mirror, ports_of};
use super::op::Op;
use super::tables::{
    AddressFlags, Backend, BackendId, BackendState, FrontendFlags, FrontendValue, KernelState, ScopeValue,
    ServiceId, SetId, SetRef,
};
use crate::compile::{Compiled, EmptyVerdict, Frontend, Member, Port, Scope};
use crate::model::{Family, FrontendKey, ServiceName, ServicePortName, Target};

/// Holds a mirror of the kernel, so that a plan costs as much as its Services, not as the cluster.
#[derive(Clone, Debug)]
pub struct Planner {
    mirror: Mirror,
    capacity: Capacity,
    services: IdPool,
    backends4: IdPool,
    backends6: IdPool,
    next_set: u32,
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
        let mut planner = Self {
            mirror: Mirror::default(),
            capacity,
            services: IdPool::new(capacity.services.highest_id),
            backends4: IdPool::new(capacity.backends4.highest_id),
            backends6: IdPool::new(capacity.backends6.highest_id),
            next_set: 1,
            node_addresses: BTreeSet::new(),
            stale_addresses: BTreeSet::new(),
        };
        planner.readopt(state);
        planner
    }

    /// Believes the kernel again, after it was not sure what arrived there. As after [`Self::adopt`], the next
    /// plan has to be [`Self::plan_everything`].
    pub fn readopt(&mut self, state: KernelState) {
        let backends = |family| {
            state
                .backends
                .keys()
                .filter(move |id| id.family == family)
                .map(|id| id.index)
                .collect()
        };
        self.services
            .adopt(&state.services.keys().map(|id| id.0).collect());
        self.backends4.adopt(&backends(Family::V4));
        self.backends6.adopt(&backends(Family::V6));
        let last_set = state.sets.last_key_value().map_or(0, |(id, _)| id.0);
        self.next_set = self.next_set.max(last_set.saturating_add(1));
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
        let mut draft = Draft::of(self, wanted);
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
        let mut draft = Draft::of(self, wanted);
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
        match op {
            Op::DeleteBackend { id } => self.backends(id.family).free(id.index),
            Op::DeleteService { id } => self.services.free(id.0),
            _ => {}
        }
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

    fn backends(&mut self, family: Family) -> &mut IdPool {
        match family {
            Family::V4 => &mut self.backends4,
            Family::V6 => &mut self.backends6,
        }
    }

    fn fresh_set(&mut self) -> SetId {
        loop {
            let id = SetId(self.next_set);
            self.next_set = self.next_set.checked_add(1).unwrap_or(1);
            if !self.mirror.state().sets.contains_key(&id) {
                return id;
            }
        }
    }
}

/// The wanted Services with ids: those they have in the kernel, else new ones.
#[derive(Default)]
struct Draft {
    after: KernelState,
    shortages: BTreeSet<Shortage>,
}

impl Draft {
    fn of(planner: &mut Planner, wanted: &BTreeMap<ServiceName, Compiled>) -> Self {
        let mut draft = Self::default();
        for (name, port) in wanted.values().flat_map(|compiled| &compiled.ports) {
            if let Err(bound) = draft.add_port(planner, name, port) {
                draft.shortages.insert(Shortage {
                    port: name.clone(),
                    bound,
                });
            }
        }
        draft
    }

    /// With too few ids for all backends, those that have one serve.
    fn add_port(&mut self, planner: &mut Planner, name: &ServicePortName, port: &Port) -> Result<(), Bound> {
        let service = match planner.mirror.id_of(name) {
            Some(id) => id,
            None => ServiceId(planner.services.take().ok_or(planner.capacity.services)?),
        };
        self.after.services.insert(service, name.clone());
        let mut ids = BTreeMap::new();
        let mut missing = Ok(());
        for (target, member) in &port.backends {
            match self.add_backend(planner, service, *target, *member) {
                Ok(id) => drop(ids.insert(*target, id)),
                Err(bound) => missing = Err(bound),
            }
        }
        let mut sets = Sets::held_by(planner, service);
        for (key, frontend) in &port.frontends {
            if port.keeps_last_endpoints && frontend.is_empty() && self.keep(planner, service, *key) {
                continue;
            }
            let value = FrontendValue {
                service,
                internal: self.add_scope(planner, &mut sets, &frontend.internal, &ids),
                external: self.add_scope(planner, &mut sets, &frontend.external, &ids),
                affinity_seconds: frontend.affinity_seconds,
                flags: FrontendFlags::default(),
            };
            self.after.frontends.insert(*key, value);
        }
        missing
    }

    fn add_backend(
        &mut self,
        planner: &mut Planner,
        service: ServiceId,
        target: Target,
        member: Member,
    ) -> Result<BackendId, Bound> {
        let family = target.family();
        let held = planner
            .mirror
            .holding(service)
            .and_then(|holding| holding.backends.get(&target))
            .copied();
        let id = match held {
            Some(id) => id,
            None => {
                let index = planner
                    .backends(family)
                    .take()
                    .ok_or(planner.capacity.backends(family))?;
                BackendId { family, index }
            }
        };
        let state = if member.in_use {
            BackendState::Alive
        } else {
            BackendState::Draining
        };
        let Target { addr, port } = target;
        self.after.backends.insert(
            id,
            Backend {
                addr,
                port,
                service,
                state,
                local: member.local,
            },
        );
        Ok(id)
    }

    fn add_scope(
        &mut self,
        planner: &mut Planner,
        sets: &mut Sets,
        scope: &Scope,
        ids: &BTreeMap<Target, BackendId>,
    ) -> ScopeValue {
        let mut members: Vec<BackendId> = scope
            .members
            .iter()
            .filter_map(|target| ids.get(target).copied())
            .collect();
        if members.is_empty() {
            let empty = if scope.members.is_empty() {
                scope.empty
            } else {
                EmptyVerdict::Drop
            };
            return ScopeValue {
                set: SetRef::EMPTY,
                empty,
            };
        }
        members.sort_unstable();
        let id = *sets
            .0
            .entry(members.clone())
            .or_insert_with(|| planner.fresh_set());
        let size = u32::try_from(members.len()).unwrap_or(u32::MAX);
        self.after.sets.insert(id, members);
        ScopeValue {
            set: SetRef { id, size },
            empty: EmptyVerdict::Drop,
        }
    }

    /// Leaves a frontend as it is in the kernel, with all it needs. False if there is nothing worth keeping.
    fn keep(&mut self, planner: &Planner, service: ServiceId, key: FrontendKey) -> bool {
        let kernel = planner.mirror.state();
        let Some(value) = kernel
            .frontends
            .get(&key)
            .filter(|value| value.service == service)
        else {
            return false;
        };
        let sets = BTreeSet::from([value.internal.set, value.external.set]);
        let mut kept = KernelState::default();
        for set in sets.into_iter().filter(|set| *set != SetRef::EMPTY) {
            let Some(members) = kernel.sets.get(&set.id) else {
                return false;
            };
            if members.len() != set.size as usize {
                return false;
            }
            for member in members {
                let Some(backend) = kernel.backends.get(member).filter(|it| it.service == service) else {
                    return false;
                };
                kept.backends.insert(
                    *member,
                    Backend {
                        state: BackendState::Alive,
                        ..*backend
                    },
                );
            }
            kept.sets.insert(set.id, members.clone());
        }
        if kept.sets.is_empty() {
            return false;
        }
        self.after.backends.append(&mut kept.backends);
        self.after.sets.append(&mut kept.sets);
        self.after.frontends.insert(key, *value);
        true
    }
}

/// The sets a ServicePort has by their members: equal ones are shared, and found again after a restart.
struct Sets(BTreeMap<Vec<BackendId>, SetId>);

impl Sets {
    fn held_by(planner: &Planner, service: ServiceId) -> Self {
        let sets = &planner.mirror.state().sets;
        let held = planner
            .mirror
            .holding(service)
            .map(|holding| &holding.sets)
            .into_iter()
            .flatten();
        let named = held.filter(|id| **id != SetRef::EMPTY.id);
        Self(
            named
                .rev()
                .filter_map(|id| Some((sets.get(id)?.clone(), *id)))
                .collect(),
        )
    }
}

impl Frontend {
    fn is_empty(&self) -> bool {
        self.internal.members.is_empty() && self.external.members.is_empty()
    }
}
