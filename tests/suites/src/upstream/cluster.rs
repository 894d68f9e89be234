// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cluster as upstream's tests make it: API objects, seen from the node `test-node`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use dataplane::index::parse::{Parser, name_of};
use dataplane::index::{Change, Event, Pods, Settings};
use dataplane::model::{NodeAddress, NodeAddresses};
use dataplane::plan::MemoryMaps;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{NODE, OTHER_NODE_ADDRESS};
use crate::control::Control;
use crate::setup::Setup;

const NODE_NAME: &str = "test-node";

/// Built object by object.
#[derive(Clone)]
pub(super) struct Cluster {
    services: Vec<Value>,
    slices: Vec<Value>,
    zone: Option<&'static str>,
    settings: Settings,
    pub(super) masquerade_all: bool,
}

/// An endpoint of a slice.
#[derive(Clone, Copy)]
pub(super) struct Endpoint {
    addr: &'static str,
    here: bool,
    ready: bool,
    serving: bool,
    terminating: bool,
    zones: &'static [&'static str],
}

/// A ready endpoint on some other node.
pub(super) fn elsewhere(addr: &'static str) -> Endpoint {
    Endpoint {
        addr,
        here: false,
        ready: true,
        serving: true,
        terminating: false,
        zones: &[],
    }
}

/// A ready endpoint on this node.
pub(super) fn here(addr: &'static str) -> Endpoint {
    Endpoint {
        here: true,
        ..elsewhere(addr)
    }
}

impl Endpoint {
    /// Not ready, and not serving.
    pub(super) fn dead(self) -> Self {
        Self {
            ready: false,
            serving: false,
            ..self
        }
    }

    /// On its way out, and still serving.
    pub(super) fn leaving(self) -> Self {
        Self {
            ready: false,
            terminating: true,
            ..self
        }
    }

    pub(super) fn hinted(self, zones: &'static [&'static str]) -> Self {
        Self { zones, ..self }
    }

    fn object(self) -> Value {
        let mut object = json!({
            "addresses": [self.addr],
            "conditions": { "ready": self.ready, "serving": self.serving, "terminating": self.terminating },
            "nodeName": if self.here { NODE_NAME } else { "other-node" },
        });
        if !self.zones.is_empty() {
            let zones: Vec<_> = self.zones.iter().map(|zone| json!({ "name": zone })).collect();
            object["hints"] = json!({ "forZones": zones });
        }
        object
    }
}

impl Cluster {
    /// Upstream's settings: pods by the range 10.0.0.0/8, ClusterIPs of 172.30.0.0/16, NodePorts at the primary address.
    pub(super) fn new() -> Self {
        let range = |text: &str| text.parse().expect("a range");
        Self {
            services: Vec::new(),
            slices: Vec::new(),
            zone: None,
            settings: Settings {
                pods: Pods::Within(vec![range("10.0.0.0/8"), range("fd00:10::/64")]),
                service_ranges: vec![range("172.30.0.0/16"), range("fd00:172:30::/64")],
                ..Settings::default()
            },
            masquerade_all: false,
        }
    }

    /// Nobody tells pods from others.
    pub(super) fn without_detector(mut self) -> Self {
        self.settings.pods = Pods::Nobody;
        self
    }

    pub(super) fn masquerade_all(mut self) -> Self {
        self.masquerade_all = true;
        self
    }

    /// `--nodeport-addresses`.
    pub(super) fn node_ports_at(mut self, ranges: &[&str]) -> Self {
        self.settings.node_ports.0 = ranges.iter().map(|it| it.parse().expect("a range")).collect();
        self
    }

    /// The node's zone label.
    pub(super) fn in_zone(mut self, zone: &'static str) -> Self {
        self.zone = Some(zone);
        self
    }

    /// A Service: its `spec`, and its load balancer's addresses.
    pub(super) fn service(mut self, name: &str, spec: Value, ingress: &[&str]) -> Self {
        let ingress: Vec<_> = ingress.iter().map(|ip| json!({ "ip": ip })).collect();
        self.services.push(json!({
            "metadata": { "name": name, "namespace": "ns" },
            "spec": spec,
            "status": { "loadBalancer": { "ingress": ingress } },
        }));
        self
    }

    /// A slice of a Service; `ports` are `(name, protocol, port)`.
    pub(super) fn slice(
        mut self,
        service: &str,
        ports: &[(&str, &str, u16)],
        endpoints: &[Endpoint],
    ) -> Self {
        let ports: Vec<_> = ports
            .iter()
            .map(|(name, protocol, port)| json!({ "name": name, "protocol": protocol, "port": port }))
            .collect();
        let v6 = endpoints.iter().any(|it| it.addr.contains(':'));
        self.slices.push(json!({
            "metadata": {
                "name": format!("{service}-{}", self.slices.len()),
                "namespace": "ns",
                "labels": { "kubernetes.io/service-name": service },
            },
            "addressType": if v6 { "IPv6" } else { "IPv4" },
            "ports": ports,
            "endpoints": endpoints.iter().map(|it| it.object()).collect::<Vec<_>>(),
        }));
        self
    }

    /// The same cluster after all its slices were deleted.
    pub(super) fn without_slices(mut self) -> Self {
        self.slices.clear();
        self
    }

    pub(super) fn is_cluster_ip(&self, addr: IpAddr) -> bool {
        let addr = addr.to_string();
        self.services
            .iter()
            .any(|service| service["spec"]["clusterIP"] == addr.as_str())
    }

    /// Whether an endpoint runs on this node.
    pub(super) fn is_local(&self, addr: IpAddr) -> bool {
        let addr = addr.to_string();
        let endpoints = self
            .slices
            .iter()
            .filter_map(|slice| slice["endpoints"].as_array());
        endpoints
            .flatten()
            .any(|it| it["addresses"][0] == addr.as_str() && it["nodeName"] == NODE_NAME)
    }

    /// What the kernel is to hold: through the parser, index, compiler and planner.
    pub(super) fn setup(&self) -> Setup {
        let mut maps = MemoryMaps::default();
        let events = self.events(&Parser::new(NODE_NAME));
        Control::start(self.settings.clone(), &mut maps, events);
        Setup {
            state: maps.state,
            masquerade_all: self.masquerade_all,
            ..Setup::default()
        }
    }

    fn events(&self, parser: &Parser) -> Vec<Event> {
        let services = self.services.iter().map(object::<Service>);
        let slices = self.slices.iter().map(object::<EndpointSlice>);
        let mut labels = json!({});
        if let Some(zone) = self.zone {
            labels["topology.kubernetes.io/zone"] = zone.into();
        }
        let node: Node = object(&json!({
            "metadata": { "name": NODE_NAME, "labels": labels },
            "status": { "addresses": [
                { "type": "InternalIP", "address": NODE },
                { "type": "InternalIP", "address": "2001:db8::1" },
            ] },
        }));
        let nodes = [(name_of(&node.metadata, false), parser.node(&node))];
        vec![
            Event::Services(Change::Reset(
                services
                    .map(|it| (name_of(&it.metadata, true), parser.service(&it)))
                    .collect(),
            )),
            Event::Slices(Change::Reset(
                slices
                    .map(|it| (name_of(&it.metadata, true), parser.slice(&it)))
                    .collect(),
            )),
            Event::Nodes(Change::Reset(nodes.into())),
            Event::NodeAddresses(addresses()),
        ]
    }
}

/// All that upstream's node has.
fn addresses() -> NodeAddresses {
    let all = [NODE, OTHER_NODE_ADDRESS, "2001:db8::1", "2001:db8:1::2"];
    let unique: BTreeSet<IpAddr> = all.iter().map(|it| it.parse().expect("an address")).collect();
    unique
        .into_iter()
        .map(|addr| (addr, NodeAddress::default()))
        .collect()
}

fn object<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("an API object")
}
