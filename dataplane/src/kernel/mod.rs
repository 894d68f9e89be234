// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent's side of the kernel: the only code that uses BPF.
//!
//! Everything is pinned (`pins`), so the kernel's state outlives the agent, and the agent and the
//! command line find it the same way: by path. `programs` loads the object and attaches it, `maps`
//! reads and writes the maps, `store` is the planner's view of those maps.

mod attach;
mod cgroup;
mod chain;
mod collector;
pub mod convert;
mod counters;
mod family;
mod features;
mod maps;
mod netlink;
mod netns;
mod pins;
mod programs;
mod sizes;
mod store;
mod sweep;
mod syscall;
#[cfg(test)]
mod tests;

pub use attach::{AttachError, Attachment, attached, detach};
pub use cgroup::{SocketsError, detach_sockets, sockets_cgroup};
pub use chain::{End, OtherProgram, devices_with_filters, other_programs};
pub use collector::KernelCollector;
pub use counters::{Counters, OutcomeCount, Traffic};
pub use family::HostFamily;
pub use features::{chooses_errors, packets_may_preempt};
pub use maps::{FamilyMaps, OpenError, PinnedMaps};
pub use netlink::route_source;
pub use netns::netns_cookie;
pub use pins::{Pins, PinsError, is_bpf};
pub use programs::{LoadError, Programs};
pub use sizes::Sizes;
pub use store::KernelMaps;
pub use sweep::Sweeper;
