// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keeping programs, map and settings in step with the devices.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use dataplane_common::{Device, DeviceKind};
use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use futures::stream::TryStreamExt;
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::{Handle, MulticastGroup, new_multicast_connection};
use tracing::{debug, info, warn};

use super::choose::{Chosen, PodDevices, Rules};
use super::inventory::Inventory;
use super::metrics::DeviceMetrics;
use super::redirects::SendRedirects;
use crate::index::Event;
use crate::kernel::{Attachment, Pins, Programs, Tables, attached, detach};
use crate::model::NodeAddresses;
use crate::watch::{Batch, Sender};

/// After a failure, and as a safety net against lost netlink messages, everything is read again.
const RETRY: Duration = Duration::from_secs(1);
const RESYNC: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error("cannot listen to netlink: {0}: is this a Linux with NET_ADMIN?")]
    Connect(#[from] io::Error),
    #[error("cannot read the node's devices: {0}")]
    Read(#[from] rtnetlink::Error),
}

type Messages = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddrNl)>;
type SocketAddrNl = rtnetlink::sys::SocketAddr;

/// The one owner of the programs and of the `devices` map.
pub struct Follower {
    handle: Handle,
    messages: Messages,
    inventory: Inventory,
    rules: Rules,
    pods: PodDevices,
    programs: Programs,
    tables: Tables,
    pins: Pins,
    current: BTreeMap<u32, Chosen>,
    bridges: BTreeSet<u32>,
    known_addresses: NodeAddresses,
    metrics: DeviceMetrics,
    failed: bool,
}

impl Follower {
    /// Starts listening, reads all devices and attaches to those that carry service traffic.
    pub async fn start(
        programs: Programs,
        tables: Tables,
        pins: Pins,
        (rules, pods): (Rules, PodDevices),
        metrics: DeviceMetrics,
    ) -> Result<Self, FollowError> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
        ];
        let (connection, handle, messages) = new_multicast_connection(&groups)?;
        tokio::spawn(connection);
        let mut follower = Self {
            handle,
            messages,
            inventory: Inventory::default(),
            rules,
            pods,
            programs,
            tables,
            pins,
            current: BTreeMap::new(),
            bridges: BTreeSet::new(),
            known_addresses: NodeAddresses::new(),
            metrics,
            failed: false,
        };
        follower.read_all().await?;
        follower.forget_the_departed();
        follower.reconcile(Instant::now());
        Ok(follower)
    }

    /// Follows until nobody listens to the node's addresses any more.
    pub async fn run(mut self, sender: Sender) {
        loop {
            if !self.tell_addresses(&sender).await {
                return;
            }
            let pause = if self.failed { RETRY } else { RESYNC };
            match tokio::time::timeout(pause, self.messages.next()).await {
                Ok(Some((message, _))) => self.take_in(message),
                Ok(None) => {
                    warn!("netlink has gone silent: new pods get no programs until the agent is restarted");
                    return;
                }
                Err(_) => self.resync().await,
            }
        }
    }

    fn take_in(&mut self, message: NetlinkMessage<RouteNetlinkMessage>) {
        let since = Instant::now();
        let mut changed = self.inventory.apply(message);
        while let Ok((message, _)) = self.messages.try_recv() {
            changed |= self.inventory.apply(message);
        }
        if changed {
            self.reconcile(since);
        }
    }

    async fn resync(&mut self) {
        match self.read_all().await {
            Ok(()) => self.reconcile(Instant::now()),
            Err(error) => warn!(%error, "devices not read again"),
        }
    }

    async fn read_all(&mut self) -> Result<(), FollowError> {
        let mut inventory = Inventory::default();
        let mut links = self.handle.link().get().execute();
        while let Some(link) = links.try_next().await? {
            inventory.put_link(&link);
        }
        let mut addresses = self.handle.address().get().execute();
        while let Some(address) = addresses.try_next().await? {
            inventory.put_address(&address);
        }
        self.inventory = inventory;
        Ok(())
    }

    /// Takes away the pins of devices that went while no agent was there.
    fn forget_the_departed(&mut self) {
        for index in attached(&self.pins) {
            if !self.inventory.links.contains_key(&index)
                && let Err(error) = detach(&self.pins, "(gone)", index)
            {
                warn!(%error, index, "old link not removed");
            }
        }
    }

    /// Makes the kernel follow what the inventory says.
    fn reconcile(&mut self, since: Instant) {
        self.failed = false;
        let wanted = self.inventory.choose(&self.rules, &self.pods);
        let gone: Vec<u32> = self
            .current
            .keys()
            .filter(|index| !wanted.contains_key(index))
            .copied()
            .collect();
        for index in gone {
            self.leave(index);
        }
        for (index, chosen) in wanted {
            if self.current.get(&index) != Some(&chosen) {
                self.take(index, chosen, since);
            }
        }
        self.metrics
            .attached
            .set(i64::try_from(self.current.len()).unwrap_or(i64::MAX));
    }

    fn take(&mut self, index: u32, chosen: Chosen, since: Instant) {
        let is_new = self.current.get(&index).is_none_or(|old| old.name != chosen.name);
        if let Some(bridge) = chosen.bridge {
            self.take_bridge(bridge);
        }
        let saved = self.redirects_of(index, &chosen.name);
        let device = Device {
            kind: chosen.kind as u32,
            send_redirects: u32::from(saved),
            v4: chosen.v4.into(),
            v6: chosen.v6.into(),
            local: u32::from(chosen.local),
            peer: u32::from(chosen.peer),
        };
        let known = self.tables.devices.insert(index, device, 0);
        let to = Attachment {
            device: &chosen.name,
            ifindex: index,
            ethernet: chosen.ethernet,
        };
        let result = if is_new { self.programs.attach(&to) } else { Ok(()) };
        match (known, result) {
            (Ok(()), Ok(())) => {
                if is_new {
                    self.metrics
                        .attach_duration
                        .observe(since.elapsed().as_secs_f64());
                    info!(device = chosen.name, kind = chosen.kind.as_str(), took = ?since.elapsed(), "attached");
                }
                self.current.insert(index, chosen);
            }
            (Err(error), _) => self.fail(&chosen.name, &error),
            (_, Err(error)) => self.fail(&chosen.name, &error),
        }
    }

    fn fail(&mut self, device: &str, error: &dyn std::error::Error) {
        self.failed = true;
        self.metrics.failures.inc();
        warn!(device, %error, "device not taken: trying again");
    }

    fn leave(&mut self, index: u32) {
        let Some(chosen) = self.current.remove(&index) else {
            return;
        };
        debug!(device = chosen.name, "leaving device");
        // What is still there was excluded, or moved: it gets its settings back.
        if self.inventory.links.contains_key(&index) {
            let was = self
                .tables
                .devices
                .get(&index, 0)
                .is_ok_and(|device| device.send_redirects != 0);
            SendRedirects::restore(&chosen.name, was);
        }
        if let Err(error) = detach(&self.pins, &chosen.name, index) {
            warn!(device = chosen.name, %error, "not detached");
        }
        // It may never have been there.
        let _ = self.tables.devices.remove(&index);
    }

    /// A bridge routes for its ports, so its settings count, though nothing is attached to it.
    fn take_bridge(&mut self, index: u32) {
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
            };
            if let Err(error) = self.tables.devices.insert(index, device, 0) {
                self.fail(&name, &error);
            }
        }
    }

    /// Turns redirects off; what they were before any agent did.
    fn redirects_of(&self, index: u32, name: &str) -> bool {
        SendRedirects::turn_off(name)
            || self
                .tables
                .devices
                .get(&index, 0)
                .is_ok_and(|device| device.send_redirects != 0)
    }

    async fn tell_addresses(&mut self, sender: &Sender) -> bool {
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
