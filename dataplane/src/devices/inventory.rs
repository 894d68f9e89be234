// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links and addresses as netlink reports them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

/// The kind of a device, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    Loopback,
    Bridge,
    /// One end of a pair: usually a pod's, sometimes a node's own uplink (kind).
    Veth,
    /// Bond or team: its members are not hooked, it is.
    Bond,
    /// Carries no traffic of its own (dummy, ifb, nlmon, vrf).
    Inert,
    /// Physical, VLAN, tunnel: whatever leads elsewhere.
    Other,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub name: String,
    pub kind: LinkKind,
    /// The bridge or bond it is a port of.
    pub controller: Option<u32>,
    /// Its packets begin with an Ethernet header.
    pub ethernet: bool,
    /// It has a peer in another network namespace.
    pub peer: bool,
}

/// An address and the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    pub addr: IpAddr,
    pub prefix: u8,
}

impl Address {
    /// Whether it is an address in a subnet, as opposed to a lone one.
    pub fn has_subnet(self) -> bool {
        self.prefix < if self.addr.is_ipv4() { 32 } else { 128 }
    }

    /// Whether others than this link's neighbours can reach it.
    pub fn is_global(self) -> bool {
        match self.addr {
            IpAddr::V4(addr) => !addr.is_loopback() && !addr.is_link_local(),
            IpAddr::V6(addr) => !addr.is_loopback() && !addr.is_unicast_link_local(),
        }
    }
}

/// All links and addresses of the node, by interface index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    pub links: BTreeMap<u32, Link>,
    pub addresses: BTreeMap<u32, BTreeSet<Address>>,
}

impl Inventory {
    /// Takes one message in; whether it changed anything.
    pub fn apply(&mut self, message: NetlinkMessage<RouteNetlinkMessage>) -> bool {
        let NetlinkPayload::InnerMessage(message) = message.payload else {
            return false;
        };
        match message {
            // A bridge reports its ports in messages of its own family: they do not say what kind of device the
            // port is, and a DelLink among them means that it left the bridge, not that it is gone.
            RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link)
                if link.header.interface_family == AddressFamily::Bridge =>
            {
                false
            }
            RouteNetlinkMessage::NewLink(link) => self.put_link(&link),
            RouteNetlinkMessage::DelLink(link) => self.remove_link(link.header.index),
            RouteNetlinkMessage::NewAddress(address) => self.put_address(&address),
            RouteNetlinkMessage::DelAddress(address) => self.remove_address(&address),
            _ => false,
        }
    }

    pub fn put_link(&mut self, message: &LinkMessage) -> bool {
        let Some(link) = read_link(message) else {
            return false;
        };
        self.links.insert(message.header.index, link.clone()).as_ref() != Some(&link)
    }

    fn remove_link(&mut self, index: u32) -> bool {
        self.addresses.remove(&index);
        self.links.remove(&index).is_some()
    }

    pub fn put_address(&mut self, message: &AddressMessage) -> bool {
        let Some(address) = read_address(message) else {
            return false;
        };
        self.addresses
            .entry(message.header.index)
            .or_default()
            .insert(address)
    }

    fn remove_address(&mut self, message: &AddressMessage) -> bool {
        let Some(address) = read_address(message) else {
            return false;
        };
        self.addresses
            .get_mut(&message.header.index)
            .is_some_and(|addresses| addresses.remove(&address))
    }

    /// The addresses of a device.
    pub fn of(&self, index: u32) -> impl Iterator<Item = Address> {
        self.addresses.get(&index).into_iter().flatten().copied()
    }
}

fn read_link(message: &LinkMessage) -> Option<Link> {
    let mut name = None;
    let mut kind = None;
    let mut controller = None;
    let mut elsewhere = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Controller(index) => controller = Some(*index).filter(|index| *index != 0),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            LinkAttribute::LinkInfo(infos) => {
                kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(link_kind(kind)),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let loopback = message.header.flags.contains(LinkFlags::Loopback);
    Some(Link {
        name: name?,
        kind: if loopback {
            LinkKind::Loopback
        } else {
            kind.unwrap_or(LinkKind::Other)
        },
        controller,
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        peer: elsewhere && kind == Some(LinkKind::Veth),
    })
}

fn link_kind(kind: &InfoKind) -> LinkKind {
    match kind {
        InfoKind::Bridge => LinkKind::Bridge,
        InfoKind::Veth | InfoKind::Netkit => LinkKind::Veth,
        InfoKind::Bond => LinkKind::Bond,
        InfoKind::Dummy | InfoKind::Ifb | InfoKind::Nlmon | InfoKind::Vrf => LinkKind::Inert,
        InfoKind::Other(name) if name == "team" => LinkKind::Bond,
        _ => LinkKind::Other,
    }
}

/// `Local` is the node's end of a point-to-point address; elsewhere there is only `Address`.
fn read_address(message: &AddressMessage) -> Option<Address> {
    let mut own = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(addr) => own = Some(*addr),
            AddressAttribute::Address(addr) if own.is_none() => own = Some(*addr),
            _ => {}
        }
    }
    Some(Address {
        addr: own?,
        prefix: message.header.prefix_len,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veth(family: AddressFamily) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.interface_family = family;
        message.header.index = 7;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.attributes.push(LinkAttribute::IfName("veth1".to_owned()));
        if family != AddressFamily::Bridge {
            message
                .attributes
                .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]));
        }
        message
    }

    #[test]
    fn a_bridges_report_of_its_port_changes_nothing() {
        let mut inventory = Inventory::default();
        let mut apply = |message: RouteNetlinkMessage| inventory.apply(NetlinkMessage::from(message));
        assert!(apply(RouteNetlinkMessage::NewLink(veth(AddressFamily::Unspec))));
        assert!(!apply(RouteNetlinkMessage::NewLink(veth(AddressFamily::Bridge))));
        assert!(!apply(RouteNetlinkMessage::DelLink(veth(AddressFamily::Bridge))));
        assert_eq!(
            inventory.links.get(&7).map(|link| link.kind),
            Some(LinkKind::Veth)
        );
    }
}
