// SPDX-License-Identifier: MIT OR Apache-2.0
//! Everything known of the cluster, and which Services must be compiled again. Pure: one task owns the index and
//! applies events to it.

mod claims;
mod event;
pub mod parse;
mod refusals;
mod settings;
mod slices;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::SystemTime;

use crate::compile::{Compiled, Input, compile};
use crate::model::{
    Family, Kind, NamespacedName, Node, NodeAddresses, NodeNetwork, ObjectRef, Service, ServiceCidr,
    ServiceName, Slice, pack,
};
use claims::Claims;
pub use event::{Change, Event, Parsed};
use refusals::Stage;
pub use refusals::{News, Refusals};
pub use settings::{NodePortAddress, NodePortAddresses, Pods, Settings};
use slices::Slices;

#[derive(Clone, Debug, Default)]
pub struct Index {
    services: BTreeMap<ServiceName, Service>,
    slices: Slices,
    nodes: BTreeMap<NamespacedName, Node>,
    node_was_there: bool,
    node_addresses: NodeAddresses,
    service_cidrs: BTreeMap<NamespacedName, ServiceCidr>,
    claims: Claims,
    refusals: Refusals,
    settings: Settings,
    synced: BTreeSet<Source>,
    dirty: BTreeSet<ServiceName>,
    /// When the changes happened that are not compiled yet, according to their slices.
    triggers: Vec<SystemTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Services,
    EndpointSlices,
    Node,
    NodeAddresses,
    ServiceCidrs,
}

impl Source {
    /// What has to be complete before the kernel is touched. Not ServiceCIDRs: an API server may not have them.
    pub const AWAITED: [Self; 4] = [
        Self::Services,
        Self::EndpointSlices,
        Self::Node,
        Self::NodeAddresses,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::EndpointSlices => "endpointslices",
            Self::Node => "node",
            Self::NodeAddresses => "node addresses",
            Self::ServiceCidrs => "servicecidrs",
        }
    }
}

impl Index {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Whether anything changed that the kernel might have to know.
    pub fn apply(&mut self, event: Event) -> bool {
        match event {
            Event::Services(change) => self.change(Source::Services, change, |index, name, parsed| {
                index.put_service(name, parsed)
            }),
            Event::Slices(change) => self.change(Source::EndpointSlices, change, |index, name, parsed| {
                index.put_slice(name, parsed)
            }),
            Event::Nodes(change) => self.change(Source::Node, change, |index, name, parsed| {
                index.put_node(name, parsed)
            }),
            Event::ServiceCidrs(change) => {
                self.change(Source::ServiceCidrs, change, |index, name, parsed| {
                    index.put_service_cidr(name, parsed)
                })
            }
            Event::NodeAddresses(addresses) => {
                let first = self.synced.insert(Source::NodeAddresses);
                let changed = self.node_addresses != addresses;
                self.node_addresses = addresses;
                first || changed
            }
            Event::Refused(object, reasons) => {
                self.refusals.set(object, Stage::Parse, reasons);
                false
            }
        }
    }

    /// The lists that are missing before the index is complete.
    pub fn awaited(&self) -> impl Iterator<Item = Source> {
        Source::AWAITED
            .into_iter()
            .filter(|source| !self.synced.contains(source))
    }

    pub fn is_complete(&self) -> bool {
        self.awaited().next().is_none()
    }

    /// The Services to compile since the last call.
    pub fn take_dirty(&mut self) -> BTreeSet<ServiceName> {
        std::mem::take(&mut self.dirty)
    }

    pub fn mark_all_dirty(&mut self) {
        self.dirty.extend(self.services.keys().cloned());
    }

    /// Takes as little memory as it can: for after a list.
    pub fn pack(&mut self) {
        pack(&mut self.services);
        self.slices.pack();
        self.claims.pack();
    }

    pub fn take_triggers(&mut self) -> Vec<SystemTime> {
        std::mem::take(&mut self.triggers)
    }

    /// Whether load balancers should leave this node alone: its object says so, or was there and is gone.
    pub fn node_is_leaving(&self) -> bool {
        match self.nodes.values().next() {
            Some(node) => node.is_leaving,
            None => self.node_was_there,
        }
    }

    /// Whether NodePorts are served at every address of the node (`--nodeport-addresses=all`).
    pub fn serves_node_ports_at_all_addresses(&self) -> bool {
        self.settings.node_ports.are_everywhere()
    }

    /// The addresses that the Node object has, internal ones first.
    pub fn own_addresses(&self) -> &[IpAddr] {
        self.nodes.values().next().map_or(&[], |node| &node.addresses)
    }

    /// The node's addresses and the cluster's ranges.
    pub fn node_network(&self) -> NodeNetwork {
        let nowhere = Node::default();
        let node = self.nodes.values().next().unwrap_or(&nowhere);
        let mut network = self
            .settings
            .node_network(node, &self.node_addresses, self.service_cidrs.values());
        let api = ServiceName::new("default", "kubernetes");
        if let Some(api) = self.services.get(&api)
            && api.hash_seed != 0
        {
            for family in Family::ALL {
                network.networks.entry(family).or_default().hash_seed = api.hash_seed;
            }
        }
        network
    }

    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Refusals that came or went since the last call.
    pub fn take_news(&mut self) -> Vec<News> {
        self.refusals.take_news()
    }

    /// A Service's desired entries: none, if there is no such Service.
    pub fn compile(&mut self, name: &ServiceName) -> Compiled {
        let nowhere = Node::default();
        let node = self.nodes.values().next().unwrap_or(&nowhere);
        let compiled = self.services.get(name).map_or_else(Compiled::default, |service| {
            let slices = self.slices.of(name);
            let input = Input {
                name,
                service,
                slices,
                node,
                limits: self.settings.limits,
            };
            compile(input, |key| self.claims.holder(key))
        });
        let object = ObjectRef::new(Kind::Service, name);
        self.refusals
            .set(object, Stage::Compile, compiled.reasons.clone());
        compiled
    }

    fn change<T>(
        &mut self,
        source: Source,
        change: Change<T>,
        put: fn(&mut Self, NamespacedName, Option<Parsed<T>>) -> bool,
    ) -> bool {
        match change {
            Change::Apply(name, parsed) => put(self, name, Some(parsed)),
            Change::Delete(name) => put(self, name, None),
            Change::Reset(live) => {
                let mut changed = self.synced.insert(source);
                for name in self.known(source) {
                    if !live.contains_key(&name) {
                        changed |= put(self, name, None);
                    }
                }
                for (name, parsed) in live {
                    changed |= put(self, name, Some(parsed));
                }
                changed
            }
        }
    }

    /// Every object that left a trace: as a model or as a refusal.
    fn known(&self, source: Source) -> BTreeSet<NamespacedName> {
        let (kind, models): (_, BTreeSet<NamespacedName>) = match source {
            Source::Services => (Kind::Service, self.services.keys().cloned().collect()),
            Source::EndpointSlices => (Kind::EndpointSlice, self.slices.names().cloned().collect()),
            Source::Node => (Kind::Node, self.nodes.keys().cloned().collect()),
            Source::ServiceCidrs => (Kind::ServiceCidr, self.service_cidrs.keys().cloned().collect()),
            Source::NodeAddresses => return BTreeSet::new(),
        };
        let refused = self
            .refusals
            .iter()
            .map(|(object, _)| object)
            .filter(|object| object.kind == kind);
        let refused = refused.map(|it| NamespacedName::new(it.namespace.clone(), it.name.clone()));
        models.into_iter().chain(refused).collect()
    }

    fn put_service(&mut self, name: ServiceName, parsed: Option<Parsed<Service>>) -> bool {
        let Parsed { model, reasons } = parsed.unwrap_or_else(Parsed::hidden);
        self.refusals
            .set(ObjectRef::new(Kind::Service, &name), Stage::Parse, reasons);
        let old = self.services.remove(&name);
        let changed = old != model;
        if changed {
            self.dirty
                .extend(self.claims.change(&name, old.as_ref(), model.as_ref()));
            self.dirty.insert(name.clone());
        }
        if let Some(service) = model {
            self.services.insert(name, service);
        }
        changed
    }

    fn put_slice(&mut self, name: NamespacedName, parsed: Option<Parsed<Slice>>) -> bool {
        let Parsed { model, reasons } = parsed.unwrap_or_else(Parsed::hidden);
        self.refusals
            .set(ObjectRef::new(Kind::EndpointSlice, &name), Stage::Parse, reasons);
        let old = self.slices.get(&name);
        if old == model.as_ref() {
            return false;
        }
        let trigger = model.as_ref().and_then(|slice| slice.triggered);
        let triggered_before = old.and_then(|slice| slice.triggered);
        let old = self.slices.remove(&name);
        let owners = [old.as_ref(), model.as_ref()]
            .into_iter()
            .flatten()
            .map(|slice| slice.service.clone());
        let served: BTreeSet<_> = owners.filter(|owner| self.services.contains_key(owner)).collect();
        let changed = !served.is_empty();
        if changed && trigger != triggered_before {
            self.triggers.extend(trigger);
        }
        self.dirty.extend(served);
        if let Some(slice) = model {
            self.slices.insert(name, slice);
        }
        changed
    }

    /// The parser accepts our own Node and no other.
    fn put_node(&mut self, name: NamespacedName, parsed: Option<Parsed<Node>>) -> bool {
        let Parsed { model, reasons } = parsed.unwrap_or_else(Parsed::hidden);
        self.refusals
            .set(ObjectRef::new(Kind::Node, &name), Stage::Parse, reasons);
        let changed = self.nodes.get(&name) != model.as_ref();
        if changed {
            match model {
                Some(node) => {
                    self.node_was_there = true;
                    self.nodes.insert(name, node)
                }
                None => self.nodes.remove(&name),
            };
            self.mark_all_dirty();
        }
        changed
    }

    fn put_service_cidr(&mut self, name: NamespacedName, parsed: Option<Parsed<ServiceCidr>>) -> bool {
        let Parsed { model, reasons } = parsed.unwrap_or_else(Parsed::hidden);
        self.refusals
            .set(ObjectRef::new(Kind::ServiceCidr, &name), Stage::Parse, reasons);
        let changed = self.service_cidrs.get(&name) != model.as_ref();
        match model {
            Some(ranges) => self.service_cidrs.insert(name, ranges),
            None => self.service_cidrs.remove(&name),
        };
        changed
    }
}
