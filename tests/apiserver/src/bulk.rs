// SPDX-License-Identifier: MIT OR Apache-2.0
//! Large clusters, made up: Services with their EndpointSlices.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::object::{ObjectError, Revision};

/// A made-up cluster: `services` Services with `endpoints` endpoints each, spread over `nodes` nodes.
#[derive(Clone, Copy, Debug)]
pub struct Bulk {
    /// How many Services: at most 65,000, the addresses of 10.96.0.0/16 but the first and last few.
    pub services: u32,
    /// How many endpoints each has.
    pub endpoints: u32,
    /// Over how many nodes they are spread: `node-0`, `node-1` and so on.
    pub nodes: u32,
}

impl Bulk {
    /// The name of the service with this number.
    pub fn name(index: u32) -> String {
        format!("svc-{index:05}")
    }

    /// The cluster IP of the service with this number.
    pub fn cluster_ip(index: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 96, 0, 0)) + 0x100 + index)
    }

    /// The address of an endpoint: unique in the cluster.
    pub fn endpoint(&self, service: u32, endpoint: u32) -> Ipv4Addr {
        let number = service.wrapping_mul(self.endpoints).wrapping_add(endpoint) & 0x007f_ffff;
        Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 128, 0, 0)) | number)
    }

    /// One Service.
    pub fn service(&self, index: u32) -> Value {
        let ip = Self::cluster_ip(index).to_string();
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": Self::name(index), "namespace": "bulk", "labels": {"app": Self::name(index)}},
            "spec": {
                "type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
                "selector": {"app": Self::name(index)},
                "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
            },
            "status": {"loadBalancer": {}},
        })
    }

    /// Its EndpointSlice.
    pub fn slice(&self, index: u32) -> Value {
        let endpoints: Vec<_> = (0..self.endpoints)
            .map(|e| self.slice_endpoint(index, e))
            .collect();
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{}-1", Self::name(index)), "namespace": "bulk",
                "labels": {
                    "kubernetes.io/service-name": Self::name(index),
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                },
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        })
    }

    /// All of them, each Service before its slice.
    pub fn objects(self) -> impl Iterator<Item = Value> {
        (0..self.services).flat_map(move |index| [self.service(index), self.slice(index)])
    }

    fn slice_endpoint(&self, service: u32, endpoint: u32) -> Value {
        json!({
            "addresses": [self.endpoint(service, endpoint).to_string()],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": format!("node-{}", endpoint % self.nodes.max(1)),
        })
    }
}

impl Fixture {
    /// Seeds a made-up cluster.
    pub fn seed(&self, bulk: Bulk) -> Result<Revision, ObjectError> {
        self.put_all(bulk.objects())
    }
}
