// SPDX-License-Identifier: MIT OR Apache-2.0
//! A contender's two nodes: a client, a server beside it, a server on the other node.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use apiserver::bulk::Bulk;
use apiserver::{Fixture, Settings, User};
use lab::agent::AgentOptions;
use lab::cgroup::Visit;
use lab::service::Protocol;
use lab::{Family, Lab, Netns, Node, Pod, Wiring, addresses, netlink};
use nix::net::if_::if_nameindex;
use serde_json::{Value, json};

use super::contender::Contender;
use super::server::Server;
use crate::kube_proxy::{KubeProxy, ServicePort, track_connections};
use crate::plan::Plan;
use crate::raw::{Hook, Link, Program};

/// From where to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// From a pod to one beside it, by ClusterIP.
    SameNode,
    /// From a pod to one on the other node, by ClusterIP.
    OtherNode,
    /// From a host outside the cluster to a pod of the node it asks, by node port.
    OutsideToHere,
    /// The same, to a pod of the other node.
    OutsideToOther,
    /// From a process of the node itself to a pod of it, by ClusterIP.
    NodeToHere,
    /// The same, to a pod of the other node.
    NodeToOther,
}

impl Route {
    pub(super) const ALL: [Self; 6] = [
        Self::SameNode,
        Self::OtherNode,
        Self::OutsideToHere,
        Self::OutsideToOther,
        Self::NodeToHere,
        Self::NodeToOther,
    ];

    pub(super) fn is_from_outside(self) -> bool {
        matches!(self, Self::OutsideToHere | Self::OutsideToOther)
    }

    /// Whose packets come in by no device: there is none to let them come in by.
    pub(super) fn is_from_node(self) -> bool {
        matches!(self, Self::NodeToHere | Self::NodeToOther)
    }

    fn is_to_other(self) -> bool {
        matches!(self, Self::OtherNode | Self::OutsideToOther | Self::NodeToOther)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameNode => "pod to pod, same node",
            Self::OtherNode => "pod to pod, other node",
            Self::OutsideToHere => "outside to node port, backend on that node",
            Self::OutsideToOther => "outside to node port, backend on another",
            Self::NodeToHere => "process of the node to a pod of it",
            Self::NodeToOther => "process of the node to a pod of another",
        })
    }
}

/// One of the two Services that are talked to.
#[derive(Clone, Copy, Debug)]
struct Used {
    name: &'static str,
    /// The number of its VIP.
    vip: u16,
    /// Its first node port.
    node_port: u16,
}

const NEAR: Used = Used {
    name: "near",
    vip: 10,
    node_port: 30_080,
};
const FAR: Used = Used {
    name: "far",
    vip: 11,
    node_port: 30_090,
};

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

    /// After the first of a Service.
    fn offset(self) -> u16 {
        match self {
            Self::Echo => 0,
            Self::Bulk => 1,
        }
    }

    fn vip(self) -> u16 {
        80 + self.offset()
    }
}

/// Endpoints of each Service that nobody talks to.
const ENDPOINTS: u32 = 2;

pub(super) struct Stage {
    pub(super) contender: Contender,
    client: Pod,
    near: (Pod, Server),
    far: (Pod, Server),
    /// What works in the background.
    proxies: Vec<KubeProxy>,
    api_servers: Vec<Fixture>,
    links: Vec<Link>,
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
        // Without a node port the way there is by the first node all the same, whatever better way that node tells of.
        lab.outside().sysctl(&[
            ("ipv4/tcp_tw_reuse", "1"),
            ("ipv4/conf/all/accept_redirects", "0"),
            ("ipv4/conf/eth0/accept_redirects", "0"),
        ])?;
        lab.outside().configure(async |network| {
            for node in lab.nodes() {
                let pods = (
                    addresses::pod(node.number(), 0).v4.into(),
                    addresses::POD_PREFIX_V4,
                );
                let first = addresses::node(1).v4.into();
                network.add_route(netlink::Route::via(pods, first)).await?;
            }
            Ok(())
        })?;
        // As every node has one; without, its own processes have no way to a VIP that netfilter could turn elsewhere.
        let anywhere = (Ipv4Addr::UNSPECIFIED.into(), 0);
        for node in lab.nodes() {
            node.netns().configure(async |network| {
                let gateway = addresses::outside().v4.into();
                network.add_route(netlink::Route::via(anywhere, gateway)).await
            })?;
        }
        let serve = |node: &Node, service: Used| -> anyhow::Result<(Pod, Server)> {
            let pod = node.pod(service.name)?;
            let server = Server::start(&pod)?;
            Ok((pod, server))
        };
        let mut stage = Self {
            contender,
            client,
            near: serve(lab.node(1), NEAR)?,
            far: serve(lab.node(2), FAR)?,
            proxies: Vec::new(),
            api_servers: Vec::new(),
            links: Vec::new(),
            lab,
        };
        stage.put_to_work(plan)?;
        Ok(stage)
    }

    /// What kernels and agents say, for when something fails.
    pub(super) fn report(&self) -> String {
        self.lab.report()
    }

    /// The pod at the route's end.
    pub(super) fn server(&self, route: Route) -> &Pod {
        if route.is_to_other() {
            &self.far.0
        } else {
            &self.near.0
        }
    }

    /// Where the client's sockets are.
    pub(super) fn client(&self, route: Route) -> &Netns {
        if route.is_from_outside() {
            self.lab.outside()
        } else if route.is_from_node() {
            self.lab.node(1).netns()
        } else {
            self.client.netns()
        }
    }

    /// Makes this process one of the client's kind: for the node's own, one below the cgroup that Shunt serves.
    pub(super) fn join(&self, route: Route) -> anyhow::Result<Option<Visit>> {
        let joined = route.is_from_node().then(|| Visit::to(self.lab.node(1).cgroup()));
        Ok(joined.transpose()?)
    }

    /// The client's address.
    pub(super) fn client_at(&self, route: Route, port: u16) -> SocketAddr {
        if route.is_from_outside() {
            (addresses::outside().v4, port).into()
        } else {
            self.client.at(Family::V4, port)
        }
    }

    /// Where the client's packets come in: the first node, and the device there.
    pub(super) fn entrance(&self, route: Route) -> (&Netns, &str) {
        let device = if route.is_from_outside() {
            "eth0"
        } else {
            self.client.host_device()
        };
        (self.lab.node(1).netns(), device)
    }

    /// What a client dials to get there.
    pub(super) fn dialled(&self, route: Route, port: Port) -> SocketAddr {
        let used = if route.is_to_other() { FAR } else { NEAR };
        if !self.contender.has_vips() {
            self.server(route).at(Family::V4, port.target())
        } else if route.is_from_outside() {
            (addresses::node(1).v4, used.node_port + port.offset()).into()
        } else {
            (addresses::vip(used.vip).v4, port.vip()).into()
        }
    }

    /// Both Services that are talked to, with the pods behind them.
    fn used(&self) -> [(Used, &Pod); 2] {
        [(NEAR, &self.near.0), (FAR, &self.far.0)]
    }

    fn put_to_work(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let lab = &self.lab;
        match self.contender {
            Contender::PlainRouting => Ok(()),
            Contender::ConnectionTracking => lab.nodes().iter().try_for_each(track_connections),
            Contender::EmptyPrograms => self.attach_empty_programs(),
            Contender::Shunt { services, direct } => self.start_shunt(services, direct),
            Contender::KubeProxy { mode, services } => match &plan.kube_proxy {
                None => {
                    let ports = self.service_ports(services);
                    lab.nodes().iter().try_for_each(|node| mode.load(node, &ports))
                }
                Some(program) => {
                    for node in lab.nodes() {
                        // Each node asks a server in its own namespace.
                        let fixture = node.netns().run(|| Fixture::start(Settings::default()))??;
                        fixture.put_all(self.objects(services))?;
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

    fn attach_empty_programs(&mut self) -> anyhow::Result<()> {
        let program = Program::empty()?;
        for node in self.lab.nodes() {
            let links = node.netns().run(|| -> anyhow::Result<Vec<Link>> {
                let devices = if_nameindex()?;
                let hooks = devices
                    .iter()
                    .flat_map(|device| [Hook::Ingress, Hook::Egress].map(|hook| (device, hook)));
                hooks
                    .map(|(device, hook)| Ok(program.attach(device.index(), hook)?))
                    .collect()
            })?;
            self.links.extend(links?);
        }
        Ok(())
    }

    fn start_shunt(&self, services: u32, direct: bool) -> anyhow::Result<()> {
        let lab = &self.lab;
        let objects: Vec<String> = self.objects(services).iter().map(Value::to_string).collect();
        fs::write(lab.folder().manifests().join("services.json"), objects.join("\n"))?;
        let forwarding = if direct {
            "--forwarding=direct"
        } else {
            "--forwarding=stack"
        };
        lab.start_agents_with(&AgentOptions::saying(&[forwarding]))?;
        Ok(lab.settle()?)
    }

    /// All Services as an API server has them.
    fn objects(&self, services: u32) -> Vec<Value> {
        let used = self.used().into_iter().flat_map(|(used, pod)| used.objects(pod));
        bulk(services).objects().chain(used).collect()
    }

    /// All Services as kube-proxy's rules have them.
    fn service_ports(&self, services: u32) -> Vec<ServicePort> {
        let mut ports: Vec<ServicePort> = (0..services).map(other).collect();
        for (used, pod) in self.used() {
            for port in Port::ALL {
                ports.extend(Protocol::ALL.map(|protocol| ServicePort {
                    name: format!("{}-{}", used.name, port.vip()),
                    protocol: protocol.name(),
                    vip: SocketAddrV4::new(addresses::vip(used.vip).v4, port.vip()),
                    endpoints: vec![SocketAddrV4::new(pod.ips().v4, port.target())],
                    node_port: Some(used.node_port + port.offset()),
                }));
            }
        }
        ports
    }
}

impl Used {
    /// A Service with node ports, and its slice.
    fn objects(self, pod: &Pod) -> [Value; 2] {
        let ip = addresses::vip(self.vip).v4.to_string();
        let each = || {
            Port::ALL
                .into_iter()
                .flat_map(|port| Protocol::ALL.map(|protocol| (port, protocol)))
        };
        let name =
            |port: Port, protocol: Protocol| format!("{}-{}", protocol.name().to_lowercase(), port.vip());
        let ports: Vec<_> = each()
            .map(|(port, protocol)| {
                json!({
                    "name": name(port, protocol), "protocol": protocol.name(), "port": port.vip(),
                    "targetPort": port.target(), "nodePort": self.node_port + port.offset(),
                })
            })
            .collect();
        let targets: Vec<_> = each()
            .map(|(port, protocol)| {
                json!({"name": name(port, protocol), "protocol": protocol.name(), "port": port.target()})
            })
            .collect();
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": self.name, "namespace": "default"},
            "spec": {
                "type": "NodePort", "clusterIP": ip, "clusterIPs": [ip], "ipFamilies": ["IPv4"], "ports": ports,
                "externalTrafficPolicy": "Cluster",
            },
        });
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{}-1", self.name), "namespace": "default",
                "labels": {"kubernetes.io/service-name": self.name},
            },
            "addressType": "IPv4", "ports": targets,
            "endpoints": [{
                "addresses": [pod.ips().v4.to_string()], "nodeName": pod.node().name(),
                "conditions": {"ready": true},
            }],
        });
        [service, slice]
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
        node_port: None,
    }
}
