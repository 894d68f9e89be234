// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's side of the agent: the only code that talks to BPF.
//!
//! Everything is pinned (`pins`), so the kernel's state outlives the agent, and the agent and the
//! command line find it the same way: by path. `programs` loads the object and attaches it, `tables`
//! reads and writes the maps, `store` is the planner's view of those maps.

mod collector;
pub mod convert;
mod counters;
mod family;
mod pins;
mod preemption;
mod programs;
mod sockets;
#[cfg(test)]
mod stack;
mod store;
mod sweep;
mod syscall;
mod tables;

pub use collector::KernelCollector;
pub use counters::{Counters, OutcomeCount, Traffic};
pub use family::HostFamily;
pub use pins::{Pins, PinsError, is_bpf};
pub use preemption::packets_may_preempt;
pub use programs::{AttachError, Attachment, LoadError, Programs, Sizes, attached, detach};
pub use sockets::{SocketsError, chooses_errors, detach_sockets, sockets_cgroup};
pub use store::KernelMaps;
pub use sweep::Sweeper;
pub use tables::{FamilyTables, OpenError, Tables};
