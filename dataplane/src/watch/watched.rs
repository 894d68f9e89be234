// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kinds of objects that are watched, and how each of them becomes an event.

use std::fmt::Debug;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use kube::Resource;
use serde::de::DeserializeOwned;

use crate::index::parse::{Parser, name_of};
use crate::index::{Change, Event, Parsed};
use crate::model::{Kind, NamespacedName, Node, Service, ServiceCidr, Slice};

pub(super) trait Watched:
    Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static
{
    const KIND: Kind;
    const NAMESPACED: bool;
    /// An API server may not have this kind, or not let us have it.
    const OPTIONAL: bool = false;
    type Model: Send;

    fn parse(&self, parser: &Parser) -> Parsed<Self::Model>;
    fn event(change: Change<Self::Model>) -> Event;

    fn name(&self) -> NamespacedName {
        name_of(self.meta(), Self::NAMESPACED)
    }
}

impl Watched for core::Service {
    const KIND: Kind = Kind::Service;
    const NAMESPACED: bool = true;
    type Model = Service;

    fn parse(&self, parser: &Parser) -> Parsed<Service> {
        parser.service(self)
    }

    fn event(change: Change<Service>) -> Event {
        Event::Services(change)
    }
}

impl Watched for discovery::EndpointSlice {
    const KIND: Kind = Kind::EndpointSlice;
    const NAMESPACED: bool = true;
    type Model = Slice;

    fn parse(&self, parser: &Parser) -> Parsed<Slice> {
        parser.slice(self)
    }

    fn event(change: Change<Slice>) -> Event {
        Event::Slices(change)
    }
}

impl Watched for core::Node {
    const KIND: Kind = Kind::Node;
    const NAMESPACED: bool = false;
    type Model = Node;

    fn parse(&self, parser: &Parser) -> Parsed<Node> {
        parser.node(self)
    }

    fn event(change: Change<Node>) -> Event {
        Event::Nodes(change)
    }
}

impl Watched for networking::ServiceCIDR {
    const KIND: Kind = Kind::ServiceCidr;
    const NAMESPACED: bool = false;
    const OPTIONAL: bool = true;
    type Model = ServiceCidr;

    fn parse(&self, parser: &Parser) -> Parsed<ServiceCidr> {
        parser.service_cidr(self)
    }

    fn event(change: Change<ServiceCidr>) -> Event {
        Event::ServiceCidrs(change)
    }
}
