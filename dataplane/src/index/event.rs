// SPDX-License-Identifier: MIT OR Apache-2.0
//! The events that the watches send to the index.

use std::collections::BTreeMap;

use crate::model::{NamespacedName, Node, NodeAddresses, ObjectRef, Reason, Service, ServiceCidr, Slice};

/// A parsed object. Neither model nor reasons: the object is not for this agent (headless, another proxy's,
/// another node's).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<T> {
    pub model: Option<T>,
    pub reasons: Vec<Reason>,
}

impl<T> Parsed<T> {
    pub fn hidden() -> Self {
        Self {
            model: None,
            reasons: Vec::new(),
        }
    }

    pub fn refused(reason: Reason) -> Self {
        Self {
            model: None,
            reasons: vec![reason],
        }
    }
}

/// A change of the objects of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T> {
    Apply(NamespacedName, Parsed<T>),
    Delete(NamespacedName),
    /// The complete list: what is not in it is gone. The first one of a kind is what the agent waits for before
    /// it touches the kernel.
    Reset(BTreeMap<NamespacedName, Parsed<T>>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Services(Change<Service>),
    Slices(Change<Slice>),
    /// The agent's own Node; all others are hidden.
    Nodes(Change<Node>),
    ServiceCidrs(Change<ServiceCidr>),
    /// All addresses of this node, as the kernel has them.
    NodeAddresses(NodeAddresses),
    /// All errors of something that never became an object.
    Refused(ObjectRef, Vec<Reason>),
}
