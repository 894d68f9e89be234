// SPDX-License-Identifier: MIT OR Apache-2.0
//! The operator's settings for this node.

use std::net::IpAddr;
use std::str::FromStr;

use dataplane_common::SERVICE_RANGES;
use ipnet::IpNet;

use crate::compile::Limits;
use crate::model::{
    Detect, Family, Networks, Node, NodeAddress, NodeAddresses, NodeNetwork, OwnAddress, ServiceCidr,
};

#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub limits: Limits,
    pub node_ports: NodePortAddresses,
    pub pods: Pods,
    /// Ranges of ClusterIPs from the operator.
    pub service_ranges: Vec<IpNet>,
}

/// Which of the node's addresses serve NodePorts. A family that is not named has its primary address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodePortAddresses(pub Vec<NodePortAddress>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePortAddress {
    Primary,
    All,
    Within(IpNet),
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} names no addresses: write `primary`, `all`, or a range such as 192.0.2.0/24")]
pub struct NodePortAddressError(String);

impl FromStr for NodePortAddress {
    type Err = NodePortAddressError;

    fn from_str(text: &str) -> Result<Self, NodePortAddressError> {
        match text {
            "primary" => Ok(Self::Primary),
            "all" => Ok(Self::All),
            range => range
                .parse()
                .map(Self::Within)
                .map_err(|_| NodePortAddressError(text.to_owned())),
        }
    }
}

/// How to recognise a client as one of this node's pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pods {
    /// By the device its packets come in by, which another part of the agent judges.
    #[default]
    ByDevice,
    /// By its address: in the first of these ranges that is of its family.
    Within(Vec<IpNet>),
    /// By its address: in the range that the Node object has for its pods.
    WithinNodeRange,
    Nobody,
}

impl Settings {
    /// The node network of a node with this object and these addresses.
    pub(super) fn node_network<'a>(
        &'a self,
        node: &Node,
        addresses: &NodeAddresses,
        service_cidrs: impl Iterator<Item = &'a ServiceCidr>,
    ) -> NodeNetwork {
        let service_ranges: Vec<IpNet> = distinct(
            self.service_ranges
                .iter()
                .chain(service_cidrs.flat_map(|ranges| &ranges.0)),
        );
        let primary = Family::ALL.map(|family| primary(family, node, addresses));
        let own = |addr: &IpAddr| OwnAddress {
            serves_node_ports: !addr.is_loopback()
                && self.node_ports.include(*addr, primary.contains(&Some(*addr))),
        };
        let networks = Family::ALL
            .into_iter()
            .zip(primary)
            .map(|(family, own)| (family, self.networks(family, node, own, &service_ranges)));
        NodeNetwork {
            addresses: addresses.keys().map(|addr| (*addr, own(addr))).collect(),
            networks: networks
                .filter(|(_, networks)| *networks != Networks::default())
                .collect(),
        }
    }

    fn networks(
        &self,
        family: Family,
        node: &Node,
        own: Option<IpAddr>,
        service_ranges: &[IpNet],
    ) -> Networks {
        let of_family = |range: &&IpNet| Family::of(range.addr()) == family;
        let within = |ranges: &[IpNet]| ranges.iter().find(of_family).copied();
        let detect = match &self.pods {
            Pods::ByDevice => Detect::Device,
            Pods::Within(ranges) => within(ranges).map_or(Detect::Nobody, Detect::Range),
            Pods::WithinNodeRange => within(&node.pod_ranges).map_or(Detect::Nobody, Detect::Range),
            Pods::Nobody => Detect::Nobody,
        };
        let services = service_ranges.iter().filter(of_family);
        Networks {
            detect,
            // Beyond these, packets to addresses that no Service has are routed as ever.
            services: services.take(SERVICE_RANGES).copied().collect(),
            node: own,
            hash_seed: 0,
        }
    }
}

impl NodePortAddresses {
    pub(super) fn are_everywhere(&self) -> bool {
        self.0.contains(&NodePortAddress::All)
    }

    fn include(&self, addr: IpAddr, is_primary: bool) -> bool {
        let of_family = |it: &&NodePortAddress| match it {
            NodePortAddress::Primary | NodePortAddress::All => true,
            NodePortAddress::Within(range) => range.addr().is_ipv4() == addr.is_ipv4(),
        };
        let mut named = self.0.iter().filter(of_family).peekable();
        if named.peek().is_none() {
            return is_primary;
        }
        named.any(|it| match it {
            NodePortAddress::Primary => is_primary,
            NodePortAddress::All => true,
            NodePortAddress::Within(range) => range.contains(&addr),
        })
    }
}

/// Without those that lie in others.
fn distinct<'a>(ranges: impl Iterator<Item = &'a IpNet>) -> Vec<IpNet> {
    IpNet::aggregate(&ranges.copied().collect())
}

/// The Node object's address, if the node has it; else that of the first uplink.
fn primary(family: Family, node: &Node, addresses: &NodeAddresses) -> Option<IpAddr> {
    let said = node.address(family).filter(|addr| addresses.contains_key(addr));
    let seen = || {
        let is_primary = |(addr, it): &(&IpAddr, &NodeAddress)| it.primary && Family::of(**addr) == family;
        addresses.iter().find(is_primary).map(|(addr, _)| *addr)
    };
    said.or_else(seen)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn addresses() -> NodeAddresses {
        let address = |text: &str, primary| (text.parse().unwrap(), NodeAddress { primary });
        NodeAddresses::from([
            address("127.0.0.1", false),
            address("172.18.0.2", true),
            address("192.0.2.7", false),
            address("10.244.1.1", false),
            address("::1", false),
            address("fd00::2", true),
            address("fd00::3", false),
        ])
    }

    fn serving(settings: &[&str], node_addresses: &[&str]) -> BTreeSet<String> {
        let settings = Settings {
            node_ports: NodePortAddresses(settings.iter().map(|it| it.parse().unwrap()).collect()),
            ..Settings::default()
        };
        let node = Node {
            addresses: node_addresses.iter().map(|it| it.parse().unwrap()).collect(),
            ..Node::default()
        };
        let node_network = settings.node_network(&node, &addresses(), std::iter::empty());
        let serving = node_network
            .addresses
            .iter()
            .filter(|(_, own)| own.serves_node_ports);
        serving.map(|(addr, _)| addr.to_string()).collect()
    }

    fn set(addresses: &[&str]) -> BTreeSet<String> {
        addresses.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn node_ports_are_served_at_the_primary_address_of_each_family() {
        assert_eq!(serving(&[], &[]), set(&["172.18.0.2", "fd00::2"]));
        assert_eq!(
            serving(&["primary"], &["192.0.2.7"]),
            set(&["192.0.2.7", "fd00::2"])
        );
        assert_eq!(
            serving(&[], &["198.51.100.1"]),
            set(&["172.18.0.2", "fd00::2"]),
            "an address that the node does not have serves nothing"
        );
    }

    #[test]
    fn node_ports_are_served_where_the_operator_says_but_never_on_loopback() {
        assert_eq!(
            serving(&["all"], &[]),
            set(&["172.18.0.2", "192.0.2.7", "10.244.1.1", "fd00::2", "fd00::3"])
        );
        assert_eq!(
            serving(&["192.0.2.0/24", "127.0.0.0/8"], &[]),
            set(&["192.0.2.7", "fd00::2"])
        );
        assert!("everywhere".parse::<NodePortAddress>().is_err());
    }

    #[test]
    fn cluster_ips_come_from_where_flags_and_objects_say() {
        let ranges = |texts: &[&str]| -> Vec<IpNet> { texts.iter().map(|it| it.parse().unwrap()).collect() };
        let settings = Settings {
            service_ranges: ranges(&["10.96.0.0/16"]),
            ..Settings::default()
        };
        let objects = [
            ServiceCidr(ranges(&["10.96.0.0/16", "fd00:10:96::/112"])),
            ServiceCidr(ranges(&["10.97.0.0/16", "172.30.0.0/16"])),
        ];
        let networks = settings
            .node_network(&Node::default(), &addresses(), objects.iter())
            .networks;
        assert_eq!(
            networks[&Family::V4].services,
            ranges(&["10.96.0.0/15", "172.30.0.0/16"]),
            "neighbours are one range"
        );
        assert_eq!(networks[&Family::V6].services, ranges(&["fd00:10:96::/112"]));
    }

    #[test]
    fn pods_are_recognised_as_the_operator_says() {
        let range = |text: &str| text.parse::<IpNet>().unwrap();
        let node = Node {
            pod_ranges: vec![range("10.244.1.0/24")],
            ..Node::default()
        };
        let detect = |pods| {
            let settings = Settings {
                pods,
                ..Settings::default()
            };
            Family::ALL.map(|family| settings.networks(family, &node, None, &[]).detect)
        };
        assert_eq!(detect(Pods::ByDevice), [Detect::Device, Detect::Device]);
        assert_eq!(detect(Pods::Nobody), [Detect::Nobody, Detect::Nobody]);
        assert_eq!(
            detect(Pods::WithinNodeRange),
            [Detect::Range(range("10.244.1.0/24")), Detect::Nobody],
            "a family without a range has no way to tell"
        );
        assert_eq!(
            detect(Pods::Within(vec![
                range("fd00::/48"),
                range("10.0.0.0/8"),
                range("11.0.0.0/8")
            ])),
            [
                Detect::Range(range("10.0.0.0/8")),
                Detect::Range(range("fd00::/48"))
            ]
        );
    }
}
