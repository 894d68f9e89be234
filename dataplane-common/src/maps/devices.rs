// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The devices that carry Service traffic: map `devices`.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

use crate::value::family::Family;
use crate::value::wire::{Addr4, Addr6};

/// What is attached to a device, and so where its incoming packets come from.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DeviceKind {
    /// A pod of this node.
    Pod = 1,
    /// Everything outside this node.
    Uplink = 2,
    /// Routes for the ports that pods hang on; no program is attached to it.
    Bridge = 3,
}

impl DeviceKind {
    /// The kind written as `raw`, if it is one.
    pub fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            1 => Some(Self::Pod),
            2 => Some(Self::Uplink),
            3 => Some(Self::Bridge),
            _ => None,
        }
    }

    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Uplink => "uplink",
            Self::Bridge => "bridge",
        }
    }
}

/// A device that carries service traffic: value of the map `devices`, by interface index.
/// Read for a flow's first packet only.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Device {
    /// A [`DeviceKind`]; an unknown number counts as an uplink's.
    pub kind: u32,
    /// `send_redirects` of this device as it was found, put back at cleanup (0 or 1, per family 4).
    pub send_redirects: u32,
    /// Source address of flows masqueraded out of this device; 0.0.0.0 if there is none.
    pub v4: Addr4,
    /// The same for IPv6; `::` if there is none.
    pub v6: Addr6,
    /// 1: packets from it count as from one of this node's pods for policies; else 0. What policies
    /// apply where pods are detected by their address instead: see `networks.rs`.
    pub local: u32,
    /// 1: the device has a peer in another network namespace, and packets can be put there at once; else 0.
    pub peer: u32,
    /// 1: the device is a port of a bridge or switch, so frames with another link-layer address than its own may be for
    /// the node; else 0.
    pub bridge_port: u32,
}

impl Device {
    /// The address that flows masqueraded out of this device take; unspecified if it has none.
    #[inline(always)]
    pub(crate) fn source<F: Family>(&self) -> F::Addr {
        F::pick(self.v4, self.v6)
    }
}

// No padding anywhere: the fields fill the struct.
const _: () = assert!(size_of::<Device>() == 3 * 4 + 16 + 3 * 4);
