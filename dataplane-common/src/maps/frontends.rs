// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! What a client connects to, and where that goes: maps `frontends4` and `frontends6`.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

use crate::maps::backends::Choice;
use crate::maps::services::ServiceId;
use crate::maps::sets::SetRef;
use crate::value::family::Family;
use crate::value::wire::Port;

/// What a client connects to: key of the maps `frontends4` and `frontends6`.
///
/// A NodePort has the unspecified address: it is served at every address with
/// [`AddressFlags::NODE_PORTS`](crate::AddressFlags::NODE_PORTS), and never written once for each of them.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FrontendKey<F: Family> {
    /// The VIP.
    pub addr: F::Addr,
    /// The Service's port.
    pub port: Port,
    /// IANA number of the transport.
    pub protocol: u8,
    zero: u8,
}

impl<F: Family> FrontendKey<F> {
    /// The frontend at `addr`:`port`.
    #[inline(always)]
    pub const fn new(addr: F::Addr, port: Port, protocol: u8) -> Self {
        Self {
            addr,
            port,
            protocol,
            zero: 0,
        }
    }

    /// The frontend of a NodePort.
    #[inline(always)]
    pub fn node_port(port: Port, protocol: u8) -> Self {
        Self::new(F::Addr::default(), port, protocol)
    }
}

/// The kind of a frontend's address, which decides the rules for its clients.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum FrontendKind {
    /// A Service's address within the cluster.
    #[default]
    ClusterIp = 0,
    /// A port of the nodes' own addresses.
    NodePort = 1,
    /// An address of a load balancer that hands packets on as they are.
    LoadBalancer = 2,
    /// An address that an administrator has led to the nodes.
    ExternalIp = 3,
}

/// The verdict for a new flow whose set is empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum EmptyVerdict {
    /// No endpoint anywhere: refuse the client at once.
    #[default]
    Reject,
    /// Endpoints exist but policy leaves none for this source: silence, so that an external load
    /// balancer tries another node.
    Drop,
}

/// Where a frontend's flows go: value of the maps `frontends4` and `frontends6`. Traffic policies,
/// terminating endpoints and topology are compiled into the two sets by the agent.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrontendValue {
    /// The Service port.
    pub service: ServiceId,
    flags: u32,
    /// For this node's pods and processes.
    pub internal: SetRef,
    /// For everything else.
    pub external: SetRef,
    /// ClientIP session affinity in seconds; 0 is none.
    pub affinity_seconds: u32,
}

impl FrontendValue {
    const DROP_INTERNAL: u32 = 1;
    const DROP_EXTERNAL: u32 = 1 << 1;
    const RANGES: u32 = 1 << 2;
    const LOCAL: u32 = 1 << 3;
    const MASQUERADE_EXTERNAL: u32 = 1 << 4;
    const KIND_SHIFT: u32 = 8;
    const KIND: u32 = 3 << Self::KIND_SHIFT;

    /// A frontend of `service` with these sets, and what to do where one is empty.
    pub fn new(
        service: ServiceId,
        kind: FrontendKind,
        (internal, internal_empty): (SetRef, EmptyVerdict),
        (external, external_empty): (SetRef, EmptyVerdict),
    ) -> Self {
        let mut flags = (kind as u32) << Self::KIND_SHIFT;
        if internal_empty == EmptyVerdict::Drop {
            flags |= Self::DROP_INTERNAL;
        }
        if external_empty == EmptyVerdict::Drop {
            flags |= Self::DROP_EXTERNAL;
        }
        Self {
            service,
            flags,
            internal,
            external,
            affinity_seconds: 0,
        }
    }

    /// Only for clients in the Service's source ranges (map `ranges4` or `ranges6`).
    #[must_use]
    pub fn with_ranges(self) -> Self {
        Self {
            flags: self.flags | Self::RANGES,
            ..self
        }
    }

    /// Its traffic policy is `Local`: the set of clients that the policy holds for is the choice of
    /// backends on this node.
    #[must_use]
    pub fn with_local_policy(self) -> Self {
        Self {
            flags: self.flags | Self::LOCAL,
            ..self
        }
    }

    /// Its clients outside the node are masqueraded whatever their backend, unless its policy is `Local`.
    #[must_use]
    pub fn with_external_masquerade(self) -> Self {
        Self {
            flags: self.flags | Self::MASQUERADE_EXTERNAL,
            ..self
        }
    }

    /// With ClientIP session affinity for so many seconds; 0 is none.
    #[must_use]
    pub fn with_affinity(self, affinity_seconds: u32) -> Self {
        Self {
            affinity_seconds,
            ..self
        }
    }

    /// The kind of its address.
    #[inline(always)]
    pub fn kind(&self) -> FrontendKind {
        match (self.flags & Self::KIND) >> Self::KIND_SHIFT {
            1 => FrontendKind::NodePort,
            2 => FrontendKind::LoadBalancer,
            3 => FrontendKind::ExternalIp,
            _ => FrontendKind::ClusterIp,
        }
    }

    /// Whether it is a ClusterIP's.
    #[inline(always)]
    pub fn is_cluster_ip(&self) -> bool {
        self.flags & Self::KIND == 0
    }

    /// Whether source ranges say who may be its client.
    #[inline(always)]
    pub fn has_ranges(&self) -> bool {
        self.flags & Self::RANGES != 0
    }

    /// The choice of backends that a scope's set is. The outside's policy is not for this node's own
    /// clients, a ClusterIP's policy is for all.
    #[inline(always)]
    pub fn choice(&self, external: bool) -> Choice {
        if self.has_local_policy() && (external || self.is_cluster_ip()) {
            Choice::Local
        } else {
            Choice::Cluster
        }
    }

    /// Whether its clients outside the node are masqueraded whatever their backend.
    #[inline(always)]
    pub fn has_external_masquerade(&self) -> bool {
        self.flags & Self::MASQUERADE_EXTERNAL != 0
    }

    /// Whether its traffic policy is `Local`.
    #[inline(always)]
    pub fn has_local_policy(&self) -> bool {
        self.flags & Self::LOCAL != 0
    }

    /// The set, and the verdict if it is empty, for a source outside (`external`) or on this node.
    #[inline(always)]
    pub fn scope(&self, external: bool) -> (SetRef, EmptyVerdict) {
        let (set, drop) = if external {
            (self.external, self.flags & Self::DROP_EXTERNAL)
        } else {
            (self.internal, self.flags & Self::DROP_INTERNAL)
        };
        (
            set,
            if drop == 0 {
                EmptyVerdict::Reject
            } else {
                EmptyVerdict::Drop
            },
        )
    }
}

const _: () = {
    use crate::value::family::{V4, V6};
    // No padding anywhere: the fields fill the struct.
    assert!(size_of::<FrontendKey<V4>>() == 4 + 2 + 2);
    assert!(size_of::<FrontendKey<V6>>() == 16 + 2 + 2);
    assert!(size_of::<FrontendValue>() == 2 * 4 + 2 * 8 + 4);
};
