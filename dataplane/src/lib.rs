// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shunt's agent: from the Kubernetes API to the kernel's maps.

pub mod admin;
pub mod agent;
pub mod causes;
pub mod cli;
pub mod compile;
pub mod conntrack;
pub mod devices;
pub mod events;
pub mod health;
pub mod http;
pub mod index;
pub mod kernel;
pub mod malloc;
pub mod metrics;
pub mod model;
pub mod plan;
pub mod sockets;
pub mod watch;
