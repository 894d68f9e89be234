// SPDX-License-Identifier: MIT OR Apache-2.0
//! EndpointSlices.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;

use super::super::event::Parsed;
use super::checks::{Reasons, address, port, protocol, unknown};
use super::metadata::{label, name_of, value};
use crate::model::{
    Conditions, Endpoint, Family, Hints, NodeHint, Reason, ServiceName, Slice, SlicePort, Zone,
};

const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const TRIGGER_ANNOTATION: &str = "endpoints.kubernetes.io/last-change-trigger-time";

pub(super) fn parse(object: &discovery::EndpointSlice, node_name: &str) -> Parsed<Slice> {
    let Some(service) = label(&object.metadata, SERVICE_LABEL) else {
        return Parsed::hidden();
    };
    let family = match &*object.address_type {
        "IPv4" => Family::V4,
        "IPv6" => Family::V6,
        "FQDN" => return Parsed::hidden(),
        other => return Parsed::refused(unknown("addressType", other)),
    };
    let mut reasons = Reasons::default();
    let mut zones = Zones::default();
    let mut slice = Slice {
        service: ServiceName::new(name_of(&object.metadata, true).namespace, service),
        family,
        ports: ports(object, &mut reasons),
        endpoints: object
            .endpoints
            .iter()
            .flatten()
            .filter_map(|endpoint| {
                let addr = reasons.check(endpoint_address(endpoint, family))?;
                let local = endpoint.node_name.as_deref() == Some(node_name);
                let conditions = conditions(endpoint, local);
                Some(Endpoint {
                    addr,
                    conditions,
                    hints: hints(endpoint, node_name, &mut zones),
                })
            })
            .collect(),
        triggered: triggered(&object.metadata),
    };
    // Kept for long, and there are many.
    slice.endpoints.shrink_to_fit();
    slice.ports.shrink_to_fit();
    Parsed {
        model: Some(slice),
        reasons: reasons.into_vec(),
    }
}

/// A port without a number means "all ports", which is nothing that can be translated to: kube-proxy skips it,
/// too.
fn ports(object: &discovery::EndpointSlice, reasons: &mut Reasons) -> Vec<SlicePort> {
    let mut ports = Vec::new();
    for it in object.ports.iter().flatten() {
        let Some(number) = it.port else { continue };
        let checked = port("ports.port", number).and_then(|port| {
            let name = it.name.as_deref().unwrap_or("").into();
            Ok(SlicePort {
                name,
                protocol: protocol(it.protocol.as_deref())?,
                port,
            })
        });
        ports.extend(reasons.check(checked));
    }
    ports
}

/// The first address stands for the endpoint; the API keeps the others without a meaning.
fn endpoint_address(endpoint: &discovery::Endpoint, family: Family) -> Result<IpAddr, Reason> {
    let first = endpoint.addresses.first().map_or("", String::as_str);
    let addr = address("endpoints.addresses", first)?;
    if Family::of(addr) == family {
        Ok(addr)
    } else {
        Err(Reason::FamilyMismatch { addr, family })
    }
}

fn conditions(endpoint: &discovery::Endpoint, local: bool) -> Conditions {
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|it| it.ready).unwrap_or(true);
    let serving = conditions.and_then(|it| it.serving).unwrap_or(true);
    let terminating = conditions.and_then(|it| it.terminating).unwrap_or(false);
    Conditions {
        staying: !terminating,
        ready,
        serving,
        local,
    }
}

fn hints(endpoint: &discovery::Endpoint, node_name: &str, zones: &mut Zones) -> Hints {
    let Some(hints) = &endpoint.hints else {
        return Hints::default();
    };
    let nodes = hints.for_nodes.as_deref().unwrap_or_default();
    let node = if nodes.is_empty() {
        NodeHint::None
    } else if nodes.iter().any(|node| node.name == node_name) {
        NodeHint::Here
    } else {
        NodeHint::Elsewhere
    };
    let zones = hints
        .for_zones
        .iter()
        .flatten()
        .map(|zone| zones.get(&zone.name))
        .collect();
    Hints { node, zones }
}

/// The same few names for many endpoints: one copy each.
#[derive(Default)]
struct Zones(BTreeMap<String, Zone>);

impl Zones {
    fn get(&mut self, name: &str) -> Zone {
        if let Some(zone) = self.0.get(name) {
            return zone.clone();
        }
        self.0
            .entry(name.to_owned())
            .or_insert_with(|| Zone(name.into()))
            .clone()
    }
}

fn triggered(metadata: &ObjectMeta) -> Option<SystemTime> {
    let text = value(metadata.annotations.as_ref(), TRIGGER_ANNOTATION)?;
    text.parse::<Timestamp>().ok().map(SystemTime::from)
}
