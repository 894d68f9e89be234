// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links and addresses as netlink reports them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
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
    /// Routes for its members, which are hooked.
    Vrf,
    /// Carries no traffic of its own (dummy, ifb, nlmon).
    Inert,
    /// Where kube-proxy's IPVS mode keeps ClusterIPs: none of them is the node's.
    Ipvs,
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
    /// Its link-layer address; empty if it has none.
    pub address: Vec<u8>,
    /// It has a peer in another network namespace, where packets can be put. (Not so netkit: `bpf_redirect_peer` is used
    /// for veth only, whose peer has a link-layer address of its own.)
    pub peer: bool,
    /// Both ends of the pair are devices of this network namespace.
    pub both_here: bool,
}

/// An address and the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub addr: IpAddr,
    pub prefix: u8,
    pub use_as: Use,
}

/// What an address is good for, by its flags and scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Whatever the node sends.
    Source,
    /// It is the node's, but what begins now takes another: secondary, deprecated, temporary.
    Reached,
    /// Not yet, or never: another host may have it (tentative, failed).
    Nothing,
}

impl Address {
    fn is_same(self, other: Self) -> bool {
        (self.addr, self.prefix) == (other.addr, other.prefix)
    }

    /// Whether it is an address in a subnet, as opposed to a lone one.
    pub fn has_subnet(self) -> bool {
        self.prefix < if self.addr.is_ipv4() { 32 } else { 128 }
    }

    /// Whether others than this link's neighbours can reach it.
    pub fn is_global(self) -> bool {
        is_global(self.addr)
    }
}

/// Whether others than some link's neighbours can reach an address.
pub(super) fn is_global(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => !addr.is_loopback() && !addr.is_link_local(),
        IpAddr::V6(addr) => !addr.is_loopback() && !addr.is_unicast_link_local(),
    }
}

/// All links and addresses of the node, by interface index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    pub links: BTreeMap<u32, Link>,
    /// In the kernel's order.
    pub addresses: BTreeMap<u32, Vec<Address>>,
    /// What the Node object has, as far as it is known: internal addresses first.
    pub node: Vec<IpAddr>,
    /// What routing takes as the source of packets by a device that has no address of its own; and of packets to the
    /// outside (0).
    pub routed: BTreeMap<u32, Vec<IpAddr>>,
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
        let addresses = self.addresses.entry(message.header.index).or_default();
        match addresses.iter_mut().find(|it| it.is_same(address)) {
            Some(known) if *known == address => return false,
            Some(known) => *known = address,
            None => addresses.push(address),
        }
        true
    }

    fn remove_address(&mut self, message: &AddressMessage) -> bool {
        let Some(address) = read_address(message) else {
            return false;
        };
        let Some(addresses) = self.addresses.get_mut(&message.header.index) else {
            return false;
        };
        let before = addresses.len();
        addresses.retain(|it| !it.is_same(address));
        addresses.len() != before
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
    let mut address = Vec::new();
    let mut elsewhere = false;
    let mut has_veth_peer = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Controller(index) => controller = Some(*index).filter(|index| *index != 0),
            LinkAttribute::Address(bytes) => address.clone_from(bytes),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            LinkAttribute::LinkInfo(infos) => {
                has_veth_peer = infos.contains(&LinkInfo::Kind(InfoKind::Veth));
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
        kind: if loopback {
            LinkKind::Loopback
        } else if name.as_deref() == Some(IPVS) {
            LinkKind::Ipvs
        } else {
            kind.unwrap_or(LinkKind::Other)
        },
        name: name?,
        controller,
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        address,
        peer: elsewhere && has_veth_peer,
        both_here: !elsewhere && kind == Some(LinkKind::Veth),
    })
}

/// The device of kube-proxy's IPVS mode.
const IPVS: &str = "kube-ipvs0";

fn link_kind(kind: &InfoKind) -> LinkKind {
    match kind {
        InfoKind::Bridge => LinkKind::Bridge,
        InfoKind::Veth | InfoKind::Netkit => LinkKind::Veth,
        InfoKind::Bond => LinkKind::Bond,
        InfoKind::Vrf => LinkKind::Vrf,
        InfoKind::Dummy | InfoKind::Ifb | InfoKind::Nlmon => LinkKind::Inert,
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
        use_as: use_of(message),
    })
}

fn use_of(message: &AddressMessage) -> Use {
    // `Secondary` is `temporary` in IPv6.
    let first = |flags: AddressHeaderFlags| message.header.flags.intersects(flags);
    let all = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    let flags = |of: AddressFlags| all.is_some_and(|all| all.intersects(of));
    let is_optimistic = first(AddressHeaderFlags::Optimistic) || flags(AddressFlags::Optimistic);
    if first(AddressHeaderFlags::Dadfailed)
        || flags(AddressFlags::Dadfailed)
        || (first(AddressHeaderFlags::Tentative) || flags(AddressFlags::Tentative)) && !is_optimistic
    {
        return Use::Nothing;
    }
    let lesser = AddressHeaderFlags::Secondary | AddressHeaderFlags::Deprecated;
    let within = matches!(
        message.header.scope,
        AddressScope::Link | AddressScope::Host | AddressScope::Nowhere
    );
    match first(lesser) || flags(AddressFlags::Secondary | AddressFlags::Deprecated) || within {
        true => Use::Reached,
        false => Use::Source,
    }
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

    fn pair(kind: InfoKind) -> LinkMessage {
        let mut message = veth(AddressFamily::Bridge);
        message.header.interface_family = AddressFamily::Unspec;
        let info = LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]);
        message.attributes.extend([info, LinkAttribute::LinkNetNsId(1)]);
        message
    }

    #[test]
    fn packets_can_be_put_behind_a_veth_and_not_behind_netkit() {
        let peer = |kind| read_link(&pair(kind)).map(|link| (link.kind, link.peer));
        assert_eq!(peer(InfoKind::Veth), Some((LinkKind::Veth, true)));
        assert_eq!(peer(InfoKind::Netkit), Some((LinkKind::Veth, false)));
    }

    #[test]
    fn flags_and_scope_say_what_an_address_is_good_for() {
        let judge = |scope, flags| {
            let mut message = AddressMessage::default();
            message.header.scope = scope;
            message.attributes.push(AddressAttribute::Flags(flags));
            use_of(&message)
        };
        let universe = AddressScope::Universe;
        assert_eq!(judge(universe, AddressFlags::Permanent), Use::Source);
        assert_eq!(judge(universe, AddressFlags::Secondary), Use::Reached);
        assert_eq!(judge(universe, AddressFlags::Deprecated), Use::Reached);
        assert_eq!(judge(universe, AddressFlags::Tentative), Use::Nothing);
        assert_eq!(
            judge(universe, AddressFlags::Tentative | AddressFlags::Optimistic),
            Use::Source
        );
        assert_eq!(judge(universe, AddressFlags::Dadfailed), Use::Nothing);
        assert_eq!(judge(AddressScope::Link, AddressFlags::Permanent), Use::Reached);
    }
}
