// SPDX-License-Identifier: MIT OR Apache-2.0
//! The address plan: kind's, with both families everywhere.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The two addresses that everything in a lab has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ips {
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
}

impl Ips {
    #[must_use]
    pub fn get(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }

    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::ALL.iter().any(|&family| self.get(family) == address)
    }
}

/// Prefix lengths of the pod subnet of a node.
pub const POD_PREFIX_V4: u8 = 24;
pub const POD_PREFIX_V6: u8 = 64;
/// Prefix lengths of the network that the nodes share.
pub const NODE_PREFIX_V4: u8 = 16;
pub const NODE_PREFIX_V6: u8 = 64;
/// Where VIPs come from.
pub const SERVICES_V4: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 16);
pub const SERVICES_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0), 112);

/// Address of node `n` (from 1) on the network that the nodes share.
#[must_use]
pub fn node(n: u8) -> Ips {
    shared(n + 1)
}

/// Address of the host that is not part of the cluster.
#[must_use]
pub fn outside() -> Ips {
    shared(200)
}

/// First address of the pod subnet of node `n`: the pods' gateway.
#[must_use]
pub fn gateway(n: u8) -> Ips {
    pod(n, 1)
}

/// Address `host` in the pod subnet of node `n`.
#[must_use]
pub fn pod(n: u8, host: u8) -> Ips {
    Ips {
        v4: Ipv4Addr::new(10, 244, n, host),
        v6: Ipv6Addr::new(0xfd00, 0x10, 0x244, n.into(), 0, 0, 0, host.into()),
    }
}

/// The pod subnet of node `n`, as its Node object names it.
#[must_use]
pub fn pod_subnets(n: u8) -> [String; 2] {
    let base = pod(n, 0);
    [
        format!("{}/{POD_PREFIX_V4}", base.v4),
        format!("{}/{POD_PREFIX_V6}", base.v6),
    ]
}

/// The VIP with this number.
#[must_use]
pub fn vip(number: u16) -> Ips {
    let [high, low] = number.to_be_bytes();
    Ips {
        v4: Ipv4Addr::new(10, 96, high, low),
        v6: Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, number),
    }
}

fn shared(host: u8) -> Ips {
    Ips {
        v4: Ipv4Addr::new(172, 18, 0, host),
        v6: Ipv6Addr::new(0xfd00, 0x172, 0x18, 0, 0, 0, 0, host.into()),
    }
}
