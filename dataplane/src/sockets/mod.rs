// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node's own processes: the cgroup at which their socket calls are served, and sockets whose backend is gone.
//!
//! `cgroup_root` finds the cgroup, `diag` lists and destroys sockets (NETLINK_SOCK_DIAG), `orphans` decides which to
//! destroy.

mod cgroup_root;
mod diag;
mod orphans;

pub use cgroup_root::{CgroupRoot, RootError};
pub use diag::{Diag, DiagError};
pub use orphans::{OrphanMetrics, Orphans};

/// Whose sockets are translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SocketLb {
    /// Those of the node's own processes: its network namespace
    #[default]
    Host,
    /// Also those of pods, for TCP; wrong for service meshes and sandboxes that need to see the VIP
    Pods,
    /// No sockets: the node's own processes cannot reach Services
    Off,
}
