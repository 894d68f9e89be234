// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The node's settings: map `config`.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

use crate::value::wire::Port;

/// The node's settings: the one value of the map `config`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// [`Config::TAKE_OVER`] and the others.
    pub flags: u32,
    /// First port of the range that rewritten source ports are taken from. Host byte order.
    pub ports_first: u16,
    /// How many ports the range has. Beyond port 65535 it goes on at 1024, so that it can go round the range from
    /// which the kernel gives ports to sockets.
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

    /// Ports below this one are never given to rewritten sources.
    pub const FIRST_PORT: u16 = 1024;

    /// The port at this place of the range, which is below [`Config::ports_count`].
    #[inline(always)]
    pub fn port_at(&self, place: u16) -> Port {
        let port = self.ports_first as u32 + place as u32;
        let beyond = port.wrapping_sub(0x1_0000);
        Port::new(match port > 0xffff {
            true => (beyond + Self::FIRST_PORT as u32) as u16,
            false => port as u16,
        })
    }

    /// Whether a port is in the range.
    #[inline(always)]
    pub fn has_port(&self, port: Port) -> bool {
        let port = port.get();
        let place = match port >= self.ports_first {
            true => port as u32 - self.ports_first as u32,
            false => (port as u32 + 0x1_0000 - self.ports_first as u32).wrapping_sub(Self::FIRST_PORT as u32),
        };
        port >= Self::FIRST_PORT && place < self.ports_count as u32
    }
}

// No padding anywhere: the fields fill the struct.
const _: () = assert!(size_of::<Config>() == 4 + 2 * 2 + 2 * 4 + 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_ports_goes_on_at_1024() {
        let config = Config {
            ports_first: 61_000,
            ports_count: 36_280,
            ..Config::default()
        };
        assert_eq!(config.port_at(0).get(), 61_000);
        assert_eq!(config.port_at(4_535).get(), 65_535);
        assert_eq!(config.port_at(4_536).get(), 1_024);
        assert_eq!(config.port_at(36_279).get(), 32_767);
        for place in 0..config.ports_count {
            assert!(config.has_port(config.port_at(place)));
        }
        for port in [0, 1, 1_023, 32_768, 60_999] {
            assert!(!config.has_port(Port::new(port)), "{port}");
        }
    }
}
