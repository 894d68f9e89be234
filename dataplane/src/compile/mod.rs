// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compiles one Service and its endpoints to the desired frontends and backend sets. Pure.

mod endpoints;
mod frontends;
mod port;
mod service;
#[cfg(test)]
mod tests;

pub use frontends::frontends;
pub use port::{Compiled, Frontend, HealthCheck, Member, Port, Scope};
pub use service::{Input, Limits, compile};
