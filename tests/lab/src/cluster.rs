// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cluster: nodes and one outside host on a common network.

use std::net::IpAddr;
use std::sync::Mutex;

use rtnetlink::packet_route::address::AddressFlags;

use crate::addresses::{self, Family, Ips, NODE_PREFIX_V4, NODE_PREFIX_V6, POD_PREFIX_V4, POD_PREFIX_V6};
use crate::agent::{Agent, AgentOptions};
use crate::binaries::Binaries;
use crate::clean;
use crate::error::{Error, Result};
use crate::folder::LabFolder;
use crate::manifests::Manifests;
use crate::netlink::Route;
use crate::netns::Netns;
use crate::node::{Node, quiet_ipv6};
use crate::pod::Pod;
use crate::reaper::Reaper;
use crate::service::{Service, ServiceSpec};
use crate::wiring::Wiring;

/// The bridge in the switch namespace.
const SWITCH: &str = "br0";

#[derive(Debug)]
pub struct Lab {
    nodes: Vec<Node>,
    outside: Netns,
    manifests: Manifests,
    agents: Mutex<Vec<Agent>>,
    folder: LabFolder,
    binaries: Binaries,
    reaper: Option<Reaper>,
}

impl Lab {
    /// Two nodes, an outside host, no agents.
    pub fn new(wiring: Wiring) -> Result<Self> {
        Self::with(wiring, 2, Binaries::find()?)
    }

    /// Two nodes, each with a ready agent.
    pub fn with_agents(wiring: Wiring) -> Result<Self> {
        let lab = Self::new(wiring)?;
        lab.start_agents()?;
        Ok(lab)
    }

    pub fn with(wiring: Wiring, nodes: u8, binaries: Binaries) -> Result<Self> {
        let folder = LabFolder::create()?;
        let reaper = match Reaper::start(&binaries.lab, &folder) {
            Ok(reaper) => reaper,
            Err(error) => {
                clean::remove(&folder)?;
                return Err(error);
            }
        };
        match build(wiring, nodes, &folder, &binaries) {
            Ok((nodes, outside)) => {
                let manifests = Manifests::in_folder(folder.manifests());
                let lab = Self {
                    nodes,
                    outside,
                    manifests,
                    agents: Mutex::default(),
                    folder,
                    binaries,
                    reaper: Some(reaper),
                };
                lab.nodes
                    .iter()
                    .try_for_each(|node| lab.manifests.add_node(node))?;
                Ok(lab)
            }
            Err(error) => {
                reaper.reap()?;
                Err(error)
            }
        }
    }

    /// Node `n`, counted from 1.
    #[must_use]
    #[expect(clippy::panic, reason = "a wrong number is a mistake in the test itself")]
    pub fn node(&self, n: usize) -> &Node {
        match n.checked_sub(1).and_then(|index| self.nodes.get(index)) {
            Some(node) => node,
            None => panic!("the lab has nodes 1 to {}, not {n}", self.nodes.len()),
        }
    }

    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A host beside the nodes that reaches the service network through node 1.
    #[must_use]
    pub fn outside(&self) -> &Netns {
        &self.outside
    }

    #[must_use]
    pub fn folder(&self) -> &LabFolder {
        &self.folder
    }

    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    #[must_use]
    pub fn manifests(&self) -> &Manifests {
        &self.manifests
    }

    /// Creates a Service; see [`ServiceSpec`] for its ports.
    pub fn service(&self, spec: ServiceSpec) -> Result<Service> {
        Service::create(spec, self.manifests.clone())
    }

    /// Starts an agent on every node and waits until all are ready.
    pub fn start_agents(&self) -> Result<()> {
        self.start_agents_with(&AgentOptions::default())
    }

    /// The same with options.
    pub fn start_agents_with(&self, options: &AgentOptions) -> Result<()> {
        self.start_agents_on(&self.nodes, options)
    }

    /// Starts agents on some nodes, with more options, and waits until all are ready.
    pub fn start_agents_on(&self, nodes: &[Node], options: &AgentOptions) -> Result<()> {
        let started: Result<Vec<_>> = nodes.iter().map(|node| node.start_agent(options)).collect();
        let mut started = started?;
        started.iter_mut().try_for_each(Agent::wait_ready)?;
        self.lock_agents().extend(started);
        Ok(())
    }

    /// Works with the agent of node `n`.
    pub fn agent<T>(&self, n: usize, work: impl FnOnce(&mut Agent) -> Result<T>) -> Result<T> {
        let name = self.node(n).name().to_owned();
        let mut agents = self.lock_agents();
        match agents.iter_mut().find(|agent| agent.node_name() == name) {
            Some(agent) => work(agent),
            None => Err(Error::Failed(format!("{name} has no agent"))),
        }
    }

    /// Waits until every agent has programmed all that was written so far.
    pub fn settle(&self) -> Result<()> {
        self.manifests.settle(&self.lock_agents())
    }

    /// All pods of all nodes.
    #[must_use]
    pub fn pods(&self) -> Vec<Pod> {
        self.nodes.iter().flat_map(Node::pods).collect()
    }

    /// Leaves everything up when this process ends.
    pub fn keep(mut self) -> Result<()> {
        self.folder.keep()?;
        if let Some(reaper) = self.reaper.take() {
            reaper.stand_down()?;
        }
        // Handles kill what they hold when they go.
        std::mem::forget(self);
        Ok(())
    }

    /// What the kernels hold and the agents said last: printed when a test fails.
    #[must_use]
    pub fn report(&self) -> String {
        let agents = self.lock_agents();
        let log = |node: &Node| {
            let agent = agents.iter().find(|agent| agent.node_name() == node.name());
            agent.map_or_else(|| "no agent".to_owned(), Agent::end_of_log)
        };
        let verb = |node: &Node, verb| node.shunt_text(&[verb]).unwrap_or_else(|error| error.to_string());
        let of_node = |node: &Node| {
            let (status, services) = (verb(node, "status"), verb(node, "services"));
            format!(
                "--- {}\n{status}\n{services}\nagent: {}\n",
                node.name(),
                log(node)
            )
        };
        self.nodes.iter().map(of_node).collect()
    }

    fn lock_agents(&self) -> std::sync::MutexGuard<'_, Vec<Agent>> {
        self.agents
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let Some(reaper) = self.reaper.take() else { return };
        if std::thread::panicking() {
            eprintln!("{}", self.report());
        }
        self.lock_agents().clear();
        self.nodes.iter().for_each(Node::forget_pods);
        // Node and pod handles that outlive the lab hold open files only. A failure here shows as a folder
        // left in /run/shunt-lab, which `shunt-lab clean` names.
        let _ = reaper.reap();
    }
}

fn build(wiring: Wiring, count: u8, folder: &LabFolder, binaries: &Binaries) -> Result<(Vec<Node>, Netns)> {
    let switch = Netns::create(&folder.netns(), "switch")?;
    switch.sysctl(&quiet_ipv6())?;
    switch.configure(async |network| network.add_bridge(SWITCH, [2, 0, 0, 0, 0, 1]).await)?;
    let numbers = 1..=count;
    let nodes: Result<Vec<_>> = numbers
        .clone()
        .map(|n| Node::create(n, wiring, folder, binaries))
        .collect();
    let nodes = nodes?;
    for node in &nodes {
        plug(&switch, node.netns(), node.ips())?;
        let others = numbers.clone().filter(|&n| n != node.number());
        let routes: Vec<_> = others.flat_map(routes_to_pods_of).collect();
        add_routes(node.netns(), &routes)?;
    }
    let outside = Netns::create(&folder.netns(), "outside")?;
    outside.sysctl(&quiet_ipv6())?;
    outside.configure(async |network| network.up("lo").await)?;
    plug(&switch, &outside, addresses::outside())?;
    add_routes(&outside, &routes_to_services())?;
    Ok((nodes, outside))
}

/// Joins a host to the switch by its `eth0`.
fn plug(switch: &Netns, host: &Netns, ips: Ips) -> Result<()> {
    let port = host.name();
    switch.join(port, host, "eth0")?;
    switch.configure(async |network| network.enslave(port, SWITCH).await)?;
    host.configure(async |network| {
        network
            .add_address("eth0", (ips.v4.into(), NODE_PREFIX_V4), AddressFlags::empty())
            .await?;
        network
            .add_address("eth0", (ips.v6.into(), NODE_PREFIX_V6), AddressFlags::empty())
            .await
    })
}

type To = ((IpAddr, u8), IpAddr);

fn add_routes(netns: &Netns, routes: &[To]) -> Result<()> {
    netns.configure(async |network| {
        for &(to, gateway) in routes {
            network.add_route(Route::via(to, gateway)).await?;
        }
        Ok(())
    })
}

fn routes_to_pods_of(n: u8) -> Vec<To> {
    let (subnet, node) = (addresses::pod(n, 0), addresses::node(n));
    let prefix = [POD_PREFIX_V4, POD_PREFIX_V6];
    let families = Family::ALL.into_iter().zip(prefix);
    families
        .map(|(family, prefix)| ((subnet.get(family), prefix), node.get(family)))
        .collect()
}

fn routes_to_services() -> Vec<To> {
    let (v4, v6, first) = (addresses::SERVICES_V4, addresses::SERVICES_V6, addresses::node(1));
    vec![
        ((v4.0.into(), v4.1), first.v4.into()),
        ((v6.0.into(), v6.1), first.v6.into()),
    ]
}
