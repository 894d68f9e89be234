// SPDX-License-Identifier: MIT OR Apache-2.0
//! One change to one entry of one kernel map.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::id::{BackendId, ServiceId, SetId};
use super::state::{AddressFlags, Backend, FrontendValue, KernelState};
use crate::model::{Family, FrontendKey, Networks, ServicePortName};

/// A put overwrites; a delete of what is not there succeeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    PutService {
        id: ServiceId,
        name: ServicePortName,
    },
    PutBackend {
        id: BackendId,
        backend: Backend,
    },
    PutSet {
        id: SetId,
        members: Vec<BackendId>,
    },
    PutFrontend {
        key: FrontendKey,
        value: FrontendValue,
    },
    PutAddress {
        addr: IpAddr,
        flags: AddressFlags,
    },
    PutRange {
        service: ServiceId,
        range: IpNet,
    },
    PutNetworks {
        family: Family,
        networks: Networks,
    },
    DeleteFrontend {
        key: FrontendKey,
    },
    DeleteAddress {
        addr: IpAddr,
    },
    /// With the members it had: a kernel table may be keyed by set *and* slot.
    DeleteSet {
        id: SetId,
        members: Vec<BackendId>,
    },
    DeleteBackend {
        id: BackendId,
    },
    DeleteRange {
        service: ServiceId,
        range: IpNet,
    },
    DeleteService {
        id: ServiceId,
    },
}

impl Op {
    /// Every kind, in the order in which a plan has them; also the metric's labels.
    pub const KINDS: [&'static str; 13] = [
        "put_networks",
        "put_service",
        "put_backend",
        "put_set",
        "put_range",
        "put_frontend",
        "put_address",
        "delete_frontend",
        "delete_address",
        "delete_set",
        "delete_backend",
        "delete_range",
        "delete_service",
    ];

    pub fn kind(&self) -> &'static str {
        match self {
            Self::PutService { .. } => "put_service",
            Self::PutBackend { .. } => "put_backend",
            Self::PutSet { .. } => "put_set",
            Self::PutFrontend { .. } => "put_frontend",
            Self::PutAddress { .. } => "put_address",
            Self::PutRange { .. } => "put_range",
            Self::PutNetworks { .. } => "put_networks",
            Self::DeleteFrontend { .. } => "delete_frontend",
            Self::DeleteAddress { .. } => "delete_address",
            Self::DeleteSet { .. } => "delete_set",
            Self::DeleteBackend { .. } => "delete_backend",
            Self::DeleteRange { .. } => "delete_range",
            Self::DeleteService { .. } => "delete_service",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutService { id, name } => write!(f, "put {id}: {name}"),
            Self::PutBackend { id, backend } => write!(f, "put {id}: {backend}"),
            Self::PutSet { id, members } => {
                write!(f, "put {id}:")?;
                members
                    .iter()
                    .try_for_each(|member| write!(f, " {}/{}", member.family, member.index))
            }
            Self::PutFrontend { key, value } => write!(f, "put frontend {key}: {value}"),
            Self::PutAddress { addr, flags } => write!(f, "put address {addr}: {flags}"),
            Self::PutRange { service, range } => write!(f, "put range {range} of {service}"),
            Self::PutNetworks { family, networks } => write!(f, "put networks of IP{family}: {networks}"),
            Self::DeleteFrontend { key } => write!(f, "delete frontend {key}"),
            Self::DeleteAddress { addr } => write!(f, "delete address {addr}"),
            Self::DeleteSet { id, members } => write!(f, "delete {id} of {}", members.len()),
            Self::DeleteBackend { id } => write!(f, "delete {id}"),
            Self::DeleteRange { service, range } => write!(f, "delete range {range} of {service}"),
            Self::DeleteService { id } => write!(f, "delete {id}"),
        }
    }
}

impl KernelState {
    /// Applies `op`, as the kernel's maps would.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::PutService { id, name } => drop(self.services.insert(*id, name.clone())),
            Op::PutBackend { id, backend } => drop(self.backends.insert(*id, *backend)),
            Op::PutSet { id, members } => drop(self.sets.insert(*id, members.clone())),
            Op::PutFrontend { key, value } => drop(self.frontends.insert(*key, *value)),
            Op::PutAddress { addr, flags } => drop(self.addresses.insert(*addr, *flags)),
            Op::PutRange { service, range } => {
                self.ranges.entry(*service).or_default().insert(*range);
            }
            Op::PutNetworks { family, networks } if *networks == Networks::default() => {
                self.networks.remove(family);
            }
            Op::PutNetworks { family, networks } => {
                self.networks.insert(*family, networks.clone());
            }
            Op::DeleteFrontend { key } => drop(self.frontends.remove(key)),
            Op::DeleteAddress { addr } => drop(self.addresses.remove(addr)),
            Op::DeleteSet { id, .. } => drop(self.sets.remove(id)),
            Op::DeleteBackend { id } => drop(self.backends.remove(id)),
            Op::DeleteRange { service, range } => {
                if let Some(ranges) = self.ranges.get_mut(service) {
                    ranges.remove(range);
                    if ranges.is_empty() {
                        self.ranges.remove(service);
                    }
                }
            }
            Op::DeleteService { id } => drop(self.services.remove(id)),
        }
    }
}
