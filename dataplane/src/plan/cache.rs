// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cache of the kernel's maps by Service, and the rule that no entry may refer to a missing one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::backend_map::BackendMap;
use super::id::{BackendId, ServiceId, SetId};
use super::op::Op;
use super::state::{Backend, FrontendValue, KernelState, SetRef};
use crate::model::{FrontendKey, Protocol, ServiceName, ServicePortName, Target, pack};

/// Everything in the kernel's maps, invalid entries included.
#[derive(Clone, Debug, Default)]
pub(super) struct KernelCache {
    state: KernelState,
    ids: BTreeMap<ServicePortName, ServiceId>,
    holdings: BTreeMap<ServiceId, Holding>,
    /// How many scopes of frontends name the set, if any does.
    set_users: BTreeMap<SetId, u32>,
    /// How many sets name the backend, if any does.
    backend_users: BackendMap<u32>,
}

/// The entries of one Service port, in ascending order. There is one of these for each: as trees they would take twice
/// the memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Holding {
    backends: Vec<BackendId>,
    pub(super) sets: Vec<SetId>,
    frontends: Vec<FrontendKey>,
}

impl KernelCache {
    pub(super) fn of(state: KernelState) -> Self {
        let mut cache = Self::default();
        for (id, name) in &state.services {
            cache.file_service(*id, name);
        }
        for (id, backend) in state.backends.iter() {
            cache.file_backend(id, backend);
        }
        for (id, members) in &state.sets {
            cache.file_set(*id, members, &state.backends);
        }
        for (key, value) in &state.frontends {
            cache.file_frontend(*key, value);
        }
        cache.state = state;
        cache
    }

    pub(super) fn state(&self) -> &KernelState {
        &self.state
    }

    /// Takes as little memory as it can.
    pub(super) fn pack(&mut self) {
        let KernelState {
            services,
            backends: _,
            sets,
            frontends,
            addresses,
            ranges,
            networks: _,
        } = &mut self.state;
        pack(services);
        pack(sets);
        pack(frontends);
        pack(addresses);
        pack(ranges);
        pack(&mut self.ids);
        pack(&mut self.holdings);
        pack(&mut self.set_users);
    }

    pub(super) fn id_of(&self, name: &ServicePortName) -> Option<ServiceId> {
        self.ids.get(name).copied()
    }

    pub(super) fn holding(&self, id: ServiceId) -> Option<&Holding> {
        self.holdings.get(&id)
    }

    /// The backends of a ServicePort by where they are; of two with one address the lower id counts.
    pub(super) fn backends_of(&self, id: ServiceId) -> BTreeMap<Target, BackendId> {
        let held = self.holdings.get(&id).into_iter().flat_map(|it| &it.backends);
        let targets = held
            .rev()
            .filter_map(|id| Some((self.state.backends.get(id)?.target(), *id)));
        targets.collect()
    }

    /// The entries of all ports of a Service, copied to `into`.
    pub(super) fn copy_service(&self, service: &ServiceName, into: &mut KernelState) {
        let first = ServicePortName {
            service: service.clone(),
            port: "".into(),
            protocol: Protocol::Tcp,
        };
        for (name, id) in self
            .ids
            .range(first..)
            .take_while(|(name, _)| name.service == *service)
        {
            into.services.insert(*id, name.clone());
            self.copy_holding(*id, into);
        }
    }

    /// The entries of one ServicePort but its name, copied to `into`; of one without a name, too.
    pub(super) fn copy_holding(&self, id: ServiceId, into: &mut KernelState) {
        let state = &self.state;
        if let Some(ranges) = state.ranges.get(&id) {
            into.ranges.insert(id, ranges.clone());
        }
        let Some(holding) = self.holdings.get(&id) else {
            return;
        };
        into.backends.extend(
            holding
                .backends
                .iter()
                .filter_map(|id| Some((*id, *state.backends.get(id)?))),
        );
        into.sets.extend(
            holding
                .sets
                .iter()
                .filter_map(|id| Some((*id, state.sets.get(id)?.clone()))),
        );
        into.frontends.extend(
            holding
                .frontends
                .iter()
                .filter_map(|key| Some((*key, *state.frontends.get(key)?))),
        );
    }

    /// Whether every reference in the maps still holds after `op`. A batch in order always passes; after a failure in
    /// its middle, what depends on the failed op does not.
    pub(super) fn admits(&self, op: &Op) -> bool {
        match op {
            Op::PutService { .. }
            | Op::PutAddress { .. }
            | Op::PutNetworks { .. }
            | Op::DeleteFrontend { .. } => true,
            Op::PutRange { service, .. } => self.state.services.contains_key(service),
            Op::PutBackend { backend, .. } => self.state.services.contains_key(&backend.service),
            Op::PutSet { members, .. } => members.iter().all(|id| self.state.backends.contains_key(id)),
            Op::PutFrontend { value, .. } => {
                self.state.services.contains_key(&value.service)
                    && self.has_set(value.internal.set)
                    && self.has_set(value.external.set)
            }
            Op::DeleteAddress { addr } => !self.is_vip(*addr),
            Op::DeleteSet { id, .. } => !self.set_users.contains_key(id),
            Op::DeleteBackend { id } => !self.backend_users.contains_key(id),
            Op::DeleteRange { service, .. } => {
                let left = self.state.ranges.get(service).map_or(0, BTreeSet::len);
                left > 1 || !self.is_restricted(*service)
            }
            Op::DeleteService { id } => {
                self.holdings.get(id).is_none_or(Holding::is_empty) && !self.state.ranges.contains_key(id)
            }
        }
    }

    /// The kernel took `op`.
    pub(super) fn record(&mut self, op: &Op) {
        match op {
            Op::PutService { id, name } => {
                self.unfile_service(*id);
                self.file_service(*id, name);
            }
            Op::PutBackend { id, backend } => {
                self.unfile_backend(*id);
                self.file_backend(*id, backend);
            }
            Op::PutSet { id, members } => {
                self.unfile_set(*id);
                let backends = std::mem::take(&mut self.state.backends);
                self.file_set(*id, members, &backends);
                self.state.backends = backends;
            }
            Op::PutFrontend { key, value } => {
                self.unfile_frontend(*key);
                self.file_frontend(*key, value);
            }
            Op::DeleteFrontend { key } => self.unfile_frontend(*key),
            Op::DeleteSet { id, .. } => self.unfile_set(*id),
            Op::DeleteBackend { id } => self.unfile_backend(*id),
            Op::DeleteService { id } => self.unfile_service(*id),
            Op::PutAddress { .. }
            | Op::DeleteAddress { .. }
            | Op::PutNetworks { .. }
            | Op::PutRange { .. }
            | Op::DeleteRange { .. } => {}
        }
        self.state.apply(op);
    }

    fn has_set(&self, set: SetRef) -> bool {
        set == SetRef::EMPTY
            || self
                .state
                .sets
                .get(&set.id)
                .is_some_and(|members| members.len() == set.size as usize)
    }

    fn is_vip(&self, addr: IpAddr) -> bool {
        !addr.is_unspecified() && self.state.frontends.range(ports_of(addr)).next().is_some()
    }

    /// Whether a frontend lets in only clients in this Service's ranges.
    fn is_restricted(&self, service: ServiceId) -> bool {
        let Some(holding) = self.holdings.get(&service) else {
            return false;
        };
        let mut values = holding
            .frontends
            .iter()
            .filter_map(|key| self.state.frontends.get(key));
        values.any(|value| value.is_restricted)
    }

    /// Of two ids with one name the lower one counts; the other is an entry that is not desired.
    fn file_service(&mut self, id: ServiceId, name: &ServicePortName) {
        self.ids.entry(name.clone()).or_insert(id);
        self.holdings.entry(id).or_default();
    }

    fn file_backend(&mut self, id: BackendId, backend: &Backend) {
        insert(
            &mut self.holdings.entry(backend.service).or_default().backends,
            id,
        );
    }

    /// A set belongs to the Service of its backends.
    fn file_set(&mut self, id: SetId, members: &[BackendId], backends: &BackendMap<Backend>) {
        for member in members {
            *self.backend_users.or_default(member) += 1;
        }
        if let Some(owner) = members.iter().find_map(|member| backends.get(member)) {
            insert(&mut self.holdings.entry(owner.service).or_default().sets, id);
        }
    }

    fn file_frontend(&mut self, key: FrontendKey, value: &FrontendValue) {
        insert(
            &mut self.holdings.entry(value.service).or_default().frontends,
            key,
        );
        for id in sets_of(value) {
            *self.set_users.entry(id).or_default() += 1;
        }
    }

    fn unfile_service(&mut self, id: ServiceId) {
        if let Some(name) = self.state.services.get(&id)
            && self.ids.get(name) == Some(&id)
        {
            self.ids.remove(name);
        }
        if self.holdings.get(&id).is_some_and(Holding::is_empty) {
            self.holdings.remove(&id);
        }
    }

    fn unfile_backend(&mut self, id: BackendId) {
        let Some(backend) = self.state.backends.get(&id) else {
            return;
        };
        if let Some(holding) = self.holdings.get_mut(&backend.service) {
            remove(&mut holding.backends, id);
        }
    }

    fn unfile_set(&mut self, id: SetId) {
        let Some(members) = self.state.sets.get(&id) else {
            return;
        };
        for member in members {
            if was_last(self.backend_users.get_mut(member)) {
                self.backend_users.remove(member);
            }
        }
        let owner = members.iter().find_map(|member| self.state.backends.get(member));
        if let Some(holding) = owner.and_then(|owner| self.holdings.get_mut(&owner.service)) {
            remove(&mut holding.sets, id);
        }
    }

    fn unfile_frontend(&mut self, key: FrontendKey) {
        let Some(value) = self.state.frontends.get(&key) else {
            return;
        };
        for id in sets_of(value) {
            if was_last(self.set_users.get_mut(&id)) {
                self.set_users.remove(&id);
            }
        }
        if let Some(holding) = self.holdings.get_mut(&value.service) {
            remove(&mut holding.frontends, key);
        }
    }
}

impl Holding {
    fn is_empty(&self) -> bool {
        self.backends.is_empty() && self.sets.is_empty() && self.frontends.is_empty()
    }
}

/// Every frontend an address can have.
pub(super) fn ports_of(addr: IpAddr) -> RangeInclusive<FrontendKey> {
    FrontendKey {
        addr,
        port: 0,
        protocol: Protocol::Tcp,
    }..=FrontendKey {
        addr,
        port: u16::MAX,
        protocol: Protocol::Sctp,
    }
}

fn sets_of(value: &FrontendValue) -> impl Iterator<Item = SetId> + use<> {
    [value.internal.set, value.external.set]
        .into_iter()
        .filter(|set| *set != SetRef::EMPTY)
        .map(|set| set.id)
}

/// Counts one user less, unless that leaves none.
fn was_last(users: Option<&mut u32>) -> bool {
    match users {
        Some(users) if *users > 1 => {
            *users -= 1;
            false
        }
        _ => true,
    }
}

fn insert<T: Ord>(sorted: &mut Vec<T>, item: T) {
    if let Err(place) = sorted.binary_search(&item) {
        // Room to grow would be most of the memory: there are many lists, and most are short.
        sorted.reserve_exact(1);
        sorted.insert(place, item);
    }
}

fn remove<T: Ord>(sorted: &mut Vec<T>, item: T) {
    if let Ok(place) = sorted.binary_search(&item) {
        sorted.remove(place);
    }
}
