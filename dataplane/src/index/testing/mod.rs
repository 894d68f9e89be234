// SPDX-License-Identifier: MIT OR Apache-2.0
//! API objects for tests, written as an operator writes them.

#![expect(
    clippy::unwrap_used,
    reason = "what helps a test may fail as loudly as the test"
)]

pub mod changes;

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::parse::{Parser, name_of};
use super::{Change, Event};
use crate::model::NodeAddress;

pub const NODE: &str = "node-a";

pub fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// `default/NAME` at one address, port 80/TCP "http".
pub fn service(name: &str, cluster_ip: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "clusterIP": cluster_ip, "clusterIPs": [cluster_ip], "ports": [{ "name": "http", "port": 80 }] },
    })
}

/// A slice of `default/SERVICE` with ready endpoints on port 8080.
pub fn slice(name: &str, service: &str, addresses: &[&str]) -> Value {
    let endpoints: Vec<_> = addresses
        .iter()
        .map(|address| json!({ "addresses": [address] }))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": { "kubernetes.io/service-name": service },
        },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "port": 8080 }],
        "endpoints": endpoints,
    })
}

pub fn node(name: &str, zone: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name, "labels": { "topology.kubernetes.io/zone": zone } },
    })
}

/// The event a watch makes of an object that is there.
pub fn applied(value: &Value) -> Event {
    let parser = Parser::new(NODE);
    match value["kind"].as_str().unwrap() {
        "Service" => {
            let it: Service = object(value.clone());
            Event::Services(Change::Apply(name_of(&it.metadata, true), parser.service(&it)))
        }
        "EndpointSlice" => {
            let it: EndpointSlice = object(value.clone());
            Event::Slices(Change::Apply(name_of(&it.metadata, true), parser.slice(&it)))
        }
        "ServiceCIDR" => {
            let it: ServiceCIDR = object(value.clone());
            Event::ServiceCidrs(Change::Apply(
                name_of(&it.metadata, false),
                parser.service_cidr(&it),
            ))
        }
        _ => {
            let it: Node = object(value.clone());
            Event::Nodes(Change::Apply(name_of(&it.metadata, false), parser.node(&it)))
        }
    }
}

pub fn deleted(value: &Value) -> Event {
    match applied(value) {
        Event::Services(Change::Apply(name, _)) => Event::Services(Change::Delete(name)),
        Event::Slices(Change::Apply(name, _)) => Event::Slices(Change::Delete(name)),
        Event::Nodes(Change::Apply(name, _)) => Event::Nodes(Change::Delete(name)),
        Event::ServiceCidrs(Change::Apply(name, _)) => Event::ServiceCidrs(Change::Delete(name)),
        other => other,
    }
}

/// The events of first lists that hold these objects.
pub fn listed(values: &[Value]) -> Vec<Event> {
    let (mut services, mut slices, mut nodes) = (Change::empty(), Change::empty(), Change::empty());
    for value in values {
        match applied(value) {
            Event::Services(change) => services.add(change),
            Event::Slices(change) => slices.add(change),
            Event::Nodes(change) => nodes.add(change),
            Event::ServiceCidrs(_) | Event::NodeAddresses(_) | Event::Refused(..) => {}
        }
    }
    let addresses = Event::NodeAddresses([("192.0.2.1".parse().unwrap(), NodeAddress::default())].into());
    vec![
        Event::Services(services),
        Event::Slices(slices),
        Event::Nodes(nodes),
        addresses,
    ]
}

impl<T> Change<T> {
    fn empty() -> Self {
        Self::Reset([].into())
    }

    fn add(&mut self, change: Self) {
        if let (Self::Reset(live), Self::Apply(name, seen)) = (self, change) {
            live.insert(name, seen);
        }
    }
}
