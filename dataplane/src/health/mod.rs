// SPDX-License-Identifier: MIT OR Apache-2.0
//! What load balancers ask a node, answered as kube-proxy answers it.
//!
//! `proxy`: is this node to be used at all (port 10256)? `services`: has it endpoints of this Service
//! (`healthCheckNodePort`)? Both ask [`Health`], which the agent keeps.

mod answer;
mod proxy;
mod services;
mod state;

pub use proxy::serve as serve_proxy;
pub use services::{Checks, serve as serve_services};
pub use state::Health;
