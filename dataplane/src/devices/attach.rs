// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attaching to devices: keeps the programs, the map `devices` and the settings in step with them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use dataplane_common::{AddressFlags, Device, DeviceKind};
use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use futures::stream::TryStreamExt;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::{Handle, MulticastGroup, new_multicast_connection};
use tokio::sync::watch as value;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::classify::{Classified, OUTSIDE, PodDevices, Rules};
use super::inventory::{Inventory, LinkKind, is_global};
use super::metrics::DeviceMetrics;
use super::redirects::SendRedirects;
use crate::index::Event;
use crate::kernel::{
    Attachment, PinnedMaps, Pins, Programs, attached, detach, devices_with_filters, other_programs,
    route_source,
};
use crate::model::{Family, NodeAddresses};
use crate::watch::{Batch, Sender};

/// After a failure, and as a safety net against lost netlink messages, everything is read again.
const RETRY: Duration = Duration::from_secs(1);
const RESYNC: Duration = Duration::from_secs(60);

/// How often the order of programs on the devices is looked at: links of other programs come without a message.
const LOOK: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum DevicesError {
    #[error("cannot listen to netlink: {0}: run on Linux with NET_ADMIN")]
    Connect(#[from] io::Error),
    #[error("cannot read the node's devices: {0}")]
    Read(#[from] rtnetlink::Error),
}

type Messages = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddrNl)>;
type SocketAddrNl = rtnetlink::sys::SocketAddr;

/// The one owner of the programs and of the `devices` map.
pub struct Attacher {
    handle: Handle,
    messages: Messages,
    inventory: Inventory,
    rules: Rules,
    pods: PodDevices,
    programs: Programs,
    maps: PinnedMaps,
    pins: Pins,
    current: BTreeMap<u32, Classified>,
    bridges: BTreeSet<u32>,
    known_addresses: NodeAddresses,
    metrics: DeviceMetrics,
    /// Devices on which our programs had to move.
    reordered: BTreeSet<u32>,
    /// ClusterIPs that are addresses of these devices.
    own_cluster_ips: BTreeSet<(IpAddr, u32)>,
    failed: bool,
}

impl Attacher {
    /// Starts listening, reads all devices and attaches to those that carry service traffic.
    pub async fn start(
        programs: Programs,
        maps: PinnedMaps,
        pins: Pins,
        (rules, pods): (Rules, PodDevices),
        metrics: DeviceMetrics,
    ) -> Result<Self, DevicesError> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Tc,
        ];
        let (connection, handle, messages) = new_multicast_connection(&groups)?;
        tokio::spawn(connection);
        let mut attacher = Self {
            handle,
            messages,
            inventory: Inventory::default(),
            rules,
            pods,
            programs,
            maps,
            pins,
            current: BTreeMap::new(),
            bridges: BTreeSet::new(),
            known_addresses: NodeAddresses::new(),
            metrics,
            reordered: BTreeSet::new(),
            own_cluster_ips: BTreeSet::new(),
            failed: false,
        };
        attacher.read_all().await?;
        attacher.remove_stale_pins();
        attacher.reconcile(Instant::now());
        Ok(attacher)
    }

    /// Runs until the receiver of the node's addresses is gone.
    pub async fn run(mut self, sender: Sender, mut node: value::Receiver<Vec<IpAddr>>) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut read_at = Instant::now();
        loop {
            if !self.send_addresses(&sender).await {
                return;
            }
            let pause = if self.failed { RETRY } else { RESYNC };
            tokio::select! {
                message = self.messages.next() => match message {
                    Some((message, _)) => self.take_in(message),
                    None => {
                        warn!("netlink socket closed: new pods get no programs: restart the agent");
                        return;
                    }
                },
                () = tokio::time::sleep_until((read_at + pause).into()) => {
                    read_at = Instant::now();
                    self.resync().await;
                }
                Ok(()) = node.changed() => {
                    self.inventory.node.clone_from(&node.borrow_and_update());
                    self.reconcile(Instant::now());
                }
                _ = look.tick() => {
                    self.put_in_order();
                    self.name_own_cluster_ips();
                    if self.ask_routing() {
                        self.reconcile(Instant::now());
                    }
                }
            }
        }
    }

    fn take_in(&mut self, message: NetlinkMessage<RouteNetlinkMessage>) {
        let since = Instant::now();
        let mut has_filter = is_filter(&message);
        let mut changed = self.inventory.apply(message);
        while let Ok((message, _)) = self.messages.try_recv() {
            has_filter |= is_filter(&message);
            changed |= self.inventory.apply(message);
        }
        if changed {
            self.reconcile(since);
        }
        if has_filter {
            self.put_in_order();
        }
    }

    /// Names ClusterIPs that a device of the node has too: the node answers for them itself (a DNS cache), or, on
    /// kube-ipvs0, kube-proxy has left them.
    fn name_own_cluster_ips(&mut self) {
        let mut own = BTreeSet::new();
        for (index, addresses) in &self.inventory.addresses {
            for address in addresses {
                let flags = match address.addr {
                    IpAddr::V4(addr) => self.maps.v4.addresses.get(&addr.into(), 0),
                    IpAddr::V6(addr) => self.maps.v6.addresses.get(&addr.into(), 0),
                };
                if flags.is_ok_and(|flags| flags.has(AddressFlags::CLUSTER_IP)) {
                    own.insert((address.addr, *index));
                }
            }
        }
        for (addr, index) in own.difference(&self.own_cluster_ips) {
            let link = self.inventory.links.get(index);
            let device = link.map_or("", |link| link.name.as_str());
            match link.is_some_and(|link| link.kind == LinkKind::Ipvs) {
                true => {
                    warn!(%addr, device, "kube-proxy has left a ClusterIP on this device: it is served all the same")
                }
                false => {
                    info!(%addr, device, "a ClusterIP is the node's own: the node answers for it, not the Service")
                }
            }
        }
        self.metrics
            .own_cluster_ips
            .set(i64::try_from(own.len()).unwrap_or(i64::MAX));
        self.own_cluster_ips = own;
    }

    /// Puts our programs back where they belong, if another one has come before or after them.
    fn put_in_order(&mut self) {
        let with_filters = devices_with_filters();
        for (index, classified) in &self.current {
            let to = Attachment {
                device: &classified.name,
                ifindex: *index,
                ethernet: classified.ethernet,
            };
            let has_filters = with_filters.as_ref().map_or(true, |them| them.contains(index));
            match self.programs.put_in_order(&to, has_filters) {
                Ok(false) => {}
                Ok(true) => {
                    self.metrics.reorders.inc();
                    if self.reordered.insert(*index) {
                        let others = other_programs(&self.pins, *index);
                        info!(
                            device = classified.name,
                            ?others,
                            "put back in order: first at ingress, last at egress"
                        );
                    }
                }
                // A device that has just gone says so itself.
                Err(error) => debug!(device = classified.name, %error, "not put in order"),
            }
        }
    }

    async fn resync(&mut self) {
        match self.read_all().await {
            Ok(()) => self.reconcile(Instant::now()),
            Err(error) => warn!(%error, "cannot read the devices: trying again"),
        }
    }

    async fn read_all(&mut self) -> Result<(), DevicesError> {
        let mut inventory = Inventory::default();
        let mut links = self.handle.link().get().execute();
        while let Some(link) = links.try_next().await? {
            inventory.put_link(&link);
        }
        let mut addresses = self.handle.address().get().execute();
        while let Some(address) = addresses.try_next().await? {
            inventory.put_address(&address);
        }
        inventory.node = std::mem::take(&mut self.inventory.node);
        self.inventory = inventory;
        Ok(())
    }

    /// Removes the pins of devices that went away while no agent ran.
    fn remove_stale_pins(&mut self) {
        for index in attached(&self.pins) {
            if !self.inventory.links.contains_key(&index)
                && let Err(error) = detach(&self.pins, "(gone)", index)
            {
                warn!(%error, index, "cannot remove an old link");
            }
        }
    }

    /// Brings the kernel in step with the inventory.
    fn reconcile(&mut self, since: Instant) {
        self.failed = false;
        self.ask_routing();
        let wanted = self.inventory.classify(&self.rules, &self.pods);
        let gone: Vec<u32> = self
            .current
            .keys()
            .filter(|index| !wanted.contains_key(index))
            .copied()
            .collect();
        for index in gone {
            self.detach(index);
        }
        for (index, classified) in wanted {
            if self.current.get(&index) != Some(&classified) {
                self.attach(index, classified, since);
            }
        }
        self.metrics
            .attached
            .set(i64::try_from(self.current.len()).unwrap_or(i64::MAX));
    }

    /// What routing takes as sources where no address says it; whether that is something else than before.
    fn ask_routing(&mut self) -> bool {
        let ask = |device| {
            let sources = Family::ALL
                .iter()
                .filter_map(|family| route_source(*family, device));
            sources.filter(|addr| is_global(*addr)).collect()
        };
        let bare = self.inventory.bare_uplinks(&self.rules).into_iter();
        let mut routed: BTreeMap<u32, Vec<IpAddr>> = bare.map(|index| (index, ask(Some(index)))).collect();
        routed.insert(OUTSIDE, ask(None));
        let changed = routed != self.inventory.routed;
        self.inventory.routed = routed;
        changed
    }

    fn attach(&mut self, index: u32, classified: Classified, since: Instant) {
        let is_new = self
            .current
            .get(&index)
            .is_none_or(|old| old.name != classified.name);
        if let Some(bridge) = classified.bridge {
            self.record_bridge(bridge);
        }
        let saved = self.redirects_of(index, &classified.name);
        let device = Device {
            kind: classified.kind as u32,
            send_redirects: u32::from(saved),
            v4: classified.v4.into(),
            v6: classified.v6.into(),
            local: u32::from(classified.local),
            peer: u32::from(classified.peer),
            bridge_port: u32::from(classified.bridge_port),
        };
        let known = self.maps.devices.insert(index, device, 0);
        let to = Attachment {
            device: &classified.name,
            ifindex: index,
            ethernet: classified.ethernet,
        };
        let result = if is_new { self.programs.attach(&to) } else { Ok(()) };
        match (known, result) {
            (Ok(()), Ok(())) => {
                if is_new {
                    self.metrics
                        .attach_duration
                        .observe(since.elapsed().as_secs_f64());
                    info!(device = classified.name, kind = classified.kind.as_str(), took = ?since.elapsed(), "attached");
                }
                self.current.insert(index, classified);
            }
            (Err(error), _) => self.fail(&classified.name, &error),
            (_, Err(error)) => self.fail(&classified.name, &error),
        }
    }

    fn fail(&mut self, device: &str, error: &dyn std::error::Error) {
        self.failed = true;
        self.metrics.failures.inc();
        warn!(device, %error, "cannot attach to the device: trying again");
    }

    fn detach(&mut self, index: u32) {
        self.reordered.remove(&index);
        let Some(classified) = self.current.remove(&index) else {
            return;
        };
        debug!(device = classified.name, "detaching from device");
        // A device that still exists was excluded, or moved: its settings are restored.
        if self.inventory.links.contains_key(&index) {
            let was = self
                .maps
                .devices
                .get(&index, 0)
                .is_ok_and(|device| device.send_redirects != 0);
            SendRedirects::restore(&classified.name, was);
        }
        if let Err(error) = detach(&self.pins, &classified.name, index) {
            warn!(device = classified.name, %error, "cannot detach");
        }
        // It may never have been there.
        let _ = self.maps.devices.remove(&index);
    }

    /// A bridge routes for its ports, so its settings count, though nothing is attached to it.
    fn record_bridge(&mut self, index: u32) {
        let Some(link) = self.inventory.links.get(&index) else {
            return;
        };
        if self.bridges.insert(index) {
            let name = link.name.clone();
            let saved = self.redirects_of(index, &name);
            let device = Device {
                kind: DeviceKind::Bridge as u32,
                send_redirects: u32::from(saved),
                v4: std::net::Ipv4Addr::UNSPECIFIED.into(),
                v6: std::net::Ipv6Addr::UNSPECIFIED.into(),
                local: 0,
                peer: 0,
                bridge_port: 0,
            };
            if let Err(error) = self.maps.devices.insert(index, device, 0) {
                self.fail(&name, &error);
            }
        }
    }

    /// Turns redirects off; what they were before any agent did.
    fn redirects_of(&self, index: u32, name: &str) -> bool {
        SendRedirects::turn_off(name)
            || self
                .maps
                .devices
                .get(&index, 0)
                .is_ok_and(|device| device.send_redirects != 0)
    }

    async fn send_addresses(&mut self, sender: &Sender) -> bool {
        let addresses = self.inventory.node_addresses(&self.rules);
        if addresses == self.known_addresses {
            return !sender.is_closed();
        }
        self.known_addresses.clone_from(&addresses);
        sender
            .send(Batch::now(vec![Event::NodeAddresses(addresses)]))
            .await
            .is_ok()
    }
}

/// Whether it says that a device has another filter.
fn is_filter(message: &NetlinkMessage<RouteNetlinkMessage>) -> bool {
    matches!(
        message.payload,
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewTrafficFilter(_) | RouteNetlinkMessage::DelTrafficFilter(_)
        )
    )
}
