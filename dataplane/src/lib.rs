// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shunt's agent: from the Kubernetes API to the kernel's tables.

pub mod admin;
pub mod agent;
pub mod announce;
pub mod causes;
pub mod cli;
pub mod compile;
pub mod devices;
pub mod health;
pub mod index;
pub mod kernel;
pub mod listen;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod plan;
pub mod sockets;
pub mod watch;
