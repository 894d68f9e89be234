// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses API objects into models, and refuses invalid ones. The only place of the pure core that knows the
//! Kubernetes API.
//!
//! Missing fields get the API server's defaults: manifests have not passed an API server.

mod checks;
mod metadata;
mod node;
mod service;
mod service_cidr;
mod slice;

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::event::Parsed;
use crate::model::{Node, Service, ServiceCidr, Slice};
use metadata::label;
pub use metadata::name_of;

/// Its presence hides an object, whatever its value, from all proxies but one of that name.
const PROXY_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// Its presence hides an object, whatever its value.
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// Parses every object from the view of one node.
#[derive(Clone, Debug)]
pub struct Parser {
    node_name: Arc<str>,
    /// This proxy's name, if it serves only objects with that name.
    proxy_name: Option<Arc<str>>,
}

impl Parser {
    pub fn new(node_name: impl Into<Arc<str>>) -> Self {
        Self {
            node_name: node_name.into(),
            proxy_name: None,
        }
    }

    /// Lets in only objects that name this proxy.
    #[must_use]
    pub fn for_proxy(self, name: impl Into<Arc<str>>) -> Self {
        Self {
            proxy_name: Some(name.into()),
            ..self
        }
    }

    /// The Services and EndpointSlices that are meant for us, as an API server is asked for them.
    pub fn selector(&self) -> String {
        match &self.proxy_name {
            Some(name) => format!("{PROXY_LABEL}={name},!{HEADLESS_LABEL}"),
            None => format!("!{PROXY_LABEL},!{HEADLESS_LABEL}"),
        }
    }

    pub fn node_name(&self) -> &str {
        &self.node_name
    }

    pub fn service(&self, object: &core::Service) -> Parsed<Service> {
        if self.is_hidden(&object.metadata) {
            return Parsed::hidden();
        }
        service::parse(object)
    }

    pub fn slice(&self, object: &discovery::EndpointSlice) -> Parsed<Slice> {
        if self.is_hidden(&object.metadata) {
            return Parsed::hidden();
        }
        slice::parse(object, &self.node_name)
    }

    pub fn service_cidr(&self, object: &networking::ServiceCIDR) -> Parsed<ServiceCidr> {
        service_cidr::parse(object)
    }

    /// Other nodes are hidden.
    pub fn node(&self, object: &core::Node) -> Parsed<Node> {
        if object.metadata.name.as_deref() != Some(&*self.node_name) {
            return Parsed::hidden();
        }
        node::parse(object)
    }

    fn is_hidden(&self, metadata: &ObjectMeta) -> bool {
        label(metadata, HEADLESS_LABEL).is_some()
            || label(metadata, PROXY_LABEL) != self.proxy_name.as_deref()
    }
}
