// SPDX-License-Identifier: MIT OR Apache-2.0
//! Health checks of load balancers, answered as kube-proxy does.
//!
//! `proxy`: may the node get traffic at all (port 10256)? `services`: does it have endpoints of a Service
//! (`healthCheckNodePort`)? Both read [`Health`], which the agent writes.

mod answer;
mod proxy;
mod services;
mod state;

pub use proxy::serve as serve_proxy;
pub use services::{Checks, serve as serve_services};
pub use state::Health;
