// SPDX-License-Identifier: MIT OR Apache-2.0
//! Services.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;

use super::super::event::Parsed;
use super::checks::{Reasons, address, dns_label, port, protocol, range, service_address, unknown};
use super::metadata::{name_of, value};
use crate::model::{Family, Reason, Service, ServicePort, SourceRanges, TrafficPolicy};

/// The API server's default for `sessionAffinity: ClientIP`.
const DEFAULT_AFFINITY_SECONDS: u32 = 10_800;
const MAX_AFFINITY_SECONDS: u32 = 86_400;
/// Says `true` where clients outside the node are masqueraded whatever their backend.
const MASQUERADE_EXTERNAL: &str = "shunt/masquerade-external";
/// One hostile object must not fill the map.
const MAX_RANGES: usize = 10_000;

pub(super) fn parse(object: &core::Service) -> Parsed<Service> {
    let Some(spec) = object.spec.as_ref().filter(|spec| is_served(spec)) else {
        return Parsed::hidden();
    };
    let name = name_of(&object.metadata, true);
    let named = dns_label("metadata.namespace", &name.namespace)
        .and_then(|()| dns_label("metadata.name", &name.name));
    if let Err(reason) = named {
        return Parsed::refused(reason);
    }
    let mut reasons = Reasons::default();
    let cluster_ips = cluster_ips(spec, &mut reasons);
    let families: BTreeSet<_> = cluster_ips.iter().map(|addr| Family::of(*addr)).collect();
    let of_families = |addrs: BTreeSet<IpAddr>| -> Vec<IpAddr> {
        let served = |addr: &IpAddr| families.contains(&Family::of(*addr));
        addrs.into_iter().filter(served).collect()
    };
    let external_policy = policy(
        "spec.externalTrafficPolicy",
        spec.external_traffic_policy.as_deref(),
        &mut reasons,
    );
    let model = Service {
        created: object
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(i64::MAX, |time| time.0.as_second()),
        hash_seed: match (&*name.namespace, &*name.name) {
            ("default", "kubernetes") => seed(object.metadata.uid.as_deref().unwrap_or_default()),
            _ => 0,
        },
        external_ips: of_families(external_ips(spec, &mut reasons)),
        load_balancer_ips: of_families(load_balancer_ips(object, &mut reasons)),
        cluster_ips,
        source_ranges: source_ranges(spec, &mut reasons),
        ports: ports(spec, &mut reasons),
        internal_policy: policy(
            "spec.internalTrafficPolicy",
            spec.internal_traffic_policy.as_deref(),
            &mut reasons,
        ),
        external_policy,
        health_check_node_port: health_check_node_port(spec, external_policy, &mut reasons),
        affinity_seconds: affinity(spec, &mut reasons),
        masquerades_external: value(object.metadata.annotations.as_ref(), MASQUERADE_EXTERNAL)
            == Some("true"),
    };
    Parsed {
        model: Some(model),
        reasons: reasons.into_vec(),
    }
}

/// The UID as a number: FNV-1a, because it must be the same in every version of Shunt. An object without one, from a
/// folder of manifests, has 0.
fn seed(uid: &str) -> u32 {
    if uid.is_empty() {
        return 0;
    }
    uid.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Not headless and no mere name, also where a cluster IP is left over from an earlier type.
fn is_served(spec: &core::ServiceSpec) -> bool {
    let first = spec
        .cluster_ip
        .as_deref()
        .or_else(|| Some(spec.cluster_ips.as_ref()?.first()?.as_str()));
    !matches!(first, None | Some("" | "None")) && spec.type_.as_deref() != Some("ExternalName")
}

fn cluster_ips(spec: &core::ServiceSpec, reasons: &mut Reasons) -> Vec<IpAddr> {
    let listed = spec.cluster_ips.as_deref().filter(|ips| !ips.is_empty());
    let ips = listed.unwrap_or(spec.cluster_ip.as_slice());
    let parsed: BTreeSet<IpAddr> = ips
        .iter()
        .filter_map(|ip| reasons.check(service_address("spec.clusterIPs", ip)))
        .collect();
    parsed.into_iter().collect()
}

fn external_ips(spec: &core::ServiceSpec, reasons: &mut Reasons) -> BTreeSet<IpAddr> {
    let listed = spec.external_ips.iter().flatten();
    listed
        .filter_map(|ip| reasons.check(address("spec.externalIPs", ip)))
        .collect()
}

/// Load balancers in mode `Proxy`, and those that have only a name, take connections on themselves: what is sent to
/// them has to go to them.
fn load_balancer_ips(object: &core::Service, reasons: &mut Reasons) -> BTreeSet<IpAddr> {
    let status = object.status.as_ref().and_then(|it| it.load_balancer.as_ref());
    let ingress = status.and_then(|it| it.ingress.as_deref()).unwrap_or_default();
    ingress
        .iter()
        .filter(|it| matches!(it.ip_mode.as_deref(), None | Some("VIP")))
        .filter_map(|it| it.ip.as_deref().filter(|ip| !ip.is_empty()))
        .filter_map(|ip| reasons.check(service_address("status.loadBalancer.ingress.ip", ip)))
        .collect()
}

/// The API server lets blanks around them through.
fn source_ranges(spec: &core::ServiceSpec, reasons: &mut Reasons) -> SourceRanges {
    const FIELD: &str = "spec.loadBalancerSourceRanges";
    let listed = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
    if listed.len() > MAX_RANGES {
        reasons.push(Reason::TooManyRanges {
            field: FIELD,
            count: listed.len(),
            limit: MAX_RANGES,
        });
    }
    let mut ranges = SourceRanges::default();
    for text in listed.iter().take(MAX_RANGES) {
        match reasons.check(range(FIELD, text.trim())) {
            Some(range) => ranges.ranges.push(range),
            None => ranges.some_unreadable = true,
        }
    }
    ranges
}

fn health_check_node_port(
    spec: &core::ServiceSpec,
    policy: TrafficPolicy,
    reasons: &mut Reasons,
) -> Option<u16> {
    let asked = spec.type_.as_deref() == Some("LoadBalancer") && policy == TrafficPolicy::Local;
    let number = spec
        .health_check_node_port
        .filter(|number| asked && *number != 0)?;
    reasons.check(port("spec.healthCheckNodePort", number))
}

fn ports(spec: &core::ServiceSpec, reasons: &mut Reasons) -> Vec<ServicePort> {
    let mut seen = BTreeSet::new();
    let mut ports = Vec::new();
    for object in spec.ports.iter().flatten() {
        let Some(port) = reasons.check(service_port(object)) else {
            continue;
        };
        if seen.insert((port.name.clone(), port.protocol)) {
            ports.push(port);
        } else {
            let (port, protocol) = (port.name.to_string(), port.protocol);
            reasons.push(Reason::DuplicatePort { port, protocol });
        }
    }
    ports
}

fn service_port(object: &core::ServicePort) -> Result<ServicePort, Reason> {
    let name = object.name.as_deref().unwrap_or("");
    if !name.is_empty() {
        dns_label("spec.ports.name", name)?;
    }
    Ok(ServicePort {
        name: name.into(),
        protocol: protocol(object.protocol.as_deref())?,
        port: port("spec.ports.port", object.port)?,
        node_port: match object.node_port {
            None | Some(0) => None,
            Some(number) => Some(port("spec.ports.nodePort", number)?),
        },
    })
}

fn policy(field: &'static str, value: Option<&str>, reasons: &mut Reasons) -> TrafficPolicy {
    match value {
        None | Some("Cluster") => TrafficPolicy::Cluster,
        Some("Local") => TrafficPolicy::Local,
        Some(other) => {
            reasons.push(unknown(field, other));
            TrafficPolicy::Cluster
        }
    }
}

fn affinity(spec: &core::ServiceSpec, reasons: &mut Reasons) -> Option<u32> {
    match spec.session_affinity.as_deref() {
        None | Some("None") => return None,
        Some("ClientIP") => {}
        Some(other) => {
            reasons.push(unknown("spec.sessionAffinity", other));
            return None;
        }
    }
    let config = spec
        .session_affinity_config
        .as_ref()
        .and_then(|config| config.client_ip.as_ref());
    let Some(timeout) = config.and_then(|client_ip| client_ip.timeout_seconds) else {
        return Some(DEFAULT_AFFINITY_SECONDS);
    };
    let seconds = u32::try_from(timeout)
        .ok()
        .filter(|it| (1..=MAX_AFFINITY_SECONDS).contains(it));
    if seconds.is_none() {
        reasons.push(unknown(
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
            &timeout.to_string(),
        ));
    }
    seconds.or(Some(DEFAULT_AFFINITY_SECONDS))
}
