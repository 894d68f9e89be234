// SPDX-License-Identifier: MIT OR Apache-2.0
//! The number of the network namespace, by which programs know the node's own sockets and the marks on its packets.

use std::io;
use std::os::fd::AsRawFd as _;

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

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

/// The part of the marks on packets that is this node's own (`NODE_MARK` of the programs): 9 bits that are not all 0,
/// above those that tell the marks apart and those that others use.
pub(super) fn node_mark() -> u32 {
    const SHIFT: u32 = 7;
    const NUMBERS: u64 = (1 << 9) - 1;
    // Without a number all nodes of this kernel have the same mark: no harm where there is but one.
    let cookie = netns_cookie().unwrap_or_default();
    let hash = cookie.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    ((hash % NUMBERS) as u32 + 1) << SHIFT
}
