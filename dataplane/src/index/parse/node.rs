// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent's own Node.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;

use super::super::event::Parsed;
use super::checks::{Reasons, address, range};
use super::metadata::label;
use crate::model::{Node, Zone};

const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

pub(super) fn parse(object: &core::Node) -> Parsed<Node> {
    let mut reasons = Reasons::default();
    let zone = label(&object.metadata, ZONE_LABEL).filter(|zone| !zone.is_empty());
    let model = Node {
        zone: zone.map(|zone| Zone(zone.into())),
        is_leaving: is_leaving(object),
        addresses: addresses(object, &mut reasons),
        pod_ranges: pod_ranges(object, &mut reasons),
    };
    Parsed {
        model: Some(model),
        reasons: reasons.into_vec(),
    }
}

/// The taint that the autoscaler puts on a node before it deletes it. kube-proxy knows it by this name (KEP-3836).
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

fn is_leaving(object: &core::Node) -> bool {
    let mut taints = object.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    object.metadata.deletion_timestamp.is_some() || taints.any(|taint| taint.key == TO_BE_DELETED)
}

fn addresses(object: &core::Node, reasons: &mut Reasons) -> Vec<IpAddr> {
    let status = object.status.as_ref();
    let listed = status.and_then(|it| it.addresses.as_deref()).unwrap_or_default();
    ["InternalIP", "ExternalIP"]
        .into_iter()
        .flat_map(|wanted| listed.iter().filter(move |it| it.type_ == wanted))
        .filter_map(|it| reasons.check(address("status.addresses", &it.address)))
        .collect()
}

fn pod_ranges(object: &core::Node, reasons: &mut Reasons) -> Vec<IpNet> {
    let Some(spec) = &object.spec else {
        return Vec::new();
    };
    let listed = spec.pod_cidrs.as_deref().filter(|ranges| !ranges.is_empty());
    listed
        .unwrap_or(spec.pod_cidr.as_slice())
        .iter()
        .filter_map(|text| reasons.check(range("spec.podCIDRs", text)))
        .collect()
}
