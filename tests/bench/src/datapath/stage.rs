// SPDX-License-Identifier: MIT OR Apache-2.0
//! A contender's two nodes: a client, a server beside it, a server on the other node.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use anyhow::Context as _;
use apiserver::bulk::Bulk;
use apiserver::{Fixture, Settings, User};
use lab::service::{Protocol, ServiceSpec};
use lab::{Family, Lab, Node, Pod, Wiring, addresses};

use super::contender::Contender;
use super::server::Server;
use crate::kube_proxy::{KubeProxy, ServicePort, track_connections};
use crate::plan::Plan;

/// Where the server is, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    SameNode,
    OtherNode,
}

impl Place {
    pub(super) const ALL: [Self; 2] = [Self::SameNode, Self::OtherNode];

    /// The number of the VIP.
    fn vip(self) -> u16 {
        match self {
            Self::SameNode => 10,
            Self::OtherNode => 11,
        }
    }

    fn service(self) -> &'static str {
        match self {
            Self::SameNode => "near",
            Self::OtherNode => "far",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameNode => "same node",
            Self::OtherNode => "other node",
        })
    }
}

/// The ports of a server, and of the VIP that leads there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Echo,
    Bulk,
}

impl Port {
    const ALL: [Self; 2] = [Self::Echo, Self::Bulk];

    /// On the server.
    pub(super) fn target(self) -> u16 {
        match self {
            Self::Echo => 8080,
            Self::Bulk => 8081,
        }
    }

    fn vip(self) -> u16 {
        match self {
            Self::Echo => 80,
            Self::Bulk => 81,
        }
    }
}

/// Endpoints of each Service that nobody talks to.
const ENDPOINTS: u32 = 2;

pub(super) struct Stage {
    pub(super) contender: Contender,
    pub(super) client: Pod,
    near: (Pod, Server),
    far: (Pod, Server),
    /// What works in the background.
    proxies: Vec<KubeProxy>,
    api_servers: Vec<Fixture>,
    lab: Lab,
}

impl Stage {
    pub(super) fn set_up(contender: Contender, plan: &Plan) -> anyhow::Result<Self> {
        let lab = Lab::new(Wiring::Ptp)?;
        let client = lab.node(1).pod("client")?;
        // Ports of connections just closed are to be had again at once, and there are to be many.
        client.netns().sysctl(&[
            ("ipv4/tcp_tw_reuse", "1"),
            ("ipv4/ip_local_port_range", "10000 60999"),
        ])?;
        let serve = |node: &Node, place: Place| -> anyhow::Result<(Pod, Server)> {
            let pod = node.pod(place.service())?;
            let server = Server::start(&pod)?;
            Ok((pod, server))
        };
        let mut stage = Self {
            contender,
            client,
            near: serve(lab.node(1), Place::SameNode)?,
            far: serve(lab.node(2), Place::OtherNode)?,
            proxies: Vec::new(),
            api_servers: Vec::new(),
            lab,
        };
        stage.put_to_work(plan)?;
        Ok(stage)
    }

    /// The pod that serves at a place.
    pub(super) fn server(&self, place: Place) -> &Pod {
        match place {
            Place::SameNode => &self.near.0,
            Place::OtherNode => &self.far.0,
        }
    }

    /// What a client dials to get there.
    pub(super) fn dialled(&self, place: Place, port: Port) -> SocketAddr {
        if self.contender.has_vips() {
            (addresses::vip(place.vip()).get(Family::V4), port.vip()).into()
        } else {
            self.server(place).at(Family::V4, port.target())
        }
    }

    fn put_to_work(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let lab = &self.lab;
        match self.contender {
            Contender::PlainRouting => Ok(()),
            Contender::ConnectionTracking => lab.nodes().iter().try_for_each(track_connections),
            Contender::Shunt { services } => self.start_shunt(services),
            Contender::KubeProxy { mode, services } => match &plan.kube_proxy {
                None => {
                    let ports = self.service_ports(services);
                    lab.nodes().iter().try_for_each(|node| mode.load(node, &ports))
                }
                Some(program) => {
                    for node in lab.nodes() {
                        // Each node asks a server in its own namespace.
                        let fixture = node.netns().run(|| Fixture::start(Settings::default()))??;
                        fixture.put_all(self.objects(services)?)?;
                        let kubeconfig = fixture.token_kubeconfig(User::Agent)?;
                        self.proxies
                            .push(KubeProxy::start(program, lab, node, mode, &kubeconfig)?);
                        self.api_servers.push(fixture);
                    }
                    Ok(())
                }
            },
        }
    }

    fn start_shunt(&self, services: u32) -> anyhow::Result<()> {
        let lab = &self.lab;
        let bulk: Vec<String> = bulk(services)
            .objects()
            .map(|object| object.to_string())
            .collect();
        fs::write(lab.folder().manifests().join("bulk.json"), bulk.join("\n"))?;
        self.write_services()?;
        lab.start_agents()?;
        Ok(lab.settle()?)
    }

    /// The two Services that are talked to, as manifests.
    fn write_services(&self) -> anyhow::Result<()> {
        for place in Place::ALL {
            let spec = Port::ALL.iter().fold(
                ServiceSpec::new(place.service()).number(place.vip()),
                |spec, port| spec.tcp_and_udp(port.vip(), port.target()),
            );
            self.lab.service(spec)?.lead_to(&[self.server(place).ready()])?;
        }
        Ok(())
    }

    /// All Services as an API server has them.
    fn objects(&self, services: u32) -> anyhow::Result<Vec<serde_json::Value>> {
        self.write_services()?;
        let mut objects: Vec<_> = bulk(services).objects().collect();
        for entry in fs::read_dir(self.lab.folder().manifests())? {
            let path = entry?.path();
            let text = fs::read_to_string(&path)?;
            objects.push(serde_json::from_str(&text).with_context(|| path.display().to_string())?);
        }
        Ok(objects)
    }

    /// All Services as kube-proxy's rules have them.
    fn service_ports(&self, services: u32) -> Vec<ServicePort> {
        let mut ports: Vec<ServicePort> = (0..services).map(other).collect();
        for place in Place::ALL {
            for port in Port::ALL {
                ports.extend(Protocol::ALL.map(|protocol| ServicePort {
                    name: format!("{}-{}", place.service(), port.vip()),
                    protocol: protocol.name(),
                    vip: SocketAddrV4::new(addresses::vip(place.vip()).v4, port.vip()),
                    endpoints: vec![SocketAddrV4::new(self.server(place).ips().v4, port.target())],
                }));
            }
        }
        ports
    }
}

fn bulk(services: u32) -> Bulk {
    Bulk {
        services,
        endpoints: ENDPOINTS,
        nodes: 100,
    }
}

/// A Service that nobody talks to.
fn other(index: u32) -> ServicePort {
    let endpoint = |number| -> Ipv4Addr { bulk(1).endpoint(index, number) };
    ServicePort {
        name: Bulk::name(index),
        protocol: Protocol::Tcp.name(),
        vip: SocketAddrV4::new(Bulk::cluster_ip(index), 80),
        endpoints: (0..ENDPOINTS)
            .map(|number| SocketAddrV4::new(endpoint(number), 8080))
            .collect(),
    }
}
