// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns ICMP redirects off on devices with Shunt's programs.
//!
//! A packet that a pod sends to a VIP may leave by the device it came in by (hairpin, a bridge, a
//! NodePort whose backend is elsewhere). The kernel would then send the sender a redirect for
//! the backend's address, which the sender does not know. IPv4 only: IPv6 has no such setting,
//! and sends redirects only for a next hop in the sender's own subnet.

use std::fs;
use std::io;

use tracing::warn;

/// The setting `send_redirects` of a device, or of all: the kernel sends redirects if either is on.
pub struct SendRedirects;

impl SendRedirects {
    pub const ALL: &str = "all";

    /// Turns redirects off; returns the previous setting. A failure is logged and leaves the setting unchanged.
    pub fn turn_off(device: &str) -> bool {
        Self::write_off(device).unwrap_or_else(|error| {
            warn!(device, %error, "cannot turn off ICMP redirects: they stay on");
            false
        })
    }

    /// Turns redirects off for all devices together; what the setting was before any agent did.
    pub fn turn_off_for_all(saved: bool) -> bool {
        Self::turn_off(Self::ALL) || saved
    }

    /// Puts back what was found. A device that is gone has no settings.
    pub fn restore(device: &str, was: bool) {
        if was && let Err(error) = fs::write(path(device), "1") {
            warn!(device, %error, "cannot restore send_redirects");
        }
    }

    fn write_off(device: &str) -> io::Result<bool> {
        let path = path(device);
        let was = fs::read_to_string(&path)?.trim() != "0";
        if was {
            fs::write(&path, "0")?;
        }
        Ok(was)
    }
}

fn path(device: &str) -> String {
    format!("/proc/sys/net/ipv4/conf/{device}/send_redirects")
}
