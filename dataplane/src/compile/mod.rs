// SPDX-License-Identifier: MIT OR Apache-2.0
//! One Service and its endpoints, compiled to what the kernel should hold. Pure.

mod endpoints;
mod frontends;
mod port;
mod service;
#[cfg(test)]
mod tests;

pub use frontends::frontends;
pub use port::{Compiled, EmptyVerdict, Frontend, HealthCheck, Member, Port, Scope};
pub use service::{Input, Limits, compile};
