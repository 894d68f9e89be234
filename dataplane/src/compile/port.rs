// SPDX-License-Identifier: MIT OR Apache-2.0
//! A compiled Service: its desired entries, before anything has an id.

use std::collections::{BTreeMap, BTreeSet};

use dataplane_common::EmptyVerdict;
use ipnet::IpNet;

use crate::model::{FrontendKey, FrontendKind, Reason, ServicePortName, Target, TrafficPolicy};

/// A Service, compiled. No ports: it is not to be in the kernel at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    pub ports: BTreeMap<ServicePortName, Port>,
    pub health_check: Option<HealthCheck>,
    pub reasons: Vec<Reason>,
}

/// The answer to a load balancer's health check of the Service (`healthCheckNodePort`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub port: u16,
    /// Ready endpoints on this node, by address, in the family that has more of them: those that are terminating do
    /// not count.
    pub local_endpoints: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Every endpoint that may have flows, in both families.
    pub backends: BTreeMap<Target, Member>,
    /// All owned: no other Service has the same key.
    pub frontends: BTreeMap<FrontendKey, Frontend>,
    /// The clients of the restricted frontends.
    pub ranges: BTreeSet<IpNet>,
    /// Without endpoints, the last ones stay in force (`default/kubernetes`: the agent's own way to learn of new
    /// ones may lead through it).
    pub keeps_last_endpoints: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Takes new flows: is in a set of a frontend.
    pub in_use: bool,
    pub local: bool,
    /// Is in the set of clients that may go anywhere, if the port has one.
    pub chosen_anywhere: bool,
    /// Is in the set of clients that must stay on this node, if the port has one.
    pub chosen_local: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    pub kind: FrontendKind,
    /// The traffic policy that applies. Clients it does not concern may go anywhere.
    pub policy: TrafficPolicy,
    /// For this node's own pods and processes.
    pub internal: Scope,
    /// For all other clients.
    pub external: Scope,
    pub affinity_seconds: u32,
    /// Only for clients in the port's ranges.
    pub is_restricted: bool,
    pub masquerades_external: bool,
}

/// The endpoints for one source scope. Members are of the frontend's family and among the port's backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub members: BTreeSet<Target>,
    pub empty: EmptyVerdict,
}
