// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where API objects become models, and odd ones are refused. The only place of the pure core that knows the
//! Kubernetes API.
//!
//! What an object leaves open is filled in as the API server would: manifests need not have been there.

mod checks;
mod node;
mod service;
mod slice;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::event::Seen;
use crate::model::{NamespacedName, Node, Service, Slice};

/// The Services and EndpointSlices that are meant for us. Their absence is what counts: a label without a value
/// hides too.
pub const SELECTOR: &str = "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless";

const HIDING_LABELS: [&str; 2] = [
    "service.kubernetes.io/service-proxy-name",
    "service.kubernetes.io/headless",
];
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
const TRIGGER_ANNOTATION: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// Sees every object from one node.
#[derive(Clone, Debug)]
pub struct Door {
    node_name: Arc<str>,
}

impl Door {
    pub fn new(node_name: impl Into<Arc<str>>) -> Self {
        Self {
            node_name: node_name.into(),
        }
    }

    pub fn node_name(&self) -> &str {
        &self.node_name
    }

    pub fn service(&self, object: &core::Service) -> Seen<Service> {
        service::admit(object)
    }

    pub fn slice(&self, object: &discovery::EndpointSlice) -> Seen<Slice> {
        slice::admit(object, &self.node_name)
    }

    /// Other nodes are hidden.
    pub fn node(&self, object: &core::Node) -> Seen<Node> {
        if object.metadata.name.as_deref() != Some(&*self.node_name) {
            return Seen::hidden();
        }
        node::admit(object)
    }
}

/// Nodes are in no namespace; anything else without one is in `default`.
pub fn name_of(metadata: &ObjectMeta, namespaced: bool) -> NamespacedName {
    let namespace = metadata.namespace.as_deref().unwrap_or("default");
    NamespacedName::new(
        if namespaced { namespace } else { "" },
        metadata.name.as_deref().unwrap_or(""),
    )
}

fn is_hidden(metadata: &ObjectMeta) -> bool {
    HIDING_LABELS.iter().any(|name| label(metadata, name).is_some())
}

fn label<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    value(metadata.labels.as_ref(), name)
}

fn value<'a>(map: Option<&'a BTreeMap<String, String>>, name: &str) -> Option<&'a str> {
    map?.get(name).map(String::as_str)
}
