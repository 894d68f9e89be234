// SPDX-License-Identifier: MIT OR Apache-2.0
//! The desired contents of the kernel's maps: with the ids that Services have there, otherwise with new ones.

use std::collections::{BTreeMap, BTreeSet};

use dataplane_common::EmptyVerdict;

use super::cache::KernelCache;
use super::id::{BackendId, ServiceId, SetId};
use super::id_pool::Ids;
use super::maps::{Bound, Shortage};
use super::state::{Backend, BackendState, FrontendValue, KernelState, ScopeValue, SetRef};
use crate::compile::{Compiled, Frontend, Member, Port, Scope};
use crate::model::{FrontendKey, ServiceName, ServicePortName, Target};

/// The desired kernel state, and the Service ports for which ids ran out.
#[derive(Debug, Default)]
pub(super) struct Desired {
    pub(super) state: KernelState,
    pub(super) shortages: BTreeSet<Shortage>,
}

impl Desired {
    pub(super) fn of(cache: &KernelCache, ids: &mut Ids, wanted: &BTreeMap<ServiceName, Compiled>) -> Self {
        let mut writer = Writer {
            cache,
            ids,
            state: KernelState::default(),
        };
        let mut shortages = BTreeSet::new();
        for (name, port) in wanted.values().flat_map(|compiled| &compiled.ports) {
            if let Err(bound) = writer.add_port(name, port) {
                let port = name.clone();
                shortages.insert(Shortage { port, bound });
            }
        }
        Self {
            state: writer.state,
            shortages,
        }
    }
}

struct Writer<'a> {
    cache: &'a KernelCache,
    ids: &'a mut Ids,
    state: KernelState,
}

impl Writer<'_> {
    /// With too few ids for all backends, those that have one serve.
    fn add_port(&mut self, name: &ServicePortName, port: &Port) -> Result<(), Bound> {
        let service = match self.cache.id_of(name) {
            Some(id) => id,
            None => self.ids.service()?,
        };
        self.state.services.insert(service, name.clone());
        if !port.ranges.is_empty() {
            self.state.ranges.insert(service, port.ranges.clone());
        }
        let held = self.cache.backends_of(service);
        let mut ids = BTreeMap::new();
        let mut missing = Ok(());
        for (target, member) in &port.backends {
            match self.add_backend(service, held.get(target), *target, *member) {
                Ok(id) => drop(ids.insert(*target, id)),
                Err(bound) => missing = Err(bound),
            }
        }
        let mut sets = Sets::held_by(self.cache, service);
        for (key, frontend) in &port.frontends {
            if port.keeps_last_endpoints && frontend.is_empty() && self.keep(service, *key) {
                continue;
            }
            let value = FrontendValue {
                service,
                internal: self.add_scope(&mut sets, &frontend.internal, &ids),
                external: self.add_scope(&mut sets, &frontend.external, &ids),
                kind: frontend.kind,
                policy: frontend.policy,
                affinity_seconds: frontend.affinity_seconds,
                is_restricted: frontend.is_restricted,
                masquerades_external: frontend.masquerades_external,
            };
            self.state.frontends.insert(*key, value);
        }
        missing
    }

    fn add_backend(
        &mut self,
        service: ServiceId,
        held: Option<&BackendId>,
        target: Target,
        member: Member,
    ) -> Result<BackendId, Bound> {
        let id = match held {
            Some(id) => *id,
            None => self.ids.backend(target.family())?,
        };
        let state = if member.in_use {
            BackendState::Alive
        } else {
            BackendState::Draining
        };
        let Target { addr, port } = target;
        self.state.backends.insert(
            id,
            Backend {
                addr,
                port,
                service,
                state,
                local: member.local,
                chosen_anywhere: member.chosen_anywhere,
                chosen_local: member.chosen_local,
            },
        );
        Ok(id)
    }

    fn add_scope(&mut self, sets: &mut Sets, scope: &Scope, ids: &BTreeMap<Target, BackendId>) -> ScopeValue {
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
            .or_insert_with(|| self.ids.set(|id| self.cache.state().sets.contains_key(&id)));
        let size = u32::try_from(members.len()).unwrap_or(u32::MAX);
        self.state.sets.insert(id, members);
        ScopeValue {
            set: SetRef { id, size },
            empty: EmptyVerdict::Drop,
        }
    }

    /// Leaves a frontend as it is in the kernel, with all it needs. False if there is nothing worth keeping.
    fn keep(&mut self, service: ServiceId, key: FrontendKey) -> bool {
        let kernel = self.cache.state();
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
        self.state
            .backends
            .extend(kept.backends.iter().map(|(id, it)| (id, *it)));
        self.state.sets.append(&mut kept.sets);
        self.state.frontends.insert(key, *value);
        true
    }
}

/// The sets a ServicePort has by their members: equal ones are shared, and found again state a restart.
struct Sets(BTreeMap<Vec<BackendId>, SetId>);

impl Sets {
    fn held_by(cache: &KernelCache, service: ServiceId) -> Self {
        let sets = &cache.state().sets;
        let held = cache
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
