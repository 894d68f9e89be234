// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The node's settings: map `config`.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

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
    /// Packets of established flows do not go through the host's stack: see `hooks/fast_path.rs`.
    pub const FAST_PATH: u32 = 1 << 4;
    /// Clients outside the node are masqueraded whatever their backend, under the policy `Cluster`.
    pub const MASQUERADE_EXTERNAL: u32 = 1 << 5;
}

// No padding anywhere: the fields fill the struct.
const _: () = assert!(size_of::<Config>() == 4 + 2 * 2 + 2 * 4 + 8);
