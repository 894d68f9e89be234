// SPDX-License-Identifier: MIT OR Apache-2.0
//! Classifies a device: a pod's, an uplink, or not used. Pure.

use std::collections::BTreeMap;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use dataplane_common::DeviceKind;

use super::inventory::{Inventory, Link, LinkKind};
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
        let all = self.addresses.values().flatten();
        all.map(|it| {
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
            LinkKind::Loopback | LinkKind::Bridge | LinkKind::Inert => None,
            // A CNI gives the node's end of a pod's pair no address, or a lone one (its gateway);
            // a node that is a container itself has its uplink's subnet on one.
            LinkKind::Veth
                if self
                    .of(index)
                    .any(|address| address.has_subnet() && address.is_global()) =>
            {
                Some(DeviceKind::Uplink)
            }
            LinkKind::Veth => Some(DeviceKind::Pod),
            LinkKind::Bond => Some(DeviceKind::Uplink),
            LinkKind::Other if self.is_bonded(link) => None,
            LinkKind::Other => Some(DeviceKind::Uplink),
        }
    }

    fn is_bonded(&self, link: &Link) -> bool {
        let controller = link.controller.and_then(|index| self.links.get(&index));
        controller.is_some_and(|controller| controller.kind == LinkKind::Bond)
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
        Classified {
            name: link.name.clone(),
            kind,
            ethernet: link.ethernet,
            peer: kind == DeviceKind::Pod && link.ethernet && link.peer,
            v4: own.0.unwrap_or(primary.0),
            v6: own.1.unwrap_or(primary.1),
            bridge,
            local: false,
        }
    }

    /// The first global address of each family on a device.
    fn addresses_of(&self, index: u32) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        let global = || {
            self.of(index)
                .filter(|address| address.is_global())
                .map(|address| address.addr)
        };
        let v4 = global().find_map(|addr| match addr {
            IpAddr::V4(addr) => Some(addr),
            IpAddr::V6(_) => None,
        });
        let v6 = global().find_map(|addr| match addr {
            IpAddr::V4(_) => None,
            IpAddr::V6(addr) => Some(addr),
        });
        (v4, v6)
    }

    /// The address of devices without one of their own: the first uplink's.
    fn primary(&self, kinds: &BTreeMap<u32, DeviceKind>) -> (Ipv4Addr, Ipv6Addr) {
        let uplinks = kinds.iter().filter(|(_, kind)| **kind == DeviceKind::Uplink);
        let addresses: Vec<_> = uplinks.map(|(index, _)| self.addresses_of(*index)).collect();
        let v4 = addresses
            .iter()
            .find_map(|(v4, _)| *v4)
            .unwrap_or(Ipv4Addr::UNSPECIFIED);
        let v6 = addresses
            .iter()
            .find_map(|(_, v6)| *v6)
            .unwrap_or(Ipv6Addr::UNSPECIFIED);
        (v4, v6)
    }
}

#[cfg(test)]
mod tests {
    use super::super::inventory::Address;
    use super::*;

    fn link(name: &str, kind: LinkKind, controller: Option<u32>) -> Link {
        Link {
            peer: kind == LinkKind::Veth,
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
        }
    }

    fn node() -> Inventory {
        let mut node = Inventory::default();
        node.links.insert(1, link("lo", LinkKind::Loopback, None));
        node.links.insert(2, link("eth0", LinkKind::Veth, None));
        node.links.insert(3, link("veth1", LinkKind::Veth, None));
        node.links.insert(4, link("cni0", LinkKind::Bridge, None));
        node.links.insert(5, link("veth2", LinkKind::Veth, Some(4)));
        node.addresses.insert(1, [address("127.0.0.1", 8)].into());
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
}
