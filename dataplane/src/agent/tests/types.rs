// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Service that changes its type, ports, protocol or existence leaves nothing behind.

use serde_json::Value;

use super::*;

const TYPES: [&str; 4] = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];

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

fn endpoints() -> Value {
    slice("web-1", "web", &["10.244.0.1", "10.244.1.1"])
}

/// Everything a Service may become, and its absence.
fn shapes() -> Vec<Option<Value>> {
    let changed = |pointer: &str, value: Value| {
        let mut object = of_type("LoadBalancer");
        *object.pointer_mut(pointer).unwrap() = value;
        Some(object)
    };
    let of_types = TYPES.into_iter().map(|kind| Some(of_type(kind)));
    let mut other_protocol = of_type("NodePort");
    other_protocol["spec"]["ports"][0]["protocol"] = "UDP".into();
    of_types
        .chain([
            changed("/spec/ports/0/port", 81.into()),
            changed("/spec/ports/0/nodePort", 30_081.into()),
            changed(
                "/spec/loadBalancerSourceRanges",
                json!(["192.0.2.0/25", "10.0.0.0/8"]),
            ),
            changed("/status/loadBalancer/ingress/0/ip", "203.0.113.10".into()),
            Some(other_protocol),
            None,
        ])
        .collect()
}

fn event(from: Option<&Value>, to: Option<&Value>) -> Option<Event> {
    match (from, to) {
        (_, Some(object)) => Some(applied(object)),
        (Some(object), None) => Some(deleted(object)),
        (None, None) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn every_change_of_type_leaves_what_a_fresh_start_would() {
    for from in shapes() {
        for to in shapes() {
            let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
            let before: Vec<Value> = from.iter().cloned().chain([endpoints()]).collect();
            bench.settle(listed(&before)).await;
            bench
                .settle(event(from.as_ref(), to.as_ref()).into_iter().collect())
                .await;

            let fresh = Bench::start(SharedMaps::new(MemoryMaps::default()));
            let after: Vec<Value> = to.iter().cloned().chain([endpoints()]).collect();
            fresh.settle(listed(&after)).await;
            assert_eq!(
                contents(&bench.maps.state()),
                contents(&fresh.maps.state()),
                "from {from:?} to {to:?}"
            );
        }
    }
}
