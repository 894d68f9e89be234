// SPDX-License-Identifier: MIT OR Apache-2.0
//! The contents of the kernel's maps as plain data.
//!
//! ```text
//! addresses: addr ─────────────────► VIP | CLUSTER IP | NODE | NODE PORTS
//! frontends: addr, port, protocol ─► service, internal set, external set
//! ranges:    service id, range ────► (who may be a client of a restricted frontend)
//! sets:      set id ───────────────► backend ids          (never changed once written)
//! backends:  backend id ───────────► addr, port, service, state
//! services:  service id ───────────► name
//! networks:  family ───────────────► where pods and ClusterIPs are
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use dataplane_common::EmptyVerdict;
pub use dataplane_common::SetRef;
use ipnet::IpNet;

use super::backend_map::BackendMap;
use super::id::{BackendId, ServiceId, SetId};
use crate::model::{Family, FrontendKey, FrontendKind, Networks, ServicePortName, Target, TrafficPolicy};

/// The contents of the kernel's maps, actual or desired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelState {
    pub services: BTreeMap<ServiceId, ServicePortName>,
    pub backends: BackendMap<Backend>,
    pub sets: BTreeMap<SetId, Vec<BackendId>>,
    pub frontends: BTreeMap<FrontendKey, FrontendValue>,
    pub addresses: BTreeMap<IpAddr, AddressFlags>,
    /// No Service without a range is in here.
    pub ranges: BTreeMap<ServiceId, BTreeSet<IpNet>>,
    /// A family that is not in here has the default.
    pub networks: BTreeMap<Family, Networks>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    pub addr: IpAddr,
    pub port: u16,
    pub service: ServiceId,
    pub state: BackendState,
    /// Runs on this node.
    pub local: bool,
    /// Is in the sets of clients that may go anywhere.
    pub chosen_anywhere: bool,
    /// Is in the sets of clients that must stay on this node.
    pub chosen_local: bool,
}

impl Backend {
    pub fn target(&self) -> Target {
        Target {
            addr: self.addr,
            port: self.port,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendState {
    /// Takes new flows.
    Alive,
    /// Keeps the flows it has and is in no set.
    Draining,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontendValue {
    pub service: ServiceId,
    pub kind: FrontendKind,
    /// The traffic policy that applies. Clients it does not concern may go anywhere.
    pub policy: TrafficPolicy,
    pub internal: ScopeValue,
    pub external: ScopeValue,
    /// Zero: no affinity.
    pub affinity_seconds: u32,
    /// Only for clients in the Service's ranges.
    pub is_restricted: bool,
    /// Clients outside the node are masqueraded whatever their backend.
    pub masquerades_external: bool,
}

/// The backends for one source scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopeValue {
    pub set: SetRef,
    /// `Drop` where the set is not empty.
    pub empty: EmptyVerdict,
}

/// Why an address is in the table. Without any flag it is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressFlags {
    /// At least one frontend has it.
    pub vip: bool,
    /// At least one frontend of a cluster IP has it: its unknown ports are rejected.
    pub cluster_ip: bool,
    /// It is an address of this node.
    pub node: bool,
    /// And one that serves NodePorts.
    pub node_ports: bool,
}

impl AddressFlags {
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.target(), self.service)?;
        if self.local {
            f.write_str(", local")?;
        }
        if self.chosen_local && !self.chosen_anywhere {
            f.write_str(", for policy Local only")?;
        }
        match self.state {
            BackendState::Alive => Ok(()),
            BackendState::Draining => f.write_str(", draining"),
        }
    }
}

impl fmt::Display for ScopeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.set, self.empty) {
            (SetRef::EMPTY, EmptyVerdict::Reject) => f.write_str("reject"),
            (SetRef::EMPTY, EmptyVerdict::Drop) => f.write_str("drop"),
            (set, _) => write!(f, "{} of {}", set.id, set.size),
        }
    }
}

impl fmt::Display for FrontendValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {}, internal {}, external {}",
            self.kind, self.service, self.internal, self.external
        )?;
        if self.is_restricted {
            f.write_str(", for its ranges only")?;
        }
        if self.affinity_seconds > 0 {
            write!(f, ", affinity {} s", self.affinity_seconds)?;
        }
        Ok(())
    }
}

impl fmt::Display for AddressFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (self.cluster_ip, "cluster IP"),
            (self.vip && !self.cluster_ip, "VIP"),
            (self.node && !self.node_ports, "node"),
            (self.node_ports, "node with NodePorts"),
        ];
        let words: Vec<_> = words
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, word)| *word)
            .collect();
        f.write_str(if words.is_empty() { "nothing" } else { "" })?;
        f.write_str(&words.join(" and "))
    }
}
