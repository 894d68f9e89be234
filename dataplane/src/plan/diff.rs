// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ops from the actual to the desired state, in an order in which no packet sees half of a change.
//!
//! The order is a contract: networks, services, backends, then sets and ranges, then frontends, then addresses; then
//! removal of frontends, addresses, sets, backends, ranges, services. So at every prefix no frontend names a set that
//! is not there, and no set a backend that is not there; a frontend that becomes restricted has its ranges already,
//! and one that no longer is has them still; what replaces comes before what it replaces goes.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::id::ServiceId;
use super::op::Op;
use super::state::KernelState;
use crate::model::Networks;

/// The ops that turn `actual` into `desired`.
pub fn diff(desired: &KernelState, actual: &KernelState) -> Vec<Op> {
    let mut ops = puts(desired, actual);
    ops.extend(deletes(desired, actual));
    ops
}

/// The first half: what is missing or different. Of `actual`, only the networks have to be part of `desired`.
pub(super) fn puts(desired: &KernelState, actual: &KernelState) -> Vec<Op> {
    let mut ops = Vec::new();
    ops.extend(
        changed(&desired.networks, &actual.networks).map(|(family, networks)| {
            let (family, networks) = (*family, networks.clone());
            Op::PutNetworks { family, networks }
        }),
    );
    ops.extend(gone(&desired.networks, &actual.networks).map(|(family, _)| {
        let (family, networks) = (*family, Networks::default());
        Op::PutNetworks { family, networks }
    }));
    ops.extend(
        changed(&desired.services, &actual.services).map(|(id, name)| Op::PutService {
            id: *id,
            name: name.clone(),
        }),
    );
    let backends = desired.backends.iter();
    let backends = backends.filter(|(id, backend)| actual.backends.get(id) != Some(backend));
    ops.extend(backends.map(|(id, backend)| {
        let backend = *backend;
        Op::PutBackend { id, backend }
    }));
    ops.extend(
        changed(&desired.sets, &actual.sets).map(|(id, members)| Op::PutSet {
            id: *id,
            members: members.clone(),
        }),
    );
    let wanting = missing(&desired.ranges, &actual.ranges);
    ops.extend(wanting.map(|(service, range)| Op::PutRange { service, range }));
    ops.extend(
        changed(&desired.frontends, &actual.frontends).map(|(key, value)| Op::PutFrontend {
            key: *key,
            value: *value,
        }),
    );
    ops.extend(
        changed(&desired.addresses, &actual.addresses).map(|(addr, flags)| Op::PutAddress {
            addr: *addr,
            flags: *flags,
        }),
    );
    ops
}

fn deletes(desired: &KernelState, actual: &KernelState) -> Vec<Op> {
    let mut ops = Vec::new();
    ops.extend(gone(&desired.frontends, &actual.frontends).map(|(key, _)| Op::DeleteFrontend { key: *key }));
    ops.extend(
        gone(&desired.addresses, &actual.addresses).map(|(addr, _)| Op::DeleteAddress { addr: *addr }),
    );
    ops.extend(
        gone(&desired.sets, &actual.sets).map(|(id, members)| Op::DeleteSet {
            id: *id,
            members: members.clone(),
        }),
    );
    let backends = actual.backends.iter();
    let backends = backends.filter(|(id, _)| !desired.backends.contains_key(id));
    ops.extend(backends.map(|(id, _)| Op::DeleteBackend { id }));
    let spare = missing(&actual.ranges, &desired.ranges);
    ops.extend(spare.map(|(service, range)| Op::DeleteRange { service, range }));
    ops.extend(gone(&desired.services, &actual.services).map(|(id, _)| Op::DeleteService { id: *id }));
    ops
}

fn changed<'a, K: Ord, V: PartialEq>(
    desired: &'a BTreeMap<K, V>,
    actual: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    desired
        .iter()
        .filter(|(key, value)| actual.get(key) != Some(value))
}

fn gone<'a, K: Ord, V>(
    desired: &'a BTreeMap<K, V>,
    actual: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    actual.iter().filter(|(key, _)| !desired.contains_key(key))
}

/// Every range in `all` that is not in `some`.
fn missing<'a>(
    all: &'a BTreeMap<ServiceId, BTreeSet<IpNet>>,
    some: &'a BTreeMap<ServiceId, BTreeSet<IpNet>>,
) -> impl Iterator<Item = (ServiceId, IpNet)> {
    all.iter().flat_map(|(service, ranges)| {
        let known = some.get(service);
        let is_new = move |range: &&IpNet| known.is_none_or(|known| !known.contains(*range));
        ranges.iter().filter(is_new).map(|range| (*service, *range))
    })
}
