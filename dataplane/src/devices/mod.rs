// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node's devices: which of them carry service traffic, and the programs on them.
//!
//! `inventory` is what netlink has told, as plain data; `choose` decides what each device is
//! (pure); `follow` keeps the kernel's `devices` map, the attachments and the redirect settings in
//! step with that. Per change of a device: work for that device only.

mod choose;
mod follow;
mod inventory;
mod metrics;
mod redirects;

pub use choose::{Chosen, PodDevices, Rule, Rules};
pub use follow::{FollowError, Follower};
pub use inventory::{Inventory, Link, LinkKind};
pub use metrics::DeviceMetrics;
pub use redirects::SendRedirects;
