// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two devices without Ethernet headers, in two namespaces: what is sent into one comes out of the other. It
//! stands for wireguard, ipip and the like, of which a kernel may have none.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Doing, Result};
use crate::netns::Netns;

/// The pair; it goes with this handle.
#[derive(Debug)]
pub struct Tun {
    end: Arc<AtomicBool>,
    carrier: Option<JoinHandle<()>>,
}

impl Tun {
    /// Joins two namespaces by a pair of devices of this name.
    pub fn join(one: &Netns, other: &Netns, name: &str) -> Result<Self> {
        let mut ends = [open(one, name)?, open(other, name)?];
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let carrier = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                carry(&mut ends);
            }
        });
        for netns in [one, other] {
            netns.configure(async |network| network.up(name).await)?;
        }
        Ok(Self {
            end,
            carrier: Some(carrier),
        })
    }
}

impl Drop for Tun {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(carrier) = self.carrier.take() {
            let _ = carrier.join();
        }
    }
}

/// Carries what has arrived, after waiting for it for a moment.
fn carry(ends: &mut [File; 2]) {
    const MOMENT: u8 = 50;
    let [one, other] = &*ends;
    let mut polled = [one, other].map(|end| PollFd::new(end.as_fd(), PollFlags::POLLIN));
    if poll(&mut polled, PollTimeout::from(MOMENT)).is_err() {
        return;
    }
    let ready = polled.map(|end| end.any().unwrap_or(false));
    let mut packet = vec![0; 65_536];
    for (from, to) in [(0, 1), (1, 0)] {
        if ready.get(from) != Some(&true) {
            continue;
        }
        let Some(Ok(length)) = ends.get_mut(from).map(|end| end.read(&mut packet)) else {
            continue;
        };
        // A device that is down takes nothing: then the packet is lost, as on a wire.
        if let (Some(end), Some(packet)) = (ends.get_mut(to), packet.get(..length)) {
            let _ = end.write(packet);
        }
    }
}

fn open(netns: &Netns, device: &str) -> Result<File> {
    let doing = || format!("making tun device {device} in {}", netns.name());
    netns.run(|| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/net/tun")
            .doing(doing)?;
        let mut name = [0; libc::IFNAMSIZ];
        for (to, from) in name.iter_mut().zip(device.bytes().take(libc::IFNAMSIZ - 1)) {
            *to = from.cast_signed();
        }
        let flags = libc::IFF_TUN | libc::IFF_NO_PI;
        let mut request = libc::ifreq {
            ifr_name: name,
            ifr_ifru: libc::__c_anonymous_ifr_ifru {
                ifru_flags: i16::try_from(flags).unwrap_or_default(),
            },
        };
        #[expect(unsafe_code, reason = "no crate in use wraps this ioctl")]
        // SAFETY: TUNSETIFF reads an ifreq with a terminated name and flags, and keeps no pointer to it.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
        Errno::result(result).doing(doing)?;
        Ok(file)
    })?
}
