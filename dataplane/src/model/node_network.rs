// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node's own addresses, and the cluster's ranges as this node uses them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Family;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeNetwork {
    /// The node's own addresses.
    pub addresses: BTreeMap<IpAddr, OwnAddress>,
    /// A family that is not in here has the default.
    pub networks: BTreeMap<Family, Networks>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnAddress {
    pub serves_node_ports: bool,
}

/// Ranges that ClusterIPs come from, as one ServiceCIDR object has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceCidr(pub Vec<IpNet>);

/// The cluster's address ranges and the node's place among them, of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    pub detect: Detect,
    /// Where ClusterIPs come from; at most as many as the kernel's table holds.
    pub services: Vec<IpNet>,
    /// The cluster's secret in the hash that chooses backends and ports; 0 for none.
    pub hash_seed: u32,
    /// The node's own address, which connections of its processes are taken to come from.
    pub node: Option<IpAddr>,
}

/// How to recognise a client as one of this node's pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detect {
    /// By the device that its packets come in by.
    #[default]
    Device,
    /// By its address.
    Range(IpNet),
    /// No client counts as a local pod.
    Nobody,
}

impl fmt::Display for Detect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device => f.write_str("by device"),
            Self::Range(range) => write!(f, "in {range}"),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pods {}, ClusterIPs in", self.detect)?;
        match &self.services[..] {
            [] => f.write_str(" no known range"),
            ranges => ranges.iter().try_for_each(|range| write!(f, " {range}")),
        }?;
        match self.node {
            Some(addr) => write!(f, ", node at {addr}"),
            None => Ok(()),
        }
    }
}
