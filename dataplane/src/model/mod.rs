// SPDX-License-Identifier: MIT OR Apache-2.0
//! Services and their endpoints as this node needs them: small, parsed, checked.
//!
//! Everything in here has passed the door (`index::door`): an address is an address, a port is not zero, a name
//! fits the kernel's tables. The rest of the agent works on these types only and never sees an API object.

mod endpoints;
mod name;
mod net;
mod node;
mod pack;
mod refusal;
mod service;
mod surroundings;

pub use endpoints::{Conditions, Endpoint, Hints, NodeHint, Slice, SlicePort};
pub use name::{Kind, NamespacedName, ObjectRef, ServiceName, ServicePortName, SliceName};
pub use net::{Family, FrontendKey, FrontendKind, Protocol, Target};
pub use node::{Node, NodeAddress, NodeAddresses, Zone};
pub(crate) use pack::pack;
pub use refusal::{Reason, Refusal};
pub use service::{Service, ServicePort, SourceRanges, TrafficPolicy};
pub use surroundings::{Detect, Networks, OwnAddress, ServiceCidr, Surroundings};
