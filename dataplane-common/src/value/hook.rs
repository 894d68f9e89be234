// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Where the programs run: the two hooks of a packet, and the calls of a socket.

/// The place where a program handles a packet.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Hook {
    /// Before routing, on the device it came in by. The destination may be rewritten here.
    Ingress = 0,
    /// After routing, on the device it goes out by. The source may be rewritten here.
    Egress = 1,
}

impl Hook {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// Both hooks, in order of their numbers.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];
}

/// What a process does with a socket's address. Numbered on from [`Hook`], for the counters.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Call {
    /// `connect`: TCP, and UDP sockets that are to have one peer.
    Connect = 2,
    /// `sendto`, `sendmsg` and `sendmmsg` of UDP with an address.
    Send = 3,
    /// `recvfrom`, `recvmsg` and `recvmmsg` of UDP that ask for the address.
    Receive = 4,
    /// `getpeername`, and `accept`, which does the same.
    PeerName = 5,
}

impl Call {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Send => "sendmsg",
            Self::Receive => "recvmsg",
            Self::PeerName => "getpeername",
        }
    }

    /// All of them, in order of their numbers.
    pub const ALL: [Self; 4] = [Self::Connect, Self::Send, Self::Receive, Self::PeerName];
}
