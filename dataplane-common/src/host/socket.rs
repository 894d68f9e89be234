// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The host's stand-in for a socket in a call.

use core::cell::{Cell, UnsafeCell};

use crate::maps::peers::{Peer, Peers};
use crate::socket::{Remote, Socket};
use crate::value::family::Family;
use crate::value::protocol::Protocol;
use crate::value::wire::{Addr6, Port};

/// A socket, as plain data.
#[derive(Debug)]
pub struct HostSocket {
    /// Its transport.
    pub protocol: Protocol,
    /// Its network namespace.
    pub namespace: u64,
    /// Its own number.
    pub cookie: u64,
    /// Whether it is connected.
    pub connected: bool,
    /// Whether there is memory for what it remembers.
    pub has_memory: bool,
    /// The other side in this call; an IPv4 address as IPv6 sockets have it.
    pub remote: (Addr6, Port),
    /// What was tracked last.
    pub tracked: Cell<Option<Peer>>,
    peers: UnsafeCell<Option<Peers>>,
}

impl HostSocket {
    /// A socket that remembers nothing.
    pub fn new(protocol: Protocol, namespace: u64, cookie: u64) -> Self {
        Self {
            protocol,
            namespace,
            cookie,
            connected: false,
            has_memory: true,
            remote: Default::default(),
            tracked: Cell::default(),
            peers: UnsafeCell::default(),
        }
    }
}

impl Socket for HostSocket {
    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn namespace(&self) -> u64 {
        self.namespace
    }

    fn cookie(&self) -> u64 {
        self.cookie
    }

    fn is_connected(&self) -> bool {
        self.connected
    }

    fn peers(&self) -> Option<&mut Peers> {
        // SAFETY: one call at a time, and in it one such reference at a time.
        unsafe { &mut *self.peers.get() }.as_mut()
    }

    fn peers_or_new(&self) -> Option<&mut Peers> {
        // SAFETY: as above.
        let peers = unsafe { &mut *self.peers.get() };
        self.has_memory.then(|| peers.get_or_insert_default())
    }

    fn track_connected(&self, peer: &Peer) {
        self.tracked.set(Some(*peer));
    }
}

impl<F: Family> Remote<F> for HostSocket {
    fn remote(&self) -> (F::Addr, Port) {
        (F::narrow(self.remote.0), self.remote.1)
    }

    fn set_remote(&mut self, addr: F::Addr, port: Port) {
        self.remote = (F::widen(addr), port);
    }
}
