// SPDX-License-Identifier: MIT OR Apache-2.0
//! The frontends of a Service port, and the endpoints for the clients of each.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::endpoints::Categorized;
use super::port::{Frontend, Scope};
use crate::model::{Family, FrontendKey, FrontendKind, Node, Service, ServicePort, TrafficPolicy};

/// Every frontend that a port asks for. Who gets one that several ask for is not decided here; if the port itself
/// asks twice for one, the first kind counts.
pub fn frontends<'a>(
    service: &'a Service,
    port: &'a ServicePort,
) -> impl Iterator<Item = (FrontendKey, FrontendKind)> + use<'a> {
    let key = |addr, port_number| FrontendKey {
        addr,
        port: port_number,
        protocol: port.protocol,
    };
    let at =
        move |addresses: &'a [IpAddr], kind| addresses.iter().map(move |addr| (key(*addr, port.port), kind));
    let node_ports = port.node_port.into_iter().flat_map(move |node_port| {
        let families = service.families().into_iter();
        families.map(move |family| (key(family.unspecified(), node_port), FrontendKind::NodePort))
    });
    at(&service.cluster_ips, FrontendKind::ClusterIp)
        .chain(at(&service.load_balancer_ips, FrontendKind::LoadBalancer))
        .chain(at(&service.external_ips, FrontendKind::ExternalIp))
        .chain(node_ports)
}

/// The frontend under the traffic policy of its kind (docs/contract.md, section 4). Clients on this node are exempt
/// from `externalTrafficPolicy: Local`: they are served as if they had gone out to the load balancer and come back.
pub(super) fn frontend(kind: FrontendKind, service: &Service, endpoints: &Categorized) -> Frontend {
    let (policy, clients_here) = match kind {
        FrontendKind::ClusterIp => (service.internal_policy, service.internal_policy),
        FrontendKind::NodePort | FrontendKind::LoadBalancer | FrontendKind::ExternalIp => {
            (service.external_policy, TrafficPolicy::Cluster)
        }
    };
    let scope = |policy| Scope {
        members: match policy {
            TrafficPolicy::Cluster => endpoints.cluster.clone(),
            TrafficPolicy::Local => endpoints.local.clone(),
        },
        empty: endpoints.empty,
    };
    Frontend {
        kind,
        policy,
        internal: scope(clients_here),
        external: scope(policy),
        affinity_seconds: service.affinity_seconds.unwrap_or(0),
        is_restricted: false,
        masquerades_external: service.masquerades_external,
    }
}

/// The clients that may use the load balancer's addresses of a family; `None` is every client.
///
/// Where the node itself may, so may its load balancer addresses: a node that has such an address bound takes it as
/// the source of what it sends there.
pub(super) fn source_ranges(service: &Service, family: Family, node: &Node) -> Option<BTreeSet<IpNet>> {
    let mut ranges = service.source_ranges.of(family)?;
    let admits_node = node
        .address(family)
        .is_some_and(|addr| ranges.iter().any(|range| range.contains(&addr)));
    if admits_node {
        let of_family = |addr: &&IpAddr| Family::of(**addr) == family;
        let vips = service.load_balancer_ips.iter().filter(of_family);
        ranges.extend(vips.map(|addr| IpNet::from(*addr)));
    }
    Some(ranges)
}
