// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared by the tests of plan and agent: the kernel's contents without ids, a check of all references, and maps that
//! fail.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Index;

use ipnet::IpNet;

use super::{
    AddressFlags, BackendId, BackendMap, BackendState, Bound, Capacity, EmptyVerdict, KernelState, Maps,
    MapsError, MemoryMaps, Op, ScopeValue, SetRef,
};
use crate::compile::Compiled;
use crate::model::{
    Family, FrontendKey, FrontendKind, Networks, NodeNetwork, ServiceName, ServicePortName, Target,
    TrafficPolicy,
};

/// A kernel's contents by names and addresses: what two kernels can be compared by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub ports: BTreeSet<ServicePortName>,
    pub backends: BTreeMap<(ServicePortName, Target), (BackendState, [bool; 3])>,
    pub frontends: BTreeMap<FrontendKey, FrontendContents>,
    pub addresses: BTreeMap<IpAddr, AddressFlags>,
    pub ranges: BTreeMap<ServicePortName, BTreeSet<IpNet>>,
    pub networks: BTreeMap<Family, Networks>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontendContents {
    pub port: ServicePortName,
    pub kind: FrontendKind,
    pub policy: TrafficPolicy,
    pub is_restricted: bool,
    pub masquerades_external: bool,
    pub internal: Result<BTreeSet<Target>, EmptyVerdict>,
    pub external: Result<BTreeSet<Target>, EmptyVerdict>,
    pub affinity_seconds: u32,
}

/// Panics where the kernel does not hold together; that is what it is for.
pub fn contents(kernel: &KernelState) -> Contents {
    assert_eq!(dangling(kernel), Vec::<String>::new(), "{kernel:#?}");
    let scope = |scope: &ScopeValue| match scope.set {
        SetRef::EMPTY => Err(scope.empty),
        set => Ok(kernel.sets[&set.id]
            .iter()
            .map(|id| kernel.backends[id].target())
            .collect()),
    };
    Contents {
        ports: kernel.services.values().cloned().collect(),
        backends: kernel
            .backends
            .iter()
            .map(|(_, it)| {
                (
                    (kernel.services[&it.service].clone(), it.target()),
                    (it.state, [it.local, it.chosen_anywhere, it.chosen_local]),
                )
            })
            .collect(),
        frontends: kernel
            .frontends
            .iter()
            .map(|(key, value)| {
                let contents = FrontendContents {
                    port: kernel.services[&value.service].clone(),
                    kind: value.kind,
                    policy: value.policy,
                    is_restricted: value.is_restricted,
                    masquerades_external: value.masquerades_external,
                    internal: scope(&value.internal),
                    external: scope(&value.external),
                    affinity_seconds: value.affinity_seconds,
                };
                (*key, contents)
            })
            .collect(),
        addresses: kernel.addresses.clone(),
        ranges: kernel
            .ranges
            .iter()
            .map(|(service, ranges)| (kernel.services[service].clone(), ranges.clone()))
            .collect(),
        networks: kernel.networks.clone(),
    }
}

/// The same of what is wanted, with nothing of plan's code in between.
pub fn wanted_contents(wanted: &BTreeMap<ServiceName, Compiled>, node_network: &NodeNetwork) -> Contents {
    let mut all = Contents::default();
    for (name, port) in wanted.values().flat_map(|compiled| &compiled.ports) {
        all.ports.insert(name.clone());
        if !port.ranges.is_empty() {
            all.ranges.insert(name.clone(), port.ranges.clone());
        }
        for (target, member) in &port.backends {
            let state = if member.in_use {
                BackendState::Alive
            } else {
                BackendState::Draining
            };
            all.backends.insert(
                (name.clone(), *target),
                (state, [member.local, member.chosen_anywhere, member.chosen_local]),
            );
        }
        for (key, frontend) in &port.frontends {
            let scope = |scope: &crate::compile::Scope| {
                if scope.members.is_empty() {
                    Err(scope.empty)
                } else {
                    Ok(scope.members.clone())
                }
            };
            let value = FrontendContents {
                port: name.clone(),
                kind: frontend.kind,
                policy: frontend.policy,
                is_restricted: frontend.is_restricted,
                masquerades_external: frontend.masquerades_external,
                internal: scope(&frontend.internal),
                external: scope(&frontend.external),
                affinity_seconds: frontend.affinity_seconds,
            };
            all.frontends.insert(*key, value);
            if frontend.kind != FrontendKind::NodePort {
                let flags = all.addresses.entry(key.addr).or_default();
                flags.vip = true;
                flags.cluster_ip |= frontend.kind == FrontendKind::ClusterIp;
            }
        }
    }
    for (addr, own) in &node_network.addresses {
        let flags = all.addresses.entry(*addr).or_default();
        flags.node = true;
        flags.node_ports = own.serves_node_ports;
    }
    all.networks.clone_from(&node_network.networks);
    all
}

/// How many entries each table has: what nothing refers to is not among the [`Contents`].
pub fn sizes(kernel: &KernelState) -> BTreeMap<String, usize> {
    let mut sizes = BTreeMap::from([
        ("services".to_owned(), kernel.services.len()),
        ("sets".to_owned(), kernel.sets.len()),
    ]);
    for family in Family::ALL {
        let of = |addr: IpAddr| Family::of(addr) == family;
        let backends = kernel.backends.iter().filter(|(id, _)| id.family == family);
        let frontends = kernel.frontends.keys().filter(|key| of(key.addr));
        let addresses = kernel.addresses.keys().filter(|addr| of(**addr));
        let ranges = kernel.ranges.values().flatten();
        let ranges = ranges.filter(|range| of(range.addr()));
        for (table, size) in [
            ("backends", backends.count()),
            ("frontends", frontends.count()),
            ("addresses", addresses.count()),
            ("ranges", ranges.count()),
        ] {
            sizes.insert(format!("{table}, {family}"), size);
        }
    }
    sizes
}

/// Every reference in the tables that leads nowhere.
pub fn dangling(kernel: &KernelState) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in &kernel.frontends {
        if !kernel.services.contains_key(&value.service) {
            found.push(format!("frontend {key} names {}", value.service));
        }
        for set in [value.internal.set, value.external.set] {
            let size = kernel.sets.get(&set.id).map(Vec::len);
            if set != SetRef::EMPTY && size != Some(set.size as usize) {
                found.push(format!(
                    "frontend {key} names {} of {}, which has {size:?}",
                    set.id, set.size
                ));
            }
        }
    }
    for (id, members) in &kernel.sets {
        for member in members
            .iter()
            .filter(|member| !kernel.backends.contains_key(member))
        {
            found.push(format!("{id} names {member}"));
        }
    }
    for service in kernel.ranges.keys() {
        if !kernel.services.contains_key(service) {
            found.push(format!("ranges of {service}"));
        }
    }
    for (id, backend) in kernel.backends.iter() {
        if !kernel.services.contains_key(&backend.service) {
            found.push(format!("{id} names {}", backend.service));
        }
    }
    found
}

/// A kernel where every n-th write fails.
#[derive(Clone, Debug)]
pub struct ChaosMaps {
    pub memory: MemoryMaps,
    fails_every: u32,
    calls: u32,
}

impl ChaosMaps {
    pub fn new(memory: MemoryMaps, fails_every: u32) -> Self {
        Self {
            memory,
            fails_every,
            calls: 0,
        }
    }
}

impl Maps for ChaosMaps {
    fn capacity(&self) -> Capacity {
        self.memory.capacity()
    }

    fn load(&self) -> Result<KernelState, MapsError> {
        self.memory.load()
    }

    fn apply(&mut self, op: &Op) -> Result<(), MapsError> {
        self.calls += 1;
        if self.calls.is_multiple_of(self.fails_every) {
            return Err(Bound {
                map: "chaos",
                flag: "--calm",
                highest_id: 0,
            }
            .into());
        }
        self.memory.apply(op)?;
        assert_eq!(dangling(&self.memory.state), Vec::<String>::new(), "after {op}");
        Ok(())
    }
}

/// As of a tree: what names a backend that is not there fails the test.
impl<V> Index<&BackendId> for BackendMap<V> {
    type Output = V;

    #[expect(clippy::panic, reason = "for tests only")]
    fn index(&self, id: &BackendId) -> &V {
        self.get(id).unwrap_or_else(|| panic!("there is no {id}"))
    }
}
