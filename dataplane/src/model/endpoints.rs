// SPDX-License-Identifier: MIT OR Apache-2.0
//! An EndpointSlice, as seen from this node.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Family, Protocol, ServiceName, Zone};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    pub service: ServiceName,
    /// Every endpoint's address is of this family.
    pub family: Family,
    pub ports: Vec<SlicePort>,
    pub endpoints: Vec<Endpoint>,
    /// When the change that this slice reports happened in the cluster (an annotation of its controller).
    pub triggered: Option<SystemTime>,
}

/// A Service's port of this name and protocol is served by this slice's endpoints on `port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlicePort {
    pub name: Arc<str>,
    pub protocol: Protocol,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub addr: IpAddr,
    pub conditions: Conditions,
    pub hints: Hints,
}

/// Ordered so that of two reports of one endpoint the *greater* one is believed: not terminating before
/// terminating (as kube-proxy has it), then ready, serving and local before not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conditions {
    pub staying: bool,
    pub ready: bool,
    pub serving: bool,
    /// Runs on this node.
    pub local: bool,
}

impl Conditions {
    /// Leaving, but still answering: takes flows only if no ready endpoint is left (KEP-1669).
    pub fn is_serving_terminating(self) -> bool {
        self.serving && !self.staying
    }

    /// May keep the flows it has.
    pub fn is_usable(self) -> bool {
        self.ready || self.is_serving_terminating()
    }
}

/// The clients that the control plane wants this endpoint to serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hints {
    pub node: NodeHint,
    pub zones: Box<[Zone]>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeHint {
    #[default]
    None,
    /// Hinted at nodes, this one not among them.
    Elsewhere,
    Here,
}
