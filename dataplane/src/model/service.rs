// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Service that is to be served.

use std::net::IpAddr;
use std::sync::Arc;

use super::Protocol;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Seconds since 1970, `i64::MAX` where the object does not say: it cannot prove to be the older one.
    pub created: i64,
    pub cluster_ips: Vec<IpAddr>,
    pub ports: Vec<ServicePort>,
    pub internal_policy: TrafficPolicy,
    /// `sessionAffinity: ClientIP` with this timeout.
    pub affinity_seconds: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServicePort {
    pub name: Arc<str>,
    pub protocol: Protocol,
    pub port: u16,
}

/// Which endpoints a client may be sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficPolicy {
    #[default]
    Cluster,
    /// Only those on this node.
    Local,
}
