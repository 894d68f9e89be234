// SPDX-License-Identifier: MIT OR Apache-2.0
//! The planner's view of the maps: its ops written, its state read back.
//!
//! Per change: one system call per op (a set of more than [`SET_CHUNK`] backends: one per chunk).

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::SyncSender;

use aya::Pod;
use aya::maps::lpm_trie::Key;
use aya::maps::{HashMap, MapData, MapError};
use dataplane_common as common;
use dataplane_common::{SET_CHUNK, SetKey};

use super::convert::{
    from_flags, from_frontend, from_networks, from_range, to_backend, to_flags, to_frontend, to_key,
    to_networks, to_range,
};
use super::family::HostFamily;
use super::maps::{FamilyMaps, PinnedMaps};
use super::sizes::Sizes;
use crate::model::{Family, FrontendKey, Networks, Protocol, ServicePortName};
use crate::plan::{
    Backend, BackendId, BackendState, Bound, Capacity, KernelState, Maps, MapsError, Op, ServiceId, SetId,
};

/// The kernel's maps as [`Maps`].
pub struct KernelMaps {
    maps: PinnedMaps,
    sizes: Sizes,
    backend_gone: Option<SyncSender<()>>,
}

impl KernelMaps {
    pub fn new(maps: PinnedMaps, sizes: Sizes) -> Self {
        Self {
            maps,
            sizes,
            backend_gone: None,
        }
    }

    /// Reports removed backends to `sender`; one message stands for all removals until it is received.
    #[must_use]
    pub fn reporting(self, backend_gone: SyncSender<()>) -> Self {
        Self {
            backend_gone: Some(backend_gone),
            ..self
        }
    }
}

impl Maps for KernelMaps {
    fn capacity(&self) -> Capacity {
        let sizes = &self.sizes;
        let bound = |map, flag, entries: u32| Bound {
            map,
            flag,
            highest_id: entries.saturating_sub(1),
        };
        Capacity {
            services: bound("services", "--max-services", sizes.max_services),
            backends4: bound("backends4", "--max-backends", self.maps.v4.backends.len()),
            backends6: bound("backends6", "--max-backends", self.maps.v6.backends.len()),
        }
    }

    fn load(&self) -> Result<KernelState, MapsError> {
        let mut state = KernelState::default();
        self.load_services(&mut state)?;
        let sets = self.load_sets()?;
        self.maps.v4.load(&mut state)?;
        self.maps.v6.load(&mut state)?;
        attribute_sets(&mut state, sets);
        Ok(state)
    }

    fn apply(&mut self, op: &Op) -> Result<(), MapsError> {
        self.write(op)?;
        if let (Op::DeleteBackend { .. }, Some(somebody)) = (op, &self.backend_gone) {
            let _ = somebody.try_send(());
        }
        Ok(())
    }

    /// Backends, most of what there is at a start, go by one system call; others by one each.
    fn apply_all(&mut self, ops: &[&Op]) -> (usize, Result<(), MapsError>) {
        match ops {
            // A backend whose address and id differ in family is refused on its own.
            [Op::PutBackend { id, backend }, _, ..] if Family::of(backend.addr) == id.family => {
                match id.family {
                    Family::V4 => self.maps.v4.put_backends(ops),
                    Family::V6 => self.maps.v6.put_backends(ops),
                }
            }
            [op, ..] => match self.apply(op) {
                Ok(()) => (1, Ok(())),
                Err(error) => (0, Err(error)),
            },
            [] => (0, Ok(())),
        }
    }
}

impl KernelMaps {
    fn write(&mut self, op: &Op) -> Result<(), MapsError> {
        let maps = &mut self.maps;
        let family = match op {
            Op::PutService { id, name } => {
                return put_service(&mut maps.services, *id, name, &self.sizes);
            }
            Op::DeleteService { id } => return remove("services", &mut maps.services, &id.0),
            Op::PutSet { id, members } => return put_set(&mut maps.sets, *id, members, &self.sizes),
            Op::DeleteSet { id, members } => return delete_set(&mut maps.sets, *id, members.len()),
            Op::PutBackend { id, .. } | Op::DeleteBackend { id } => id.family,
            Op::PutFrontend { key, .. } | Op::DeleteFrontend { key } => Family::of(key.addr),
            Op::PutAddress { addr, .. } | Op::DeleteAddress { addr } => Family::of(*addr),
            Op::PutRange { range, .. } | Op::DeleteRange { range, .. } => Family::of(range.addr()),
            Op::PutNetworks { family, .. } => *family,
        };
        match family {
            Family::V4 => maps.v4.apply(op, &self.sizes),
            Family::V6 => maps.v6.apply(op, &self.sizes),
        }
    }

    fn load_services(&self, state: &mut KernelState) -> Result<(), MapsError> {
        for entry in self.maps.services.iter() {
            let (id, name) = entry.map_err(|error| system("services", "read", error))?;
            // A protocol or name that is none: some name nothing will claim, so that it is removed.
            let protocol = Protocol::from_number(name.protocol).unwrap_or(Protocol::Sctp);
            let name = ServicePortName::from_label(name.name().unwrap_or_default(), protocol);
            state.services.insert(ServiceId(id), name);
        }
        Ok(())
    }

    /// All sets, their chunks joined, the numbers of their backends not yet of any family.
    fn load_sets(&self) -> Result<BTreeMap<SetId, Vec<u32>>, MapsError> {
        let mut chunks: BTreeMap<(u32, u32), common::SetChunk> = BTreeMap::new();
        for entry in self.maps.sets.iter() {
            let (key, chunk) = entry.map_err(|error| system("sets", "read", error))?;
            chunks.insert((key.set.0, key.chunk), chunk);
        }
        let mut sets: BTreeMap<SetId, Vec<u32>> = BTreeMap::new();
        for ((set, _), chunk) in chunks {
            let members = chunk.iter().map(|id| id.0).take_while(|id| *id != 0);
            sets.entry(SetId(set)).or_default().extend(members);
        }
        Ok(sets)
    }
}

/// A set is of the family of the frontends that name it; one that none names may be of either.
fn attribute_sets(state: &mut KernelState, sets: BTreeMap<SetId, Vec<u32>>) {
    let mut families = BTreeMap::new();
    for (key, value) in &state.frontends {
        for scope in [value.internal, value.external] {
            families.insert(scope.set.id, Family::of(key.addr));
        }
    }
    for (id, members) in sets {
        let family = families.get(&id).copied().unwrap_or(Family::V4);
        let members = members
            .into_iter()
            .map(|index| BackendId { family, index })
            .collect();
        state.sets.insert(id, members);
    }
}

impl<F: HostFamily> FamilyMaps<F>
where
    F::Addr: Pod,
{
    fn load(&self, state: &mut KernelState) -> Result<(), MapsError> {
        for entry in self.addresses.iter() {
            let (addr, flags) = entry.map_err(|error| system("addresses", "read", error))?;
            state.addresses.insert(F::to_ip(addr), from_flags(flags));
        }
        for entry in self.frontends.iter() {
            let (key, value) = entry.map_err(|error| system("frontends", "read", error))?;
            let protocol = Protocol::from_number(key.protocol).unwrap_or(Protocol::Sctp);
            let key = FrontendKey {
                addr: F::to_ip(key.addr),
                port: key.port.get(),
                protocol,
            };
            state.frontends.insert(key, from_frontend(&value));
        }
        for entry in self.ranges.iter() {
            let (key, _) = entry.map_err(|error| system("ranges", "read", error))?;
            if let Some((service, range)) = from_range(&key) {
                state.ranges.entry(service).or_default().insert(range);
            }
        }
        let networks = self.networks.get(&0, 0);
        let networks = from_networks(&networks.map_err(|error| system("networks", "read", error))?);
        if networks != Networks::default() {
            state.networks.insert(F::MODEL, networks);
        }
        self.load_backends(state)
    }

    /// Reads the slots up to the end of the array: any of them may be taken.
    fn load_backends(&self, state: &mut KernelState) -> Result<(), MapsError> {
        if state.services.is_empty() {
            return Ok(());
        }
        let slots = self.all_backends().map_err(|source| MapsError::System {
            map: "backends",
            action: "read",
            source,
        })?;
        for (index, backend) in slots.into_iter().enumerate() {
            let alive = match backend.state() {
                common::BackendState::Gone => continue,
                common::BackendState::Alive => BackendState::Alive,
                common::BackendState::Draining => BackendState::Draining,
            };
            let id = BackendId {
                family: F::MODEL,
                index: index as u32,
            };
            let backend = Backend {
                addr: F::to_ip(backend.addr),
                port: backend.port.get(),
                service: backend.service,
                state: alive,
                local: backend.is_local(),
                chosen_anywhere: backend.is_chosen(common::Choice::Cluster),
                chosen_local: backend.is_chosen(common::Choice::Local),
            };
            state.backends.insert(id, backend);
        }
        Ok(())
    }

    fn apply(&mut self, op: &Op, sizes: &Sizes) -> Result<(), MapsError> {
        let frontends = Bound {
            map: "frontends",
            flag: "--max-frontends",
            highest_id: sizes.max_frontends,
        };
        let addresses = Bound {
            map: "addresses",
            flag: "--max-frontends",
            highest_id: sizes.max_frontends,
        };
        match op {
            Op::PutFrontend { key, value } => {
                let Some(key) = to_key::<F>(key) else {
                    return Ok(());
                };
                insert(frontends, &mut self.frontends, &key, &to_frontend(value))
            }
            Op::DeleteFrontend { key } => match to_key::<F>(key) {
                Some(key) => remove("frontends", &mut self.frontends, &key),
                None => Ok(()),
            },
            Op::PutAddress { addr, flags } => match F::from_ip(*addr) {
                Some(addr) => insert(addresses, &mut self.addresses, &addr, &to_flags(*flags)),
                None => Ok(()),
            },
            Op::DeleteAddress { addr } => match F::from_ip(*addr) {
                Some(addr) => remove("addresses", &mut self.addresses, &addr),
                None => Ok(()),
            },
            Op::PutBackend { id, backend } => match to_backend::<F>(backend) {
                Some(backend) => self.set_backend(id.index, backend),
                None => Ok(()),
            },
            Op::DeleteBackend { id } => self.set_backend(id.index, common::Backend::default()),
            Op::PutRange { service, range } => match to_range::<F>(*service, range) {
                Some(key) => self.put_range(&key, sizes),
                None => Ok(()),
            },
            Op::DeleteRange { service, range } => match to_range::<F>(*service, range) {
                Some(key) => accept_absence("ranges", self.ranges.remove(&key)),
                None => Ok(()),
            },
            Op::PutNetworks { networks, .. } => self
                .networks
                .set(0, to_networks::<F>(networks), 0)
                .map_err(|error| system("networks", "write", error)),
            Op::PutService { .. } | Op::DeleteService { .. } | Op::PutSet { .. } | Op::DeleteSet { .. } => {
                Ok(())
            }
        }
    }

    /// Writes the backends at the beginning of `ops` that are of this family: the first is.
    fn put_backends(&mut self, ops: &[&Op]) -> (usize, Result<(), MapsError>) {
        let backends = ops.iter().map_while(|op| match op {
            Op::PutBackend { id, backend } if id.family == F::MODEL => {
                Some((id.index, to_backend::<F>(backend)?))
            }
            _ => None,
        });
        let (slots, values): (Vec<_>, Vec<_>) = backends.unzip();
        let (written, result) = self.write_backends(&slots, &values);
        let result = result.map_err(|source| MapsError::System {
            map: "backends",
            action: "write",
            source,
        });
        (written, result)
    }

    fn put_range(&mut self, key: &Key<common::RangeKey<F>>, sizes: &Sizes) -> Result<(), MapsError> {
        let bound = Bound {
            map: "ranges",
            flag: "--max-ranges",
            highest_id: sizes.max_ranges,
        };
        // A longest-prefix map says ENOSPC where a hash map says E2BIG.
        self.ranges
            .insert(key, 1, 0)
            .map_err(|error| full_or(bound, error))
    }

    fn set_backend(&mut self, index: u32, backend: common::Backend<F>) -> Result<(), MapsError> {
        self.backends
            .set(index, backend, 0)
            .map_err(|error| system("backends", "write", error))
    }
}

fn put_service(
    services: &mut HashMap<MapData, u32, common::ServiceName>,
    id: ServiceId,
    name: &ServicePortName,
    sizes: &Sizes,
) -> Result<(), MapsError> {
    let bound = Bound {
        map: "services",
        flag: "--max-services",
        highest_id: sizes.max_services,
    };
    let label = name.label();
    match common::ServiceName::new(&label, name.protocol.number()) {
        Some(name) => insert(bound, services, &id.0, &name),
        None => Err(MapsError::System {
            map: "services",
            action: "write",
            source: io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the name {label} is too long"),
            ),
        }),
    }
}

fn put_set(
    sets: &mut HashMap<MapData, SetKey, common::SetChunk>,
    id: SetId,
    members: &[BackendId],
    sizes: &Sizes,
) -> Result<(), MapsError> {
    let bound = Bound {
        map: "sets",
        flag: "--max-backends",
        highest_id: sizes.sets(),
    };
    for (number, members) in members.chunks(SET_CHUNK as usize).enumerate() {
        let mut chunk = common::SetChunk::default();
        for (slot, member) in chunk.iter_mut().zip(members) {
            slot.0 = member.index;
        }
        insert(
            bound,
            sets,
            &SetKey {
                set: id,
                chunk: number as u32,
            },
            &chunk,
        )?;
    }
    Ok(())
}

fn delete_set(
    sets: &mut HashMap<MapData, SetKey, common::SetChunk>,
    id: SetId,
    size: usize,
) -> Result<(), MapsError> {
    // From the end, so that one that fails midway still reads as a set, only shorter; and at least one, because a
    // set that reads as empty has one.
    for chunk in (0..size.div_ceil(SET_CHUNK as usize).max(1)).rev() {
        remove(
            "sets",
            sets,
            &SetKey {
                set: id,
                chunk: chunk as u32,
            },
        )?;
    }
    Ok(())
}

fn insert<K: Pod, V: Pod>(
    bound: Bound,
    map: &mut HashMap<MapData, K, V>,
    key: &K,
    value: &V,
) -> Result<(), MapsError> {
    map.insert(key, value, 0).map_err(|error| full_or(bound, error))
}

fn full_or(bound: Bound, error: MapError) -> MapsError {
    match system(bound.map, "write", error) {
        MapsError::System { source, .. }
            if [Some(nix::libc::E2BIG), Some(nix::libc::ENOSPC)].contains(&source.raw_os_error()) =>
        {
            bound.into()
        }
        error => error,
    }
}

fn remove<K: Pod, V: Pod>(
    name: &'static str,
    map: &mut HashMap<MapData, K, V>,
    key: &K,
) -> Result<(), MapsError> {
    accept_absence(name, map.remove(key))
}

/// A missing entry counts as removed.
fn accept_absence(name: &'static str, removed: Result<(), MapError>) -> Result<(), MapsError> {
    match removed {
        Ok(()) | Err(MapError::KeyNotFound | MapError::ElementNotFound) => Ok(()),
        Err(error) => match system(name, "write", error) {
            MapsError::System { source, .. } if source.raw_os_error() == Some(nix::libc::ENOENT) => Ok(()),
            error => Err(error),
        },
    }
}

fn system(map: &'static str, action: &'static str, error: MapError) -> MapsError {
    let source = match error {
        MapError::SyscallError(error) => error.io_error,
        MapError::IoError(error) => error,
        other => io::Error::other(other),
    };
    MapsError::System { map, action, source }
}
