// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node's own processes: the cgroup at which their socket calls are served, and sockets whose backend is gone.
//!
//! `cgroup_root` finds the cgroup, `diag` lists and destroys sockets (NETLINK_SOCK_DIAG), `orphans` decides which to
//! destroy.

mod cgroup_root;
mod diag;
mod orphans;

use std::io;
use std::os::fd::AsRawFd as _;

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

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

/// The number of this process's network namespace, as kernel programs see it (`SO_NETNS_COOKIE`, since Linux
/// 5.14). No other namespace gets it while the machine runs.
pub fn netns_cookie() -> io::Result<u64> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the kernel writes at most `length` bytes to `cookie`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    match result {
        0 => Ok(cookie),
        _ => Err(io::Error::last_os_error()),
    }
}
