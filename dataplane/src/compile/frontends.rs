// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a ServicePort can be reached at, and which endpoints its clients may be sent to there.

use super::endpoints::Categorized;
use super::port::Scope;
use crate::model::{FrontendKey, Service, ServicePort, TrafficPolicy};

/// The kinds of frontends differ in which policy rules them. Node ports, load balancers and external addresses
/// belong here: a variant, its keys in [`frontends`] and its scopes in [`scopes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontendKind {
    ClusterIp,
}

/// Every frontend that a port asks for. Who gets one that several ask for is not decided here.
pub fn frontends<'a>(
    service: &'a Service,
    port: &'a ServicePort,
) -> impl Iterator<Item = (FrontendKey, FrontendKind)> + use<'a> {
    let key = |addr| FrontendKey {
        addr,
        port: port.port,
        protocol: port.protocol,
    };
    service
        .cluster_ips
        .iter()
        .map(move |addr| (key(*addr), FrontendKind::ClusterIp))
}

/// What clients on this node and clients elsewhere get, in this order.
pub(super) fn scopes(kind: FrontendKind, service: &Service, endpoints: &Categorized) -> (Scope, Scope) {
    match kind {
        FrontendKind::ClusterIp => {
            let members = match service.internal_policy {
                TrafficPolicy::Cluster => &endpoints.cluster,
                TrafficPolicy::Local => &endpoints.local,
            };
            let scope = Scope {
                members: members.clone(),
                empty: endpoints.empty,
            };
            (scope.clone(), scope)
        }
    }
}
