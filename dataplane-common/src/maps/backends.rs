// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The endpoints of Service ports: arrays `backends4` and `backends6`.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

use crate::maps::services::ServiceId;
use crate::value::family::Family;
use crate::value::wire::Port;

/// A slot of the backend array of one family. 0 is none.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct BackendId(pub u32);

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
    Cluster,
    /// Among those on this node.
    Local,
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
    const IN_CLUSTER_SET: u8 = 1 << 1;
    const IN_LOCAL_SET: u8 = 1 << 2;

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
            Choice::Cluster => Self::IN_CLUSTER_SET,
            Choice::Local => Self::IN_LOCAL_SET,
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

const _: () = {
    use crate::value::family::{V4, V6};
    // No padding anywhere: the fields fill the struct.
    assert!(size_of::<Backend<V4>>() == 4 + 4 + 2 + 2);
    assert!(size_of::<Backend<V6>>() == 16 + 4 + 2 + 2);
};
