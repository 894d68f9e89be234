// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent's own Node, as far as the agent needs it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::Family;

/// A topology zone's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(pub Arc<str>);

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// This node, as its Node object has it. Without a zone, zone hints are not followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub zone: Option<Zone>,
    /// It is being deleted, or the cluster's autoscaler is about to: load balancers should look elsewhere.
    pub is_leaving: bool,
    /// Internal addresses first, then external ones; the first of a family is the one that counts.
    pub addresses: Vec<IpAddr>,
    /// Where its pods get their addresses from.
    pub pod_ranges: Vec<IpNet>,
}

impl Node {
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        let mut addresses = self.addresses.iter();
        addresses.find(|addr| Family::of(**addr) == family).copied()
    }
}

/// This node's addresses, as its kernel has them.
pub type NodeAddresses = BTreeMap<IpAddr, NodeAddress>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeAddress {
    /// The first one of its family on the node's first uplink.
    pub primary: bool,
}
