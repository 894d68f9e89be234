// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sees packets pass through devices, with packet sockets, as tcpdump does.
//!
//! Where a tap sits matters: it sees an incoming packet *before* the device's tc ingress hook and an outgoing
//! one *after* its tc egress hook.

use std::fmt;
use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::net::if_::if_indextoname;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimeout, ReceiveTimestampns};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg,
    setsockopt, socket,
};
use nix::sys::time::{TimeSpec, TimeVal, TimeValLike};

use crate::error::{Doing, Error, Result};
use crate::netns::Netns;
use crate::packet::Packet;

/// One packet at one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Kernel's time stamp, comparable across namespaces.
    pub at: Duration,
    /// Name of the namespace.
    pub place: String,
    pub device: String,
    pub way: Way,
    pub frame: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    In,
    Out,
}

/// Running taps; ended by [`Capture::stop`].
#[derive(Debug)]
pub struct Capture {
    stop: Arc<AtomicBool>,
    taps: Vec<JoinHandle<Result<Vec<Seen>>>>,
}

impl Capture {
    /// Taps all devices of these namespaces, from now on.
    pub fn start<'a>(places: impl IntoIterator<Item = &'a Netns>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut capture = Self {
            stop,
            taps: Vec::new(),
        };
        for netns in places {
            let file = netns
                .file()
                .try_clone()
                .doing(|| format!("tapping {}", netns.name()))?;
            let (place, stop) = (netns.name().to_owned(), Arc::clone(&capture.stop));
            let (ready, is_ready) = channel();
            capture
                .taps
                .push(thread::spawn(move || tap(&file, &place, &stop, ready)));
            // A tap that failed to start drops its end; `stop` tells why.
            let _ = is_ready.recv();
        }
        Ok(capture)
    }

    /// Ends the taps and returns all they saw, in order of time.
    pub fn stop(mut self) -> Result<Vec<Seen>> {
        self.stop.store(true, Ordering::Release);
        let mut seen = Vec::new();
        for tap in std::mem::take(&mut self.taps) {
            let ended = tap
                .join()
                .map_err(|_| Error::Failed("a tap panicked".to_owned()))?;
            seen.extend(ended?);
        }
        seen.sort_by_key(|packet| packet.at);
        Ok(seen)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Seen {
    #[must_use]
    pub fn packet(&self) -> Option<Packet> {
        Packet::of_frame(&self.frame)
    }
}

/// One line, for messages of failed tests.
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.way == Way::In { "in" } else { "out" };
        write!(
            f,
            "{:.6} {} {} {way} ",
            self.at.as_secs_f64(),
            self.place,
            self.device
        )?;
        match self.packet() {
            Some(packet) => {
                let length = packet.payload.len();
                write!(
                    f,
                    "{} {} -> {} length {length}",
                    packet.layer, packet.source, packet.destination
                )
            }
            None => write!(f, "{} bytes, not IP", self.frame.len()),
        }
    }
}

/// The thread of one namespace.
fn tap(netns: &File, place: &str, stop: &AtomicBool, ready: Sender<()>) -> Result<Vec<Seen>> {
    let doing = || format!("tapping {place}");
    setns(netns, CloneFlags::CLONE_NEWNET).doing(doing)?;
    let socket = open().doing(doing)?;
    let _ = ready.send(());
    let mut buffer = vec![0; 1 << 17];
    let mut seen = Vec::new();
    loop {
        // Asked before reading: what was sent before the stop is in the socket by then.
        let last_round = stop.load(Ordering::Acquire);
        loop {
            match receive(&socket, &mut buffer, place) {
                Ok(Some(packet)) => seen.push(packet),
                Ok(None) => {}
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(error) => return Err(error).doing(doing),
            }
        }
        if last_round {
            return Ok(seen);
        }
    }
}

fn open() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    // Not bound to a device: it hears all of them, and each packet says where it was.
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    setsockopt(&socket, RcvBufForce, &(16 << 20))?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::milliseconds(10))?;
    Ok(socket)
}

/// `None`: a packet on a device that is gone by now.
fn receive(socket: &OwnedFd, buffer: &mut [u8], place: &str) -> nix::Result<Option<Seen>> {
    const PACKET_OUTGOING: u8 = 4;
    let mut control = cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<LinkAddr>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::empty(),
    )?;
    let stamp = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
        _ => None,
    });
    let (length, address) = (message.bytes, message.address);
    let Some(address) = address else { return Ok(None) };
    let index = u32::try_from(address.ifindex()).unwrap_or_default();
    let Ok(device) = if_indextoname(index) else {
        return Ok(None);
    };
    let way = if address.pkttype() == PACKET_OUTGOING {
        Way::Out
    } else {
        Way::In
    };
    Ok(Some(Seen {
        at: stamp.unwrap_or_default(),
        place: place.to_owned(),
        device: device.to_string_lossy().into_owned(),
        way,
        frame: buffer.get(..length).unwrap_or_default().to_vec(),
    }))
}
