// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Service to serve.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Family, Protocol};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Seconds since 1970, `i64::MAX` where the object does not say: it cannot prove to be the older one.
    pub created: i64,
    /// Of `default/kubernetes`, which every cluster has: a number made of its UID, which people outside the cluster do
    /// not know. Else 0.
    pub hash_seed: u32,
    /// The Service is served in the families of these, and in no other.
    pub cluster_ips: Vec<IpAddr>,
    /// Of the families of the cluster IPs.
    pub external_ips: Vec<IpAddr>,
    /// Of the families of the cluster IPs; those of load balancers that hand packets on as they are (mode VIP).
    pub load_balancer_ips: Vec<IpAddr>,
    /// The clients that may use a load balancer's address.
    pub source_ranges: SourceRanges,
    pub ports: Vec<ServicePort>,
    /// Rules clients of the cluster IPs.
    pub internal_policy: TrafficPolicy,
    /// Rules clients of all other frontends.
    pub external_policy: TrafficPolicy,
    /// The port on which load balancers ask whether the node has endpoints; only with external policy `Local`.
    pub health_check_node_port: Option<u16>,
    /// `sessionAffinity: ClientIP` with this timeout.
    pub affinity_seconds: Option<u32>,
    /// Its clients outside the node are masqueraded whatever their backend, under the policy `Cluster`.
    pub masquerades_external: bool,
}

/// Ranges of addresses, of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRanges {
    pub ranges: Vec<IpNet>,
    /// There were ranges that could not be read. They may have been of either family, and admit no client.
    pub some_unreadable: bool,
}

impl SourceRanges {
    /// The ranges of a family, at least one; `None` where it has none, and so no restriction.
    pub fn of(&self, family: Family) -> Option<BTreeSet<IpNet>> {
        let of_family = |range: &&IpNet| Family::of(range.addr()) == family;
        let mut ranges: BTreeSet<_> = self.ranges.iter().filter(of_family).copied().collect();
        if self.some_unreadable && ranges.is_empty() {
            // No client sends from there.
            ranges.insert(family.unspecified().into());
        }
        (!ranges.is_empty()).then_some(ranges)
    }
}

impl Service {
    pub fn families(&self) -> BTreeSet<Family> {
        self.cluster_ips.iter().map(|addr| Family::of(*addr)).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServicePort {
    pub name: Arc<str>,
    pub protocol: Protocol,
    pub port: u16,
    pub node_port: Option<u16>,
}

/// Which endpoints a client may be sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficPolicy {
    #[default]
    Cluster,
    /// Only those on this node.
    Local,
}

impl TrafficPolicy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        }
    }
}
