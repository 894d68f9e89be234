// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects as the API has them.

use apiserver::{Key, Resource};
use serde_json::{Value, json};

/// The node the agent runs on.
pub(crate) const NODE: &str = "node-0";
pub(crate) const NAMESPACE: &str = "suite";
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";
pub(crate) const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";

/// A Service at `10.96.1.N`, port 80 named `http`.
pub(crate) fn service(name: &str, n: u8) -> Value {
    let ip = format!("10.96.1.{n}");
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}},
        "spec": {
            "type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
        },
    })
}

/// The frontend of that Service.
pub(crate) fn vip(n: u8) -> String {
    format!("10.96.1.{n}:80/TCP")
}

/// An EndpointSlice of a Service: ready endpoints on port 8080.
pub(crate) fn slice(name: &str, service: &str, addresses: &[&str]) -> Value {
    let endpoints: Vec<_> = addresses
        .iter()
        .map(|address| json!({"addresses": [address], "conditions": {"ready": true}, "nodeName": NODE}))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
}

/// A Service with one slice, named after it.
pub(crate) fn served(name: &str, n: u8, addresses: &[&str]) -> [Value; 2] {
    [service(name, n), slice(&format!("{name}-1"), name, addresses)]
}

/// The object with one more label.
pub(crate) fn labelled(mut object: Value, label: &str, value: &str) -> Value {
    object["metadata"]["labels"][label] = value.into();
    object
}

pub(crate) fn service_key(name: &str) -> Key {
    Key::new(Resource::Services, NAMESPACE, name)
}

pub(crate) fn slice_key(name: &str) -> Key {
    Key::new(Resource::EndpointSlices, NAMESPACE, name)
}
