// SPDX-License-Identifier: MIT OR Apache-2.0
//! Services and their endpoints, as the API server would hold them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::addresses::{self, Family, Ips};
use crate::error::Result;
use crate::manifests::Manifests;
use crate::node::Node;
use crate::pod::Pod;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

#[derive(Debug, Clone)]
struct Port {
    protocol: Protocol,
    port: u16,
    target: u16,
}

impl Port {
    fn name(&self) -> String {
        format!("{}-{}", self.protocol.name().to_lowercase(), self.port)
    }
}

/// What a Service is to be; made a real one by [`crate::Lab::service`].
#[derive(Debug, Clone)]
pub struct ServiceSpec {
    namespace: String,
    name: String,
    vip: Ips,
    ports: Vec<Port>,
    selector: BTreeMap<String, String>,
    node_port: Option<u16>,
    load_balancer: Option<Ips>,
    external_ips: Option<Ips>,
    source_ranges: Vec<String>,
    external_local: bool,
    internal_local: bool,
    affinity_seconds: Option<i32>,
    health_check_port: Option<u16>,
}

impl ServiceSpec {
    /// A dual-stack ClusterIP Service in namespace `default`, with the next free VIP and no ports yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        static NEXT_VIP: AtomicU16 = AtomicU16::new(0x0101);
        let vip = addresses::vip(NEXT_VIP.fetch_add(1, Ordering::Relaxed));
        let (namespace, name) = ("default".to_owned(), name.to_owned());
        Self {
            namespace,
            name,
            vip,
            ports: Vec::new(),
            selector: BTreeMap::new(),
            node_port: None,
            load_balancer: None,
            external_ips: None,
            source_ranges: Vec::new(),
            external_local: false,
            internal_local: false,
            affinity_seconds: None,
            health_check_port: None,
        }
    }

    #[must_use]
    pub fn namespace(self, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..self
        }
    }

    /// Uses the VIP with this number, e.g. 10 for 10.96.0.10.
    #[must_use]
    pub fn number(self, number: u16) -> Self {
        Self {
            vip: addresses::vip(number),
            ..self
        }
    }

    /// Uses these addresses as the VIP.
    #[must_use]
    pub fn at(self, vip: Ips) -> Self {
        Self { vip, ..self }
    }

    #[must_use]
    pub fn port(mut self, protocol: Protocol, port: u16, target: u16) -> Self {
        self.ports.push(Port {
            protocol,
            port,
            target,
        });
        self
    }

    /// The same port for TCP and UDP.
    #[must_use]
    pub fn tcp_and_udp(self, port: u16, target: u16) -> Self {
        self.port(Protocol::Tcp, port, target)
            .port(Protocol::Udp, port, target)
    }

    /// `internalTrafficPolicy: Local`.
    #[must_use]
    pub fn internal_local(self) -> Self {
        Self {
            internal_local: true,
            ..self
        }
    }

    #[must_use]
    pub fn selector(mut self, key: &str, value: &str) -> Self {
        self.selector.insert(key.to_owned(), value.to_owned());
        self
    }

    /// A NodePort with this number, for each protocol that there is a port of.
    #[must_use]
    pub fn node_port(self, number: u16) -> Self {
        Self {
            node_port: Some(number),
            ..self
        }
    }

    /// Type LoadBalancer, whose balancer has these addresses and hands packets on as they are.
    #[must_use]
    pub fn load_balancer(self, ips: Ips) -> Self {
        Self {
            load_balancer: Some(ips),
            ..self
        }
    }

    #[must_use]
    pub fn external_ips(self, ips: Ips) -> Self {
        Self {
            external_ips: Some(ips),
            ..self
        }
    }

    /// Who may be a client at the load balancer's addresses; replaces what was said before.
    #[must_use]
    pub fn source_ranges(self, ranges: &[&str]) -> Self {
        Self {
            source_ranges: ranges.iter().map(|range| (*range).to_owned()).collect(),
            ..self
        }
    }

    /// `externalTrafficPolicy: Local`.
    #[must_use]
    pub fn external_local(self) -> Self {
        Self {
            external_local: true,
            ..self
        }
    }

    /// `sessionAffinity: ClientIP` with this timeout.
    #[must_use]
    pub fn affinity(self, seconds: i32) -> Self {
        Self {
            affinity_seconds: Some(seconds),
            ..self
        }
    }

    /// `healthCheckNodePort`.
    #[must_use]
    pub fn health_check(self, port: u16) -> Self {
        Self {
            health_check_port: Some(port),
            ..self
        }
    }

    fn kind(&self) -> &'static str {
        if self.load_balancer.is_some() {
            "LoadBalancer"
        } else if self.node_port.is_some() {
            "NodePort"
        } else {
            "ClusterIP"
        }
    }

    fn status(&self) -> Option<core::ServiceStatus> {
        let ips = self.load_balancer?;
        let ingress = |family| core::LoadBalancerIngress {
            ip: Some(ips.get(family).to_string()),
            ip_mode: Some("VIP".to_owned()),
            ..core::LoadBalancerIngress::default()
        };
        Some(core::ServiceStatus {
            load_balancer: Some(core::LoadBalancerStatus {
                ingress: Some(Family::ALL.map(ingress).to_vec()),
            }),
            ..core::ServiceStatus::default()
        })
    }

    pub(crate) fn object(&self) -> core::Service {
        let policy = |is_local: bool| Some(if is_local { "Local" } else { "Cluster" }.to_owned());
        let affinity = |timeout| core::SessionAffinityConfig {
            client_ip: Some(core::ClientIPConfig {
                timeout_seconds: Some(timeout),
            }),
        };
        let external_ips = self
            .external_ips
            .map(|ips| Family::ALL.map(|family| ips.get(family).to_string()));
        let ports = self.ports.iter().map(|port| core::ServicePort {
            name: Some(port.name()),
            node_port: self.node_port.map(i32::from),
            port: port.port.into(),
            protocol: Some(port.protocol.name().to_owned()),
            target_port: Some(IntOrString::Int(port.target.into())),
            ..core::ServicePort::default()
        });
        let addresses = Family::ALL.map(|family| self.vip.get(family).to_string());
        core::Service {
            metadata: self.metadata(self.name.clone()),
            spec: Some(core::ServiceSpec {
                type_: Some(self.kind().to_owned()),
                external_ips: external_ips.map(Vec::from),
                load_balancer_source_ranges: (!self.source_ranges.is_empty())
                    .then(|| self.source_ranges.clone()),
                external_traffic_policy: policy(self.external_local).filter(|_| self.kind() != "ClusterIP"),
                internal_traffic_policy: policy(self.internal_local),
                health_check_node_port: self.health_check_port.map(i32::from),
                session_affinity: self.affinity_seconds.map(|_| "ClientIP".to_owned()),
                session_affinity_config: self.affinity_seconds.map(affinity),
                cluster_ip: addresses.first().cloned(),
                cluster_ips: Some(addresses.to_vec()),
                ip_families: Some(vec!["IPv4".to_owned(), "IPv6".to_owned()]),
                ip_family_policy: Some("RequireDualStack".to_owned()),
                ports: Some(ports.collect()),
                selector: (!self.selector.is_empty()).then(|| self.selector.clone()),
                ..core::ServiceSpec::default()
            }),
            status: self.status(),
        }
    }

    fn slice(&self, family: Family, endpoints: &[Endpoint]) -> discovery::EndpointSlice {
        let suffix = match family {
            Family::V4 => "v4",
            Family::V6 => "v6",
        };
        let mut metadata = self.metadata(format!("{}-{suffix}", self.name));
        metadata.labels = Some(BTreeMap::from([
            ("kubernetes.io/service-name".to_owned(), self.name.clone()),
            (
                "endpointslice.kubernetes.io/managed-by".to_owned(),
                "endpointslice-controller.k8s.io".to_owned(),
            ),
        ]));
        let ports = self.ports.iter().map(|port| discovery::EndpointPort {
            name: Some(port.name()),
            port: Some(port.target.into()),
            protocol: Some(port.protocol.name().to_owned()),
            app_protocol: None,
        });
        discovery::EndpointSlice {
            metadata,
            address_type: family.to_string(),
            endpoints: Some(endpoints.iter().map(|endpoint| endpoint.object(family)).collect()),
            ports: Some(ports.collect()),
        }
    }

    fn metadata(&self, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.clone()),
            ..ObjectMeta::default()
        }
    }
}

/// One endpoint of a Service: a pod, and whether traffic may go there.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pod: String,
    node: String,
    ips: Ips,
    ready: bool,
    serving: bool,
    terminating: bool,
}

impl Endpoint {
    #[must_use]
    pub fn ready(pod: &Pod) -> Self {
        let (pod_name, node) = (pod.name().to_owned(), pod.node().name().to_owned());
        Self {
            pod: pod_name,
            node,
            ips: pod.ips(),
            ready: true,
            serving: true,
            terminating: false,
        }
    }

    /// A process of the node itself (`hostNetwork`), ready.
    #[must_use]
    pub fn on_node(node: &Node) -> Self {
        Self {
            pod: node.name().to_owned(),
            node: node.name().to_owned(),
            ips: node.ips(),
            ready: true,
            serving: true,
            terminating: false,
        }
    }

    /// Being deleted, still answering.
    #[must_use]
    pub fn terminating(self) -> Self {
        Self {
            ready: false,
            serving: true,
            terminating: true,
            ..self
        }
    }

    #[must_use]
    pub fn not_ready(self) -> Self {
        Self {
            ready: false,
            serving: false,
            ..self
        }
    }

    fn object(&self, family: Family) -> discovery::Endpoint {
        discovery::Endpoint {
            addresses: vec![self.ips.get(family).to_string()],
            conditions: Some(discovery::EndpointConditions {
                ready: Some(self.ready),
                serving: Some(self.serving),
                terminating: Some(self.terminating),
            }),
            node_name: Some(self.node.clone()),
            target_ref: Some(core::ObjectReference {
                kind: Some("Pod".to_owned()),
                name: Some(self.pod.clone()),
                ..core::ObjectReference::default()
            }),
            ..discovery::Endpoint::default()
        }
    }
}

/// A Service that exists.
#[derive(Debug, Clone)]
pub struct Service {
    spec: ServiceSpec,
    manifests: Manifests,
}

impl Service {
    pub(crate) fn create(spec: ServiceSpec, manifests: Manifests) -> Result<Self> {
        manifests.apply(&spec.object())?;
        Ok(Self { spec, manifests })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    #[must_use]
    pub fn vip(&self) -> Ips {
        self.spec.vip
    }

    /// The VIP with a port.
    #[must_use]
    pub fn at(&self, family: Family, port: u16) -> SocketAddr {
        (self.spec.vip.get(family), port).into()
    }

    /// Replaces all endpoints.
    pub fn lead_to(&self, endpoints: &[Endpoint]) -> Result<()> {
        Family::ALL
            .into_iter()
            .try_for_each(|family| self.manifests.apply(&self.spec.slice(family, endpoints)))
    }

    /// Makes it what this says; its name stays.
    pub fn become_(&mut self, change: impl FnOnce(ServiceSpec) -> ServiceSpec) -> Result<()> {
        self.spec = change(self.spec.clone());
        self.manifests.apply(&self.spec.object())
    }

    /// Replaces the selector; who plays the EndpointSlice controller replaces the endpoints.
    pub fn select(&mut self, key: &str, value: &str) -> Result<()> {
        self.spec = self.spec.clone().selector(key, value);
        self.manifests.apply(&self.spec.object())
    }

    /// Deletes the Service and its slices.
    pub fn delete(&self) -> Result<()> {
        self.manifests.delete(&self.spec.object())?;
        Family::ALL
            .into_iter()
            .try_for_each(|family| self.manifests.delete(&self.spec.slice(family, &[])))
    }
}
