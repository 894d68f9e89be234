// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! What the agent tells the kernel about a device and about itself.

use crate::wire::{Addr4, Addr6};

/// What hangs on a device: where a packet that comes in there is from.
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
    /// A [`DeviceKind`]; an unknown number counts as a pod's.
    pub kind: u32,
    /// `send_redirects` of this device as it was found, put back at cleanup (0 or 1, per family 4).
    pub send_redirects: u32,
    /// Source address of flows masqueraded out of this device; 0.0.0.0 if there is none.
    pub v4: Addr4,
    /// The same for IPv6; `::` if there is none.
    pub v6: Addr6,
    /// 1: who sends by it is one of this node's pods, as far as policies care; else 0. What policies
    /// hold where pods are told by their address instead, `networks.rs` says.
    pub local: u32,
    /// 1: the device has an other end, in another network namespace, and packets can be put there at once; else 0.
    pub peer: u32,
}

/// The node's settings: the one value of the map `config`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// [`Config::TAKE_OVER`] and the others.
    pub flags: u32,
    /// First port of the range that rewritten source ports are taken from. Host byte order.
    pub ports_first: u16,
    /// How many ports the range has.
    pub ports_count: u16,
    /// `send_redirects` of `all` as it was found, put back at cleanup.
    pub send_redirects_all: u32,
    /// Zero.
    pub reserved: u32,
    /// `SO_NETNS_COOKIE` of the node's network namespace; 0, which no namespace has, if its sockets
    /// are not translated.
    pub netns: u64,
}

impl Config {
    /// A TCP segment to a VIP that is no SYN and has no flow passes untouched: kube-proxy's
    /// conntrack entries, older than Shunt, may own the connection.
    pub const TAKE_OVER: u32 = 1;
    /// Every flow to a ClusterIP is masqueraded.
    pub const MASQUERADE_ALL: u32 = 1 << 1;
    /// Clients outside the node are refused at ClusterIPs.
    pub const REFUSE_EXTERNAL: u32 = 1 << 2;
    /// TCP sockets of other namespaces (pods) below the node's cgroup are translated too.
    pub const POD_SOCKETS: u32 = 1 << 3;
    /// Packets of established flows do not go through the host's stack: see `shortcut.rs`.
    pub const SHORTCUTS: u32 = 1 << 4;
}
