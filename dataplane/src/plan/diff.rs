// SPDX-License-Identifier: MIT OR Apache-2.0
//! From what is to what should be, in an order that no packet can see the middle of.
//!
//! The order is a contract: services and backends, then sets, then frontends, then addresses; then removal of
//! frontends, addresses, sets, backends, services. So at every prefix no frontend names a set that is not
//! there, and no set a backend that is not there; what replaces comes before what it replaces goes.

use std::collections::BTreeMap;

use super::op::Op;
use super::tables::KernelState;

/// The ops that turn `actual` into `desired`.
pub fn diff(desired: &KernelState, actual: &KernelState) -> Vec<Op> {
    let mut ops = Vec::new();
    ops.extend(
        changed(&desired.services, &actual.services).map(|(id, name)| Op::PutService {
            id: *id,
            name: name.clone(),
        }),
    );
    ops.extend(
        changed(&desired.backends, &actual.backends).map(|(id, backend)| Op::PutBackend {
            id: *id,
            backend: *backend,
        }),
    );
    ops.extend(
        changed(&desired.sets, &actual.sets).map(|(id, members)| Op::PutSet {
            id: *id,
            members: members.clone(),
        }),
    );
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
    ops.extend(gone(&desired.backends, &actual.backends).map(|(id, _)| Op::DeleteBackend { id: *id }));
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
