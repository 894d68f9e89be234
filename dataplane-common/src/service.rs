// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Services as the kernel knows them: addresses, frontends, backend sets, backends.
//!
//! A new flow's packet walks them in that order; an established flow's packet reads none of them,
//! but for a UDP one, which asks its backend's slot (an array) whether the backend is still there.

use crate::family::Family;
use crate::state::Tick;
use crate::wire::Port;

/// A Service port (one name and protocol of one Service). 0 is none.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ServiceId(pub u32);

/// A slot of the backend array of one family. 0 is none.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct BackendId(pub u32);

/// An immutable set of backends. Numbers are not used again, so a packet that read a frontend just
/// before it changed finds the old set or no set, never another's.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SetId(pub u32);

/// What is known of an address: value of the maps `addresses4` and `addresses6`.
///
/// This one lookup tells most packets that are nobody's Service apart, with a small key.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct AddressFlags(pub u32);

impl AddressFlags {
    /// At least one frontend has this address.
    pub const VIP: Self = Self(1);
    /// It is an address of this node: a ClusterIP that the node owns itself (a node-local DNS cache)
    /// is not translated.
    pub const NODE: Self = Self(1 << 1);
    /// It is an address of this node that serves NodePorts.
    pub const NODE_PORTS: Self = Self(1 << 2);
    /// At least one ClusterIP frontend has it: ports that no Service has there are refused. At a load
    /// balancer's or an external address, other ports may be somebody else's.
    pub const CLUSTER_IP: Self = Self(1 << 3);

    /// These flags and those.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other`'s flags are set.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a client connects to: key of the maps `frontends4` and `frontends6`.
///
/// A NodePort has the unspecified address: it is served at every address with
/// [`AddressFlags::NODE_PORTS`], and never written once for each of them.
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

/// What kind of address a frontend has: what rules its clients.
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

/// The backends for one source scope.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SetRef {
    /// The set.
    pub id: SetId,
    /// How many backends it has; at 0 there is no set and the frontend's [`EmptyVerdict`] holds.
    pub size: u32,
}

/// What happens to a new flow whose set is empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum EmptyVerdict {
    /// No endpoint anywhere: tell the client at once.
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

    /// With ClientIP session affinity for so many seconds; 0 is none.
    #[must_use]
    pub fn with_affinity(self, affinity_seconds: u32) -> Self {
        Self {
            affinity_seconds,
            ..self
        }
    }

    /// What kind of address it has.
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
            Choice::Here
        } else {
            Choice::Anywhere
        }
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

/// Backends per entry of the map `sets`: a Service of up to this many endpoints is one entry, one
/// write and one lookup.
pub const SET_CHUNK: u32 = 16;

/// Key of the map `sets`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SetKey {
    /// The set.
    pub set: SetId,
    /// Which of its chunks: slot / [`SET_CHUNK`].
    pub chunk: u32,
}

/// Value of the map `sets`: backends of the family that the frontend is of.
pub type SetChunk = [BackendId; SET_CHUNK as usize];

/// Whether a backend may be used.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum BackendState {
    /// There is none, or it has left its Service. A slot never written reads so.
    #[default]
    Gone = 0,
    /// Takes new flows if a set names it.
    Alive = 1,
    /// Terminating but still serving: flows it has go on.
    Draining = 2,
}

/// The choices of backends that a Service port has: each of its sets is one of them. A backend knows
/// which it is in, so that membership is seen without a search through the set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Choice {
    /// Among all.
    Anywhere,
    /// Among those on this node.
    Here,
}

/// An endpoint of a Service port: value of the arrays `backends4` and `backends6`.
///
/// The slot of a backend that went may be taken by another; a flow that holds the old number sees
/// it by the address, which it has too ([`Backend::serves`]).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Backend<F: Family> {
    /// The pod's address.
    pub addr: F::Addr,
    /// The Service port it belongs to.
    pub service: ServiceId,
    /// The target port.
    pub port: Port,
    state: u8,
    flags: u8,
}

impl<F: Family> Backend<F> {
    const LOCAL: u8 = 1;
    const ANYWHERE: u8 = 1 << 1;
    const HERE: u8 = 1 << 2;

    /// A backend; `local` if its pod is on this node. In no choice yet.
    pub fn new(addr: F::Addr, port: Port, service: ServiceId, state: BackendState, local: bool) -> Self {
        Self {
            addr,
            service,
            port,
            state: state as u8,
            flags: if local { Self::LOCAL } else { 0 },
        }
    }

    /// In a choice, too.
    #[must_use]
    pub fn chosen(self, choice: Choice) -> Self {
        Self {
            flags: self.flags | Self::flag(choice),
            ..self
        }
    }

    /// Whether new flows of this choice may go to it.
    #[inline(always)]
    pub fn is_chosen(&self, choice: Choice) -> bool {
        self.flags & Self::flag(choice) != 0
    }

    #[inline(always)]
    fn flag(choice: Choice) -> u8 {
        match choice {
            Choice::Anywhere => Self::ANYWHERE,
            Choice::Here => Self::HERE,
        }
    }

    /// Whether it may be used.
    #[inline(always)]
    pub fn state(&self) -> BackendState {
        match self.state {
            1 => BackendState::Alive,
            2 => BackendState::Draining,
            _ => BackendState::Gone,
        }
    }

    /// Whether its pod is on this node, so that its reply comes back here.
    #[inline(always)]
    pub fn is_local(&self) -> bool {
        self.flags & Self::LOCAL != 0
    }

    /// Whether this is the backend at `addr`:`port` of `service`, and not gone.
    #[inline(always)]
    pub fn serves(&self, service: ServiceId, addr: &F::Addr, port: Port) -> bool {
        self.state() != BackendState::Gone
            && self.service == service
            && self.addr == *addr
            && self.port == port
    }
}

/// Whom a client was given to: key of the maps `affinity4` and `affinity6`. One for all frontends of
/// a Service port.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AffinityKey<F: Family> {
    /// The client.
    pub client: F::Addr,
    /// The Service port.
    pub service: ServiceId,
}

/// The backend a client was given to last: value of the maps `affinity4` and `affinity6`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Affinity<F: Family> {
    /// The backend's address, by which one is told from another that has taken its slot.
    pub addr: F::Addr,
    /// The backend.
    pub backend: BackendId,
    /// When the client's last *new* flow began.
    pub last_new: Tick,
    /// The backend's port.
    pub port: Port,
    /// Zero.
    pub zero: [u8; 2],
}

impl<F: Family> Affinity<F> {
    /// Whether it is over at `now`, by a Service's timeout. Held at least that long, and at most two
    /// ticks longer.
    #[inline(always)]
    pub fn is_expired(&self, timeout_seconds: u32, now: Tick) -> bool {
        now.since(self.last_new) > Tick::from_nanoseconds(timeout_seconds as u64 * 1_000_000_000).0 + 1
    }
}

/// Who may be a client of a load balancer's frontend: key of the longest-prefix maps `ranges4` and
/// `ranges6`, with a prefix of 32 bits for the Service and those of the range.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RangeKey<F: Family> {
    /// The Service port.
    pub service: ServiceId,
    /// The client, or the range.
    pub addr: F::Addr,
}

impl<F: Family> RangeKey<F> {
    /// Bits of the Service in a key's prefix.
    pub const SERVICE_BITS: u32 = 32;
}

/// What a Service port is called: value of the map `services`, so that a restarted agent and the
/// command line can read names from the kernel alone.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceName {
    /// IANA number of the transport.
    pub protocol: u8,
    length: u8,
    bytes: [u8; Self::MAX],
}

impl ServiceName {
    /// `namespace/name:port`: three DNS labels of up to 63 bytes (RFC 1123), two separators, and a
    /// spare byte that makes the struct even.
    pub const MAX: usize = 192;

    /// The name; `None` if it is too long.
    pub fn new(name: &str, protocol: u8) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Self {
            protocol,
            length: u8::try_from(name.len()).ok()?,
            bytes,
        })
    }

    /// The name; `None` if the map holds something that is no name.
    pub fn name(&self) -> Option<&str> {
        core::str::from_utf8(self.bytes.get(..self.length as usize)?).ok()
    }
}

/// What a Service port has carried since the map was made: value of the per-CPU array `traffic`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ServiceTraffic {
    /// Flows begun.
    pub new_flows: u64,
    /// Packets from clients.
    pub packets: u64,
    /// Their bytes, link-layer headers included.
    pub bytes: u64,
    /// Packets to clients.
    pub reply_packets: u64,
    /// Their bytes.
    pub reply_bytes: u64,
}

const _: () = {
    use crate::family::{V4, V6};
    // No padding anywhere: the fields fill the structs.
    assert!(size_of::<FrontendKey<V4>>() == 4 + 2 + 2);
    assert!(size_of::<FrontendKey<V6>>() == 16 + 2 + 2);
    assert!(size_of::<FrontendValue>() == 2 * 4 + 2 * 8 + 4);
    assert!(size_of::<SetKey>() == 8);
    assert!(size_of::<SetChunk>() == 64);
    assert!(size_of::<Backend<V4>>() == 4 + 4 + 2 + 2);
    assert!(size_of::<Backend<V6>>() == 16 + 4 + 2 + 2);
    assert!(size_of::<ServiceName>() == 2 + ServiceName::MAX);
    assert!(size_of::<AffinityKey<V4>>() == 4 + 4);
    assert!(size_of::<AffinityKey<V6>>() == 16 + 4);
    assert!(size_of::<Affinity<V4>>() == 4 + 4 + 4 + 4);
    assert!(size_of::<Affinity<V6>>() == 16 + 4 + 4 + 4);
    assert!(size_of::<RangeKey<V4>>() == 4 + 4);
    assert!(size_of::<RangeKey<V6>>() == 4 + 16);
};
