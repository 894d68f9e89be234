// SPDX-License-Identifier: MIT OR Apache-2.0
//! Services and their endpoints as this node needs them: small, parsed, checked.
//!
//! Everything in here was parsed and checked by `index::parse`: an address is an address, a port is not zero, a name
//! fits the kernel's maps. The rest of the agent works on these types only and never sees an API object.

mod endpoints;
mod name;
mod net;
mod node;
mod node_network;
mod pack;
mod refusal;
mod service;

pub use endpoints::{Conditions, Endpoint, Hints, NodeHint, Slice, SlicePort};
pub use name::{Kind, NamespacedName, ObjectRef, ServiceName, ServicePortName, SliceName};
pub use net::{Family, FrontendKey, FrontendKind, Protocol, Target};
pub use node::{Node, NodeAddress, NodeAddresses, Zone};
pub use node_network::{Detect, Networks, NodeNetwork, OwnAddress, ServiceCidr};
pub(crate) use pack::pack;
pub use refusal::{Reason, Refusal};
pub use service::{Service, ServicePort, SourceRanges, TrafficPolicy};
