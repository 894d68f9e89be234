// SPDX-License-Identifier: MIT OR Apache-2.0
//! Everything that a Service may become, from everything that it may have been.

use std::fmt;

use serde_json::{Value, json};

use super::{applied, deleted, listed, service, slice};
use crate::index::Event;

/// One Service, before and after; none where it did not exist or does not any more.
#[derive(Clone, Debug)]
pub struct ServiceChange {
    from: Option<Value>,
    to: Option<Value>,
}

/// Every pair of shapes, of equal ones too.
pub fn every_change() -> Vec<ServiceChange> {
    let shapes = shapes();
    let to_all = |from: &Option<Value>| {
        let from = from.clone();
        shapes.iter().map(move |to| ServiceChange {
            from: from.clone(),
            to: to.clone(),
        })
    };
    shapes.iter().flat_map(to_all).collect()
}

impl ServiceChange {
    /// The first lists of who knows what was.
    pub fn before(&self) -> Vec<Event> {
        listed(&with_endpoints(self.from.as_ref()))
    }

    /// The events that the watch then sends.
    pub fn event(&self) -> Option<Event> {
        match (&self.from, &self.to) {
            (_, Some(object)) => Some(applied(object)),
            (Some(object), None) => Some(deleted(object)),
            (None, None) => None,
        }
    }

    /// The first lists of who starts afresh afterwards.
    pub fn after(&self) -> Vec<Event> {
        listed(&with_endpoints(self.to.as_ref()))
    }
}

impl fmt::Display for ServiceChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |shape: &Option<Value>| shape.as_ref().map_or("nothing".into(), Value::to_string);
        write!(f, "from {} to {}", text(&self.from), text(&self.to))
    }
}

/// Everything a Service may be, and its absence.
fn shapes() -> Vec<Option<Value>> {
    let changed = |pointer: &str, value: Value| {
        let mut object = of_type("LoadBalancer");
        if let Some(place) = object.pointer_mut(pointer) {
            *place = value;
        }
        Some(object)
    };
    let mut other_protocol = of_type("NodePort");
    other_protocol["spec"]["ports"][0]["protocol"] = "UDP".into();
    let mut headless = of_type("ClusterIP");
    headless["spec"]["clusterIP"] = "None".into();
    headless["spec"]["clusterIPs"] = json!(["None"]);
    vec![
        Some(of_type("ClusterIP")),
        Some(of_type("NodePort")),
        Some(of_type("LoadBalancer")),
        Some(of_type("ExternalName")),
        Some(headless),
        Some(of_both_families()),
        changed("/spec/ports/0/port", 81.into()),
        changed("/spec/ports/0/nodePort", 30_081.into()),
        changed(
            "/spec/loadBalancerSourceRanges",
            json!(["192.0.2.0/25", "10.0.0.0/8"]),
        ),
        changed("/status/loadBalancer/ingress/0/ip", "203.0.113.10".into()),
        Some(other_protocol),
        None,
    ]
}

/// A Service of this type with all that such a Service may have.
fn of_type(kind: &str) -> Value {
    let mut object = service("web", "10.96.0.1");
    object["spec"]["type"] = kind.into();
    match kind {
        "ExternalName" => object["spec"] = json!({ "type": kind, "externalName": "example.org" }),
        "NodePort" | "LoadBalancer" => object["spec"]["ports"][0]["nodePort"] = 30_080.into(),
        _ => {}
    }
    if kind == "LoadBalancer" {
        object["spec"]["externalTrafficPolicy"] = "Local".into();
        object["spec"]["loadBalancerSourceRanges"] = json!(["192.0.2.0/24"]);
        object["spec"]["externalIPs"] = json!(["198.51.100.7"]);
        object["spec"]["sessionAffinity"] = "ClientIP".into();
        object["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.9" }] } });
    }
    object
}

fn of_both_families() -> Value {
    let mut object = of_type("LoadBalancer");
    object["spec"]["clusterIPs"] = json!(["10.96.0.1", "fd00:96::1"]);
    object["spec"]["ipFamilies"] = json!(["IPv4", "IPv6"]);
    object["spec"]["loadBalancerSourceRanges"] = json!(["192.0.2.0/24", "2001:db8:2::/48"]);
    object["spec"]["externalIPs"] = json!(["198.51.100.7", "2001:db8:51::7"]);
    object["status"] =
        json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.9" }, { "ip": "2001:db8:113::9" }] } });
    object
}

/// Endpoints stay all the time: what is changed is what leads to them.
fn with_endpoints(service: Option<&Value>) -> Vec<Value> {
    let mut of_v6 = slice("web-2", "web", &["fd00:244::1", "fd00:244:1::1"]);
    of_v6["addressType"] = "IPv6".into();
    let endpoints = [slice("web-1", "web", &["10.244.0.1", "10.244.1.1"]), of_v6];
    service.cloned().into_iter().chain(endpoints).collect()
}
