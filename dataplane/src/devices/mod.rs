// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node's devices: which of them carry service traffic, and the programs on them.
//!
//! `inventory` is what netlink reported, as plain data; `classify` decides what each device is
//! (pure); `attach` keeps the kernel's `devices` map, the attachments and the redirect settings in
//! step with that. Per change of a device: work for that device only.

mod attach;
mod classify;
mod inventory;
mod metrics;
mod redirects;

pub use attach::{Attacher, DevicesError};
pub use classify::{Classified, PodDevices, Rule, Rules};
pub use inventory::{Address, Inventory, Link, LinkKind, Use};
pub use metrics::DeviceMetrics;
pub use redirects::SendRedirects;
