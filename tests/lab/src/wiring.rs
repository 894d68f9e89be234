// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a CNI joins a pod to its node.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::packet_route::address::AddressFlags;
use rtnetlink::packet_route::route::RouteScope;

use crate::addresses::{Family, Ips, POD_PREFIX_V4, POD_PREFIX_V6};
use crate::error::Result;
use crate::netlink::Route;
use crate::netns::Netns;

/// The name of the bridge of [`Wiring::Bridge`].
pub const BRIDGE: &str = "cni0";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wiring {
    /// kindnet, the `ptp` plugin: one routed veth per pod, no bridge. The host side carries the gateway's
    /// address and a host route to the pod; the pod reaches even its own subnet through the gateway.
    Ptp,
    /// flannel and others, the `bridge` plugin: host sides are ports of `cni0`, which is the gateway.
    Bridge,
}

impl Wiring {
    pub const ALL: [Self; 2] = [Self::Ptp, Self::Bridge];

    /// Prepares a node, before its first pod.
    pub fn prepare(self, node: &Netns, gateway: Ips) -> Result<()> {
        if self == Self::Ptp {
            return Ok(());
        }
        let [.., network, host] = gateway.v4.octets();
        node.configure(async |network_of_node| {
            network_of_node
                .add_bridge(BRIDGE, [0x0a, 0x58, 10, 244, network, host])
                .await?;
            for family in Family::ALL {
                let address = (gateway.get(family), subnet_prefix(family));
                network_of_node
                    .add_address(BRIDGE, address, AddressFlags::empty())
                    .await?;
            }
            Ok(())
        })
    }

    /// Joins a pod to its node; `host_device` is the name of the node's side, the pod's is `eth0`.
    pub fn join(self, node: &Netns, pod: &Netns, host_device: &str, ips: Ips, gateway: Ips) -> Result<()> {
        node.join(host_device, pod, "eth0")?;
        match self {
            Self::Ptp => {
                routed_node_side(node, host_device, ips, gateway)?;
                routed_pod_side(pod, ips, gateway)
            }
            Self::Bridge => {
                node.configure(async |network| network.enslave(host_device, BRIDGE).await)?;
                bridged_pod_side(pod, ips, gateway)
            }
        }
    }
}

impl fmt::Display for Wiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ptp => "ptp",
            Self::Bridge => "bridge",
        })
    }
}

fn routed_node_side(node: &Netns, device: &str, ips: Ips, gateway: Ips) -> Result<()> {
    node.configure(async |network| {
        for family in Family::ALL {
            let gateway = (gateway.get(family), host_prefix(family));
            network
                .add_address(device, gateway, AddressFlags::Noprefixroute)
                .await?;
            let to_pod = (ips.get(family), host_prefix(family));
            network
                .add_route(Route::device(to_pod, device, RouteScope::Host))
                .await?;
        }
        Ok(())
    })
}

fn routed_pod_side(pod: &Netns, ips: Ips, gateway: Ips) -> Result<()> {
    pod.configure(async |network| {
        for family in Family::ALL {
            let (ip, gateway) = (ips.get(family), gateway.get(family));
            let own = (ip, subnet_prefix(family));
            network
                .add_address("eth0", own, AddressFlags::Noprefixroute)
                .await?;
            let to_gateway = (gateway, host_prefix(family));
            network
                .add_route(Route::device(to_gateway, "eth0", RouteScope::Link).from(ip))
                .await?;
            network
                .add_route(Route::via((subnet(ip), subnet_prefix(family)), gateway).from(ip))
                .await?;
            network.add_route(Route::via(everywhere(family), gateway)).await?;
        }
        Ok(())
    })
}

fn bridged_pod_side(pod: &Netns, ips: Ips, gateway: Ips) -> Result<()> {
    pod.configure(async |network| {
        for family in Family::ALL {
            let own = (ips.get(family), subnet_prefix(family));
            network.add_address("eth0", own, AddressFlags::empty()).await?;
            network
                .add_route(Route::via(everywhere(family), gateway.get(family)))
                .await?;
        }
        Ok(())
    })
}

/// The pod subnet that an address lies in.
#[must_use]
pub fn subnet(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

fn subnet_prefix(family: Family) -> u8 {
    match family {
        Family::V4 => POD_PREFIX_V4,
        Family::V6 => POD_PREFIX_V6,
    }
}

fn host_prefix(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

fn everywhere(family: Family) -> (IpAddr, u8) {
    match family {
        Family::V4 => (Ipv4Addr::UNSPECIFIED.into(), 0),
        Family::V6 => (Ipv6Addr::UNSPECIFIED.into(), 0),
    }
}
