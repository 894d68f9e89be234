// SPDX-License-Identifier: MIT OR Apache-2.0
//! Converts between the planner's types and the kernel's.

use aya::maps::lpm_trie::Key;
use dataplane_common as common;
use dataplane_common::Port;
use ipnet::IpNet;

use super::family::HostFamily;
use crate::model::{Detect, FrontendKey, Networks, TrafficPolicy};
use crate::plan::{AddressFlags, Backend, BackendState, FrontendValue, ScopeValue, ServiceId};

/// `None`: the frontend is of the other family.
pub fn to_key<F: HostFamily>(key: &FrontendKey) -> Option<common::FrontendKey<F>> {
    Some(common::FrontendKey::new(
        F::from_ip(key.addr)?,
        Port::new(key.port),
        key.protocol.number(),
    ))
}

/// `None`: the backend is of the other family.
pub fn to_backend<F: HostFamily>(backend: &Backend) -> Option<common::Backend<F>> {
    let state = match backend.state {
        BackendState::Alive => common::BackendState::Alive,
        BackendState::Draining => common::BackendState::Draining,
    };
    let addr = F::from_ip(backend.addr)?;
    let mut raw = common::Backend::new(
        addr,
        Port::new(backend.port),
        backend.service,
        state,
        backend.local,
    );
    if backend.chosen_anywhere {
        raw = raw.chosen(common::Choice::Cluster);
    }
    if backend.chosen_local {
        raw = raw.chosen(common::Choice::Local);
    }
    Some(raw)
}

pub fn to_flags(flags: AddressFlags) -> common::AddressFlags {
    let mut raw = common::AddressFlags::default();
    if flags.vip {
        raw = raw.with(common::AddressFlags::VIP);
    }
    if flags.cluster_ip {
        raw = raw.with(common::AddressFlags::CLUSTER_IP);
    }
    if flags.node {
        raw = raw.with(common::AddressFlags::NODE);
    }
    if flags.node_ports {
        raw = raw.with(common::AddressFlags::NODE_PORTS);
    }
    raw
}

pub fn from_flags(raw: common::AddressFlags) -> AddressFlags {
    AddressFlags {
        vip: raw.has(common::AddressFlags::VIP),
        cluster_ip: raw.has(common::AddressFlags::CLUSTER_IP),
        node: raw.has(common::AddressFlags::NODE),
        node_ports: raw.has(common::AddressFlags::NODE_PORTS),
    }
}

/// `None`: the range is of the other family.
pub fn to_prefix<F: HostFamily>(range: &IpNet) -> Option<common::Prefix<F>> {
    Some(common::Prefix {
        addr: F::from_ip(range.network())?,
        mask: F::from_ip(range.netmask())?,
    })
}

/// `None`: it is no range.
pub fn from_prefix<F: HostFamily>(prefix: &common::Prefix<F>) -> Option<IpNet> {
    let range = IpNet::with_netmask(F::to_ip(prefix.addr), F::to_ip(prefix.mask)).ok()?;
    prefix.is_some().then_some(range)
}

/// Ranges of the other family are left out.
pub fn to_networks<F: HostFamily>(networks: &Networks) -> common::Networks<F> {
    let (detect, pods) = match networks.detect {
        Detect::Device => (common::Detect::Device, None),
        Detect::Range(range) => (common::Detect::Range, to_prefix(&range)),
        Detect::Nobody => (common::Detect::Nobody, None),
    };
    let mut raw = common::Networks {
        detect: detect as u32,
        pods: pods.unwrap_or_default(),
        node: networks.node.and_then(F::from_ip).unwrap_or_default(),
        hash_seed: networks.hash_seed,
        ..common::Networks::default()
    };
    let ranges = networks.services.iter().filter_map(to_prefix);
    for (slot, range) in raw.services.iter_mut().zip(ranges) {
        *slot = range;
    }
    raw
}

pub fn from_networks<F: HostFamily>(raw: &common::Networks<F>) -> Networks {
    let detect = match (raw.detect(), from_prefix(&raw.pods)) {
        (common::Detect::Device, _) => Detect::Device,
        (common::Detect::Range, Some(range)) => Detect::Range(range),
        (common::Detect::Range, None) | (common::Detect::Nobody, _) => Detect::Nobody,
    };
    Networks {
        detect,
        services: raw.services.iter().filter_map(from_prefix).collect(),
        node: (raw.node != F::Addr::default()).then(|| F::to_ip(raw.node)),
        hash_seed: raw.hash_seed,
    }
}

/// `None`: the range is of the other family.
pub fn to_range<F: HostFamily>(service: ServiceId, range: &IpNet) -> Option<Key<common::RangeKey<F>>> {
    let addr = F::from_ip(range.network())?;
    let bits = common::RangeKey::<F>::SERVICE_BITS + u32::from(range.prefix_len());
    Some(Key::new(bits, common::RangeKey { service, addr }))
}

/// `None`: it is no range of one Service.
pub fn from_range<F: HostFamily>(key: &Key<common::RangeKey<F>>) -> Option<(ServiceId, IpNet)>
where
    common::RangeKey<F>: aya::Pod,
{
    let range = key.data();
    let length = key
        .prefix_len()
        .checked_sub(common::RangeKey::<F>::SERVICE_BITS)?;
    let range_of = IpNet::new(F::to_ip(range.addr), u8::try_from(length).ok()?).ok()?;
    Some((range.service, range_of))
}

pub fn to_frontend(value: &FrontendValue) -> common::FrontendValue {
    let [internal, external] = [value.internal, value.external].map(|scope| (scope.set, scope.empty));
    let mut raw = common::FrontendValue::new(value.service, value.kind, internal, external)
        .with_affinity(value.affinity_seconds);
    if value.is_restricted {
        raw = raw.with_ranges();
    }
    if value.masquerades_external {
        raw = raw.with_external_masquerade();
    }
    if value.policy == TrafficPolicy::Local {
        raw = raw.with_local_policy();
    }
    raw
}

pub fn from_frontend(value: &common::FrontendValue) -> FrontendValue {
    let scope = |external| {
        let (set, empty) = value.scope(external);
        ScopeValue { set, empty }
    };
    FrontendValue {
        service: value.service,
        kind: value.kind(),
        policy: if value.has_local_policy() {
            TrafficPolicy::Local
        } else {
            TrafficPolicy::Cluster
        },
        internal: scope(false),
        external: scope(true),
        affinity_seconds: value.affinity_seconds,
        is_restricted: value.has_ranges(),
        masquerades_external: value.has_external_masquerade(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::model::FrontendKind;
    use crate::plan::{EmptyVerdict, SetId, SetRef};

    #[test]
    fn a_frontend_reads_back_as_it_was_written() {
        let scope = |id, size, empty| ScopeValue {
            set: SetRef { id: SetId(id), size },
            empty,
        };
        let value = FrontendValue {
            service: ServiceId(7),
            internal: scope(3, 2, EmptyVerdict::Reject),
            external: scope(0, 0, EmptyVerdict::Drop),
            affinity_seconds: 10_800,
            kind: FrontendKind::LoadBalancer,
            policy: TrafficPolicy::Local,
            is_restricted: true,
            masquerades_external: true,
        };
        assert_eq!(from_frontend(&to_frontend(&value)), value);
    }

    #[test]
    fn ranges_read_back_as_they_were_written() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.1/32"] {
            let range: IpNet = text.parse().unwrap();
            let key = to_range::<common::V4>(ServiceId(7), &range).unwrap();
            assert_eq!(from_range(&key), Some((ServiceId(7), range)));
            assert!(to_range::<common::V6>(ServiceId(7), &range).is_none());
        }
        let networks = Networks {
            detect: Detect::Range("fd00:10:244::/48".parse().unwrap()),
            services: vec!["fd00:10:96::/112".parse().unwrap(), "fd01::/64".parse().unwrap()],
            node: Some("fd00:172:18::2".parse().unwrap()),
            hash_seed: 7,
        };
        assert_eq!(from_networks(&to_networks::<common::V6>(&networks)), networks);
        let none = from_networks(&common::Networks::<common::V4>::default());
        assert_eq!(none, Networks::default());
    }

    #[test]
    fn a_backend_goes_only_to_the_table_of_its_family() {
        let backend = Backend {
            addr: IpAddr::from([10, 0, 0, 1]),
            port: 80,
            service: ServiceId(1),
            state: BackendState::Alive,
            local: true,
            chosen_anywhere: true,
            chosen_local: false,
        };
        assert!(to_backend::<common::V4>(&backend).is_some_and(|raw| raw.is_local()));
        assert!(to_backend::<common::V6>(&backend).is_none());
    }
}
