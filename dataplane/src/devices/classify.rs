// SPDX-License-Identifier: MIT OR Apache-2.0
//! Classifies a device: a pod's, an uplink, or not used. Pure.

use std::collections::BTreeMap;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use dataplane_common::DeviceKind;

use super::inventory::{Address, Inventory, Link, LinkKind, Use};
use crate::model::{NodeAddress, NodeAddresses};

/// A device that carries service traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    pub name: String,
    pub kind: DeviceKind,
    pub ethernet: bool,
    /// Packets can be redirected straight into the pod.
    pub peer: bool,
    /// The source address of flows masqueraded on this device; unspecified if the node has none.
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
    /// The bridge it is a port of, which routes for it.
    pub bridge: Option<u32>,
    /// Frames with another link-layer address than its own may be for the node.
    pub bridge_port: bool,
    /// Its senders count as this node's pods.
    pub local: bool,
}

/// Which devices' senders count as this node's pods, as far as traffic policies care.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PodDevices {
    /// Pods' devices.
    #[default]
    ByKind,
    /// A bridge and its ports.
    Bridge(String),
    /// Devices whose name, or whose bridge's name, has this prefix.
    Prefix(String),
}

/// An exception: a device's name, or the beginning of names (`cali*`), and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pattern: String,
    kind: Option<DeviceKind>,
}

/// Exceptions; the first that fits counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(pub Vec<Rule>);

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a device rule: write NAME=pod, NAME=uplink or NAME=none, where NAME may end in `*`")]
pub struct RuleError(String);

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let error = || RuleError(text.to_owned());
        let (pattern, kind) = text
            .split_once('=')
            .filter(|(pattern, _)| !pattern.is_empty())
            .ok_or_else(error)?;
        let kind = match kind {
            "pod" => Some(DeviceKind::Pod),
            "uplink" => Some(DeviceKind::Uplink),
            "none" => None,
            _ => return Err(error()),
        };
        Ok(Self {
            pattern: pattern.to_owned(),
            kind,
        })
    }
}

impl Rule {
    fn fits(&self, name: &str) -> bool {
        match self.pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => self.pattern == name,
        }
    }
}

impl Inventory {
    /// Every device that carries service traffic, by interface index.
    pub fn classify(&self, rules: &Rules, pods: &PodDevices) -> BTreeMap<u32, Classified> {
        let kinds = self.kinds(rules);
        let primary = self.primary(&kinds);
        kinds
            .iter()
            .filter_map(|(index, kind)| {
                let mut classified = self.classified(*index, self.links.get(index)?, *kind, primary);
                classified.local = self.is_local(&classified, pods);
                Some((*index, classified))
            })
            .collect()
    }

    /// All addresses of the node.
    pub fn node_addresses(&self, rules: &Rules) -> NodeAddresses {
        let (v4, v6) = self.primary(&self.kinds(rules));
        let devices = self
            .addresses
            .iter()
            .filter(|(index, _)| !self.is_of_ipvs(**index));
        let all = devices.flat_map(|(_, addresses)| addresses);
        all.filter(|it| it.use_as != Use::Nothing)
            .map(|it| {
                let primary = it.addr == v4 || it.addr == v6;
                (it.addr, NodeAddress { primary })
            })
            .collect()
    }

    fn is_local(&self, classified: &Classified, pods: &PodDevices) -> bool {
        let bridge = classified.bridge.and_then(|index| self.links.get(&index));
        let mut names = iter::once(&classified.name).chain(bridge.map(|bridge| &bridge.name));
        match pods {
            PodDevices::ByKind => classified.kind == DeviceKind::Pod,
            PodDevices::Bridge(bridge) => names.any(|name| name == bridge),
            PodDevices::Prefix(prefix) => names.any(|name| name.starts_with(prefix)),
        }
    }

    fn kinds(&self, rules: &Rules) -> BTreeMap<u32, DeviceKind> {
        self.links
            .iter()
            .filter_map(|(index, link)| Some((*index, self.kind(*index, link, rules)?)))
            .collect()
    }

    fn kind(&self, index: u32, link: &Link, rules: &Rules) -> Option<DeviceKind> {
        if let Some(rule) = rules.0.iter().find(|rule| rule.fits(&link.name)) {
            return rule.kind;
        }
        match link.kind {
            LinkKind::Loopback | LinkKind::Bridge | LinkKind::Inert | LinkKind::Ipvs | LinkKind::Vrf => None,
            // A CNI gives the node's end of a pod's pair no address, or a lone one (its gateway);
            // a node that is a container itself has its uplink's subnet on one.
            LinkKind::Veth
                if self
                    .of(index)
                    .any(|address| address.has_subnet() && address.is_global()) =>
            {
                Some(DeviceKind::Uplink)
            }
            // No pod is at either end: what comes out is the node's own, or has been seen before.
            LinkKind::Veth if link.both_here => Some(DeviceKind::Uplink),
            LinkKind::Veth => Some(DeviceKind::Pod),
            LinkKind::Bond => Some(DeviceKind::Uplink),
            LinkKind::Other if self.is_part_of_another(link) => None,
            LinkKind::Other => Some(DeviceKind::Uplink),
        }
    }

    /// Whether another device takes all its packets, and is hooked: a bond, a team, a virtual machine's network card
    /// that has this one for its fast path, an Open vSwitch (whose flows know the node by its own address). A bridge is not
    /// hooked, a VRF takes no packets.
    fn is_part_of_another(&self, link: &Link) -> bool {
        let controller = link.controller.and_then(|index| self.links.get(&index));
        controller.is_some_and(|controller| matches!(controller.kind, LinkKind::Bond | LinkKind::Other))
    }

    fn classified(
        &self,
        index: u32,
        link: &Link,
        kind: DeviceKind,
        primary: (Ipv4Addr, Ipv6Addr),
    ) -> Classified {
        let bridge = link.controller.filter(|index| {
            self.links
                .get(index)
                .is_some_and(|controller| controller.kind == LinkKind::Bridge)
        });
        // A port of a bridge has no address; its pods know the bridge's.
        let own = self.addresses_of(bridge.unwrap_or(index));
        let routed = self.routed_of(index);
        Classified {
            name: link.name.clone(),
            kind,
            ethernet: link.ethernet,
            peer: kind == DeviceKind::Pod && link.ethernet && link.peer,
            v4: own.0.or(routed.0).unwrap_or(primary.0),
            v6: own.1.or(routed.1).unwrap_or(primary.1),
            bridge,
            bridge_port: self.is_bridge_port(link, kind),
            local: false,
        }
    }

    /// Whether frames for the bridge or switch that a device is a port of may have another link-layer address than the
    /// device's. What comes to an uplink for others is for hosts behind the bridge, or flooded, where the bridge has the
    /// uplink's address.
    fn is_bridge_port(&self, link: &Link, kind: DeviceKind) -> bool {
        let Some(controller) = link.controller.and_then(|index| self.links.get(&index)) else {
            return false;
        };
        match controller.kind {
            LinkKind::Vrf | LinkKind::Bond => false,
            _ => kind == DeviceKind::Pod || controller.address != link.address,
        }
    }

    /// Of each family, the address of a device that flows masqueraded out of it take: the Node object's, if it is there;
    /// else the first in a subnet, else the first. Never one that the kernel would not take.
    fn addresses_of(&self, index: u32) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        let sources: Vec<Address> = self
            .of(index)
            .filter(|address| address.is_global() && address.use_as == Use::Source)
            .collect();
        let of_node = self
            .node
            .iter()
            .filter(|addr| sources.iter().any(|it| it.addr == **addr));
        let in_subnet = sources.iter().filter(|address| address.has_subnet());
        let by_rank: Vec<IpAddr> = of_node
            .copied()
            .chain(in_subnet.map(|address| address.addr))
            .chain(sources.iter().map(|address| address.addr))
            .collect();
        first_of_each(&by_rank)
    }

    /// What routing takes where a device has no address.
    fn routed_of(&self, index: u32) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        first_of_each(self.routed.get(&index).map_or(&[], Vec::as_slice))
    }

    /// Uplinks that have no address of some family.
    pub fn bare_uplinks(&self, rules: &Rules) -> Vec<u32> {
        let kinds = self.kinds(rules);
        let uplinks = kinds.iter().filter(|(_, kind)| **kind == DeviceKind::Uplink);
        uplinks
            .map(|(index, _)| *index)
            .filter(|index| {
                let (v4, v6) = self.addresses_of(*index);
                v4.is_none() || v6.is_none()
            })
            .collect()
    }

    fn is_of_ipvs(&self, index: u32) -> bool {
        self.links
            .get(&index)
            .is_some_and(|link| link.kind == LinkKind::Ipvs)
    }

    /// What a device without an address of its own takes: the Node object's, if an uplink has it; what packets to the
    /// outside have, if an uplink has that; else the first uplink's.
    fn primary(&self, kinds: &BTreeMap<u32, DeviceKind>) -> (Ipv4Addr, Ipv6Addr) {
        let uplinks = kinds.iter().filter(|(_, kind)| **kind == DeviceKind::Uplink);
        let uplinks: Vec<u32> = uplinks.map(|(index, _)| *index).collect();
        let is_an_uplinks = |addr: &&IpAddr| {
            let mut all = uplinks.iter().flat_map(|index| self.of(*index));
            all.any(|it| it.addr == **addr && it.use_as == Use::Source)
        };
        let routed = self.routed.get(&OUTSIDE).map_or(&[][..], Vec::as_slice);
        let mut by_rank: Vec<IpAddr> = self
            .node
            .iter()
            .chain(routed)
            .filter(is_an_uplinks)
            .copied()
            .collect();
        for index in uplinks {
            let (v4, v6) = self.addresses_of(index);
            by_rank.extend(v4.map(IpAddr::V4).into_iter().chain(v6.map(IpAddr::V6)));
        }
        let (v4, v6) = first_of_each(&by_rank);
        (
            v4.unwrap_or(Ipv4Addr::UNSPECIFIED),
            v6.unwrap_or(Ipv6Addr::UNSPECIFIED),
        )
    }
}

/// The place of [`Inventory::routed`] that is of no device.
pub(super) const OUTSIDE: u32 = 0;

fn first_of_each(addresses: &[IpAddr]) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
    let v4 = addresses.iter().find_map(|addr| match addr {
        IpAddr::V4(addr) => Some(*addr),
        IpAddr::V6(_) => None,
    });
    let v6 = addresses.iter().find_map(|addr| match addr {
        IpAddr::V4(_) => None,
        IpAddr::V6(addr) => Some(*addr),
    });
    (v4, v6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, kind: LinkKind, controller: Option<u32>) -> Link {
        Link {
            peer: kind == LinkKind::Veth,
            address: name.as_bytes().to_vec(),
            both_here: false,
            name: name.to_owned(),
            kind,
            controller,
            ethernet: true,
        }
    }

    fn address(addr: &str, prefix: u8) -> Address {
        Address {
            addr: addr.parse().unwrap(),
            prefix,
            use_as: Use::Source,
        }
    }

    fn node() -> Inventory {
        let mut node = Inventory::default();
        node.links.insert(1, link("lo", LinkKind::Loopback, None));
        node.links.insert(2, link("eth0", LinkKind::Veth, None));
        node.links.insert(3, link("veth1", LinkKind::Veth, None));
        node.links.insert(4, link("cni0", LinkKind::Bridge, None));
        node.links.insert(5, link("veth2", LinkKind::Veth, Some(4)));
        node.addresses.insert(1, vec![address("127.0.0.1", 8)]);
        node.addresses.insert(
            2,
            [
                address("172.18.0.2", 16),
                address("fe80::1", 64),
                address("fd00::2", 64),
            ]
            .into(),
        );
        node.addresses.insert(3, [address("10.244.1.1", 32)].into());
        node.addresses.insert(4, [address("10.244.2.1", 24)].into());
        node
    }

    #[test]
    fn a_pair_with_a_subnet_is_the_nodes_own_uplink_and_others_are_pods() {
        let classified = node().classify(&Rules::default(), &PodDevices::ByKind);
        let kinds: Vec<_> = classified
            .values()
            .map(|device| (device.name.as_str(), device.kind))
            .collect();
        assert_eq!(
            kinds,
            [
                ("eth0", DeviceKind::Uplink),
                ("veth1", DeviceKind::Pod),
                ("veth2", DeviceKind::Pod)
            ]
        );
    }

    #[test]
    fn masquerade_takes_the_devices_own_address_or_its_bridges_or_the_nodes() {
        let classified = node().classify(&Rules::default(), &PodDevices::ByKind);
        let v4 = |index| {
            classified
                .get(&index)
                .map(|device: &Classified| device.v4.to_string())
                .unwrap_or_default()
        };
        assert_eq!(
            (v4(2).as_str(), v4(3).as_str(), v4(5).as_str()),
            ("172.18.0.2", "10.244.1.1", "10.244.2.1")
        );
        assert_eq!(
            classified.get(&3).map(|device| device.v6.to_string()),
            Some("fd00::2".to_owned())
        );
    }

    #[test]
    fn a_pod_is_recognised_by_kind_bridge_or_name() {
        let local = |pods: &PodDevices| -> Vec<String> {
            let classified = node().classify(&Rules::default(), pods);
            let local = classified.into_values().filter(|device| device.local);
            local.map(|device| device.name).collect()
        };
        assert_eq!(local(&PodDevices::ByKind), ["veth1", "veth2"]);
        assert_eq!(local(&PodDevices::Bridge("cni0".to_owned())), ["veth2"]);
        assert_eq!(local(&PodDevices::Prefix("cni".to_owned())), ["veth2"]);
        assert_eq!(local(&PodDevices::Prefix("eth".to_owned())), ["eth0"]);
    }

    #[test]
    fn the_primary_address_is_the_uplinks() {
        let addresses = node().node_addresses(&Rules::default());
        let primary = addresses.iter().filter(|(_, it)| it.primary);
        let primary: Vec<_> = primary.map(|(addr, _)| addr.to_string()).collect();
        assert_eq!(primary, ["172.18.0.2", "fd00::2"]);
        assert_eq!(addresses.len(), 6);
    }

    #[test]
    fn frames_for_others_may_be_for_the_bridge_unless_it_has_the_uplinks_address() {
        let mut node = node();
        for (index, name) in [(8, "br0"), (9, "br1"), (10, "vrf0")] {
            let kind = if name == "vrf0" {
                LinkKind::Vrf
            } else {
                LinkKind::Bridge
            };
            node.links.insert(index, link(name, kind, None));
        }
        let mut uplink = |index, name, controller| {
            let mut uplink = link(name, LinkKind::Other, Some(controller));
            uplink.address = b"br0".to_vec();
            node.links.insert(index, uplink);
        };
        uplink(20, "eth1", 8);
        uplink(21, "eth2", 9);
        node.links.insert(22, link("veth9", LinkKind::Veth, Some(8)));
        node.links.insert(23, link("veth10", LinkKind::Veth, Some(10)));
        let classified = node.classify(&Rules::default(), &PodDevices::ByKind);
        let ports = classified.values().filter(|device| device.bridge_port);
        let ports: Vec<_> = ports.map(|device| device.name.as_str()).collect();
        assert_eq!(ports, ["veth2", "eth2", "veth9"]);
    }

    #[test]
    fn a_rule_overrules_what_the_device_looks_like() {
        let rules = Rules(vec![
            "veth1=uplink".parse().unwrap(),
            "veth*=none".parse().unwrap(),
        ]);
        let classified = node().classify(&rules, &PodDevices::ByKind);
        let kinds: Vec<_> = classified
            .values()
            .map(|device| (device.name.as_str(), device.kind))
            .collect();
        assert_eq!(
            kinds,
            [("eth0", DeviceKind::Uplink), ("veth1", DeviceKind::Uplink)]
        );
        assert!("veth1".parse::<Rule>().is_err());
        assert!("=pod".parse::<Rule>().is_err());
    }

    fn v4(node: &Inventory, index: u32) -> String {
        let classified = node.classify(&Rules::default(), &PodDevices::ByKind);
        classified[&index].v4.to_string()
    }

    #[test]
    fn masquerade_takes_what_the_kernel_would_and_the_node_objects_before_that() {
        let with = |addresses: &[Address]| {
            let mut node = node();
            node.addresses.insert(2, addresses.to_vec());
            node
        };
        let secondary = Address {
            use_as: Use::Reached,
            ..address("172.18.0.1", 16)
        };
        let own = address("172.18.0.2", 16);
        assert_eq!(
            v4(&with(&[own, secondary]), 2),
            "172.18.0.2",
            "lower, but secondary"
        );
        assert_eq!(
            v4(&with(&[address("10.0.0.5", 32), own]), 2),
            "172.18.0.2",
            "first, but in no subnet"
        );
        assert_eq!(
            v4(&with(&[own, address("10.9.9.9", 24)]), 2),
            "172.18.0.2",
            "lower, but later"
        );
        assert_eq!(
            v4(&with(&[address("10.0.0.5", 32)]), 2),
            "10.0.0.5",
            "all there is"
        );
        let mut named = with(&[address("10.9.9.9", 24), own]);
        named.node = vec![own.addr];
        assert_eq!(v4(&named, 2), "172.18.0.2", "the Node object's");
        assert_eq!(v4(&named, 3), "10.244.1.1", "a pod's device has its own");
    }

    #[test]
    fn an_uplink_without_an_address_takes_what_routing_takes() {
        let mut node = node();
        node.links.insert(6, link("eth1", LinkKind::Other, None));
        assert_eq!(node.bare_uplinks(&Rules::default()), [6]);
        assert_eq!(v4(&node, 6), "172.18.0.2", "the node's");
        node.routed.insert(6, vec!["10.5.5.5".parse().unwrap()]);
        assert_eq!(v4(&node, 6), "10.5.5.5");
    }

    #[test]
    fn what_ipvs_has_left_and_what_is_not_yet_sure_is_not_the_nodes() {
        let mut node = node();
        node.links.insert(7, link("kube-ipvs0", LinkKind::Ipvs, None));
        node.addresses.insert(7, vec![address("10.96.0.1", 32)]);
        let tentative = Address {
            use_as: Use::Nothing,
            ..address("fd00::9", 64)
        };
        node.addresses.insert(8, vec![tentative]);
        assert_eq!(node.node_addresses(&Rules::default()).len(), 6);
    }

    #[test]
    fn of_devices_that_lie_over_each_other_the_one_that_routes_is_hooked() {
        let mut node = Inventory::default();
        let links = [
            link("eth0", LinkKind::Other, Some(10)),
            link("bond0", LinkKind::Bond, None),
            link("eth1", LinkKind::Other, Some(12)),
            link("ovs-system", LinkKind::Other, None),
            link("br-ex", LinkKind::Other, None),
            link("eth2", LinkKind::Other, Some(15)),
            link("vrf-blue", LinkKind::Vrf, None),
            link("eth3", LinkKind::Other, Some(17)),
            link("br0", LinkKind::Bridge, None),
            link("bond0.100", LinkKind::Other, None),
        ];
        node.links.extend((9..).zip(links));
        let mut within = link("probe", LinkKind::Veth, None);
        within.both_here = true;
        node.links.insert(30, within);
        let classified = node.classify(&Rules::default(), &PodDevices::ByKind);
        let uplinks: Vec<_> = classified.values().map(|device| device.name.as_str()).collect();
        assert_eq!(
            uplinks,
            [
                "bond0",
                "ovs-system",
                "br-ex",
                "eth2",
                "eth3",
                "bond0.100",
                "probe"
            ]
        );
        assert!(
            classified
                .values()
                .all(|device| device.kind == DeviceKind::Uplink && !device.local)
        );
    }
}
