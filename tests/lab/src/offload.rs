// SPDX-License-Identifier: MIT OR Apache-2.0
//! Switches a device's offloads, as `ethtool -K` does.

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::cluster::Lab;
use crate::error::{Doing, Result};
use crate::netns::Netns;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offloads {
    /// Every packet is cut and summed by the stack.
    Off,
    /// Segmentation and checksums are left to a device that never does them; received packets are merged.
    On,
}

impl Offloads {
    pub const ALL: [Self; 2] = [Self::Off, Self::On];
}

impl Lab {
    /// Switches the offloads of every device on the way from pod to pod.
    pub fn set_offloads(&self, offloads: Offloads) -> Result<()> {
        for node in self.nodes() {
            set(node.netns(), "eth0", offloads)?;
            for pod in node.pods() {
                set(node.netns(), pod.host_device(), offloads)?;
                set(pod.netns(), "eth0", offloads)?;
            }
        }
        Ok(())
    }
}

/// `linux/ethtool.h`: the commands that set one feature.
const TX_CHECKSUM: u32 = 0x17;
const SCATTER_GATHER: u32 = 0x19;
const TSO: u32 = 0x1f;
const GSO: u32 = 0x24;
const GRO: u32 = 0x2c;

pub fn set(netns: &Netns, device: &str, offloads: Offloads) -> Result<()> {
    // Each needs those before it.
    let features = [TX_CHECKSUM, SCATTER_GATHER, TSO, GSO, GRO];
    let on = offloads == Offloads::On;
    let doing = || format!("switching offloads of {device} in {} {offloads:?}", netns.name());
    netns.run(|| {
        let switch = |feature: &u32| ethtool(device, *feature, on).doing(doing);
        if on {
            features.iter().try_for_each(switch)
        } else {
            features.iter().rev().try_for_each(switch)
        }
    })?
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

fn ethtool(device: &str, command: u32, on: bool) -> nix::Result<()> {
    let mut value = Value {
        command,
        data: on.into(),
    };
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut name = [0; libc::IFNAMSIZ];
    if device.len() >= name.len() {
        return Err(Errno::ENAMETOOLONG);
    }
    for (to, from) in name.iter_mut().zip(device.bytes()) {
        *to = from.cast_signed();
    }
    let data = libc::__c_anonymous_ifr_ifru {
        ifru_data: (&raw mut value).cast(),
    };
    let mut request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: data,
    };
    #[expect(unsafe_code, reason = "no crate in use wraps this ioctl")]
    // SAFETY: SIOCETHTOOL reads an ifreq with a terminated name (checked above) whose data points to an
    // ethtool_value for these commands; both live until the call returns, and the kernel keeps neither.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    Errno::result(result).map(|_| ())
}
