// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links, addresses and routes of a namespace.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;

use futures::TryStreamExt;
use rtnetlink::packet_route::address::AddressAttribute;
pub use rtnetlink::packet_route::address::AddressFlags;
use rtnetlink::packet_route::link::{BondMode, InfoData, InfoVeth, LinkAttribute, MacVlanMode};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMetric, RouteScope};
use rtnetlink::{
    Handle, LinkBond, LinkBridge, LinkMacVlan, LinkMessageBuilder, LinkUnspec, LinkVeth, LinkVlan, LinkVxlan,
    RouteMessageBuilder,
};

use crate::error::{Doing, Error, Result};
use crate::netns::Netns;

/// A route to add; the source address is chosen by the kernel unless given.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    pub to: (IpAddr, u8),
    pub device: Option<&'a str>,
    pub via: Option<IpAddr>,
    pub source: Option<IpAddr>,
    pub scope: Option<RouteScope>,
    /// Larger packets than this do not pass, as if a link behind were so small.
    pub mtu: Option<u32>,
}

impl<'a> Route<'a> {
    #[must_use]
    pub fn via(to: (IpAddr, u8), gateway: IpAddr) -> Self {
        Self {
            to,
            via: Some(gateway),
            device: None,
            source: None,
            scope: None,
            mtu: None,
        }
    }

    #[must_use]
    pub fn device(to: (IpAddr, u8), device: &'a str, scope: RouteScope) -> Self {
        // IPv6 knows no scopes.
        let scope = to.0.is_ipv4().then_some(scope);
        Self {
            to,
            device: Some(device),
            via: None,
            source: None,
            scope,
            mtu: None,
        }
    }

    #[must_use]
    pub fn mtu(self, mtu: u32) -> Self {
        Self {
            mtu: Some(mtu),
            ..self
        }
    }

    #[must_use]
    pub fn from(self, source: IpAddr) -> Self {
        Self {
            source: Some(source),
            ..self
        }
    }
}

/// Changes the network of one namespace.
#[derive(Debug)]
pub struct Network {
    handle: Handle,
    place: String,
}

impl Netns {
    /// Runs a piece of configuration inside.
    pub fn configure<T: Send>(&self, work: impl AsyncFnOnce(Network) -> Result<T> + Send) -> Result<T> {
        self.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .doing(|| "starting a runtime".to_owned())?;
            runtime.block_on(async {
                let (connection, handle, _) =
                    rtnetlink::new_connection().doing(|| "opening netlink".to_owned())?;
                tokio::spawn(connection);
                work(Network {
                    handle,
                    place: self.name().to_owned(),
                })
                .await
            })
        })?
    }

    /// Makes a veth pair, `name` here and `peer` in the other namespace, both up.
    pub fn join(&self, name: &str, other: &Self, peer: &str) -> Result<()> {
        let far = LinkMessageBuilder::<LinkUnspec>::new()
            .name(peer)
            .append_extra_attribute(LinkAttribute::NetNsFd(other.file().as_raw_fd()))
            .build();
        let near = LinkVeth::new(name, peer)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(far)))
            .build();
        self.configure(async |network| {
            let added = network.handle.link().add(near).execute().await;
            added.doing(|| format!("adding veth {name} in {} to {}", self.name(), other.name()))?;
            network.up(name).await
        })?;
        other.configure(async |network| network.up(peer).await)
    }
}

impl Network {
    pub async fn up(&self, device: &str) -> Result<()> {
        let index = self.index(device).await?;
        self.handle
            .link()
            .set(LinkUnspec::new_with_index(index).up().build())
            .execute()
            .await
            .doing(|| format!("setting {device} up in {}", self.place))
    }

    /// A bridge as container runtimes make it; it forwards multicast at once, so that neighbour discovery
    /// works before the first query of a multicast querier.
    pub async fn add_bridge(&self, name: &str, mac: [u8; 6]) -> Result<()> {
        let bridge = LinkBridge::new(name)
            .mcast_snooping(false)
            .address(mac.to_vec())
            .build();
        self.handle
            .link()
            .add(bridge)
            .execute()
            .await
            .doing(|| format!("adding bridge {name} in {}", self.place))
    }

    /// A vxlan device that leads to one other host, as flannel's.
    pub async fn add_vxlan(&self, name: &str, over: &str, local: Ipv4Addr, remote: Ipv4Addr) -> Result<()> {
        const NUMBER: u32 = 1;
        const PORT: u16 = 8472;
        let device = LinkVxlan::new(name, NUMBER)
            .dev(self.index(over).await?)
            .local(local)
            .remote(remote)
            .port(PORT)
            .up()
            .build();
        self.handle
            .link()
            .add(device)
            .execute()
            .await
            .doing(|| format!("adding vxlan {name} in {}", self.place))
    }

    /// A device over another one, as a VLAN device is: packets come in by both.
    pub async fn add_macvlan(&self, name: &str, over: &str) -> Result<()> {
        let device = LinkMacVlan::new(name, self.index(over).await?, MacVlanMode::Bridge)
            .up()
            .build();
        self.handle
            .link()
            .add(device)
            .execute()
            .await
            .doing(|| format!("adding macvlan {name} in {}", self.place))
    }

    /// A VLAN device over another one.
    pub async fn add_vlan(&self, name: &str, over: &str, number: u16) -> Result<()> {
        let device = LinkVlan::new(name, self.index(over).await?, number).up().build();
        self.handle
            .link()
            .add(device)
            .execute()
            .await
            .doing(|| format!("adding vlan {name} in {}", self.place))
    }

    /// A bond that has this device as its only member.
    pub async fn add_bond(&self, name: &str, member: &str) -> Result<()> {
        let bond = LinkBond::new(name).mode(BondMode::ActiveBackup).up().build();
        let doing = || format!("adding bond {name} in {}", self.place);
        self.handle.link().add(bond).execute().await.doing(doing)?;
        let index = self.index(member).await?;
        let down = LinkUnspec::new_with_index(index).down().build();
        self.handle.link().set(down).execute().await.doing(doing)?;
        self.enslave(member, name).await
    }

    pub async fn enslave(&self, port: &str, bridge: &str) -> Result<()> {
        let (port_index, bridge_index) = (self.index(port).await?, self.index(bridge).await?);
        self.handle
            .link()
            .set(
                LinkUnspec::new_with_index(port_index)
                    .controller(bridge_index)
                    .build(),
            )
            .execute()
            .await
            .doing(|| format!("making {port} a port of {bridge} in {}", self.place))
    }

    pub async fn delete(&self, device: &str) -> Result<()> {
        let index = self.index(device).await?;
        self.handle
            .link()
            .del(index)
            .execute()
            .await
            .doing(|| format!("deleting {device} in {}", self.place))
    }

    /// Adds an address; `AddressFlags::Noprefixroute` leaves out the route to its subnet.
    pub async fn add_address(&self, device: &str, address: (IpAddr, u8), flags: AddressFlags) -> Result<()> {
        let index = self.index(device).await?;
        let mut request = self.handle.address().add(index, address.0, address.1);
        let flags = if address.0.is_ipv6() {
            flags | AddressFlags::Nodad
        } else {
            flags
        };
        request
            .message_mut()
            .attributes
            .push(AddressAttribute::Flags(flags));
        request
            .execute()
            .await
            .doing(|| format!("adding {}/{} to {device} in {}", address.0, address.1, self.place))
    }

    /// Takes an address off a device.
    pub async fn remove_address(&self, device: &str, address: IpAddr) -> Result<()> {
        let index = self.index(device).await?;
        let doing = || format!("removing {address} from {device} in {}", self.place);
        let request = self.handle.address().get().set_link_index_filter(index);
        let found = request.set_address_filter(address).execute().try_next().await;
        match found.doing(doing)? {
            Some(message) => self.handle.address().del(message).execute().await.doing(doing),
            None => Err(Error::Failed(format!("{device} has no {address}"))),
        }
    }

    /// Adds a route, in the place of one to the same destination if there is one.
    pub async fn add_route(&self, route: Route<'_>) -> Result<()> {
        let doing = || format!("adding {route:?} in {}", self.place);
        let mut message = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(route.to.0, route.to.1)
            .or_else(malformed)?;
        if let Some(device) = route.device {
            message = message.output_interface(self.index(device).await?);
        }
        if let Some(gateway) = route.via {
            message = message.gateway(gateway).or_else(malformed)?;
        }
        if let Some(source) = route.source {
            message = message.pref_source(source).or_else(malformed)?;
        }
        if let Some(scope) = route.scope {
            message = message.scope(scope);
        }
        let mut message = message.build();
        if let Some(mtu) = route.mtu {
            let metrics = RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]);
            message.attributes.push(metrics);
        }
        self.handle
            .route()
            .add(message)
            .replace()
            .execute()
            .await
            .doing(doing)
    }

    /// The names of all devices, `lo` included.
    pub async fn devices(&self) -> Result<BTreeSet<String>> {
        let links: Vec<_> = self
            .handle
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .doing(|| format!("listing the devices of {}", self.place))?;
        Ok(links
            .into_iter()
            .flat_map(|link| link.attributes)
            .filter_map(name_of)
            .collect())
    }

    async fn index(&self, device: &str) -> Result<u32> {
        let found = self
            .handle
            .link()
            .get()
            .match_name(device)
            .execute()
            .try_next()
            .await;
        match found.doing(|| format!("looking for {device} in {}", self.place))? {
            Some(link) => Ok(link.header.index),
            None => Err(Error::Failed(format!("{} has no device {device}", self.place))),
        }
    }
}

fn name_of(attribute: LinkAttribute) -> Option<String> {
    match attribute {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    }
}

fn malformed<T>(why: impl Display) -> Result<T> {
    Err(Error::Failed(format!("making a route: {why}")))
}
