// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The headers of a packet that could be a Service's: IP, and TCP, UDP or SCTP.

use crate::maps::flows::FlowKey;
use crate::packet::{Fault, Packet};
use crate::value::family::Family;
use crate::value::hook::Hook;
use crate::value::protocol::Protocol;
use crate::value::wire::{Port, Ports, Wire};

/// Where a packet's parts are: offsets in bytes from its start.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The transport header.
    pub l4: usize,
    /// Where the packet ends by its own account.
    pub end: usize,
}

/// How reading a packet's headers went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// All there. The first part of a fragmented packet is, too: it has the ports.
    Whole,
    /// A later part of a fragmented packet, which has no ports.
    Fragment,
    /// Neither TCP, UDP nor SCTP.
    OtherProtocol,
    /// Cut short, or at odds with itself.
    Malformed,
}

/// Which part of a fragmented packet a packet is.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FragmentPart {
    /// It is not fragmented.
    All = 0,
    First = 1,
    Later = 2,
}

/// TCP's control bits and numbers, host byte order. All zero for UDP; of SCTP, what means the same
/// (see `sctp.rs`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Segment {
    pub(crate) flags: u8,
    /// TCP: the header's length in 32-bit words, in the upper four bits.
    pub(crate) data_offset: u8,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
}

impl Segment {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const ACK: u8 = 0x10;

    /// Whether this segment opens, closes or breaks a connection.
    #[inline(always)]
    pub(crate) fn is_event(&self) -> bool {
        self.flags & (Self::FIN | Self::SYN | Self::RST) != 0
    }

    /// Whether a client asks for a new connection with this segment. A SYN that also ends or breaks one asks for
    /// nothing (RFC 9293 section 3.10.7.4 has no such case).
    #[inline(always)]
    pub(crate) fn opens(&self) -> bool {
        self.flags & (Self::SYN | Self::ACK | Self::FIN | Self::RST) == Self::SYN
    }

    /// Whether it may be of a connection of which nothing is known. Without an acknowledgement it is of none, and a
    /// SYN-ACK answers a SYN that nobody has sent through here.
    #[inline(always)]
    pub(crate) fn is_midway(&self) -> bool {
        self.flags & (Self::SYN | Self::ACK) == Self::ACK
    }

    /// Whether it is a RST and nothing else: so a host answers a segment of a connection that it does not have.
    #[inline(always)]
    pub(crate) fn is_lone_reset(&self) -> bool {
        self.flags & (Self::SYN | Self::FIN | Self::RST | Self::ACK) == Self::RST
    }

    #[inline(always)]
    pub(crate) fn is_reset(&self) -> bool {
        self.flags & Self::RST != 0
    }

    #[inline(always)]
    pub(crate) fn is_fin(&self) -> bool {
        self.flags & Self::FIN != 0
    }
}

/// The headers of a packet at a hook.
///
/// Filled in place (see `tables/work.rs`), never returned by value.
#[derive(Clone, Copy, Debug)]
pub struct Headers<F: Family> {
    /// The packet's tuple.
    pub key: FlowKey<F>,
    /// Where its parts are.
    pub layout: Layout,
    pub(crate) segment: Segment,
    pub(crate) part: FragmentPart,
    /// The number that all parts of a fragmented packet have: IPv4's 16 bits or IPv6's 32, as they
    /// lie in memory. Meaningless in a packet that is not fragmented.
    pub(crate) fragment: u32,
    /// UDP without a checksum.
    pub(crate) unsummed: bool,
}

impl<F: Family> Headers<F> {
    /// Nothing read yet.
    #[inline(always)]
    pub(crate) fn new(hook: Hook) -> Self {
        let nowhere = (F::Addr::default(), Port::default());
        Self {
            key: FlowKey::new(hook, Protocol(0), nowhere, nowhere),
            layout: Layout { l4: 0, end: 0 },
            segment: Segment::default(),
            part: FragmentPart::All,
            fragment: 0,
            unsummed: false,
        }
    }

    /// Reads the transport header: directly in the packets that almost all are, without options.
    #[inline(always)]
    pub(crate) fn transport<P: Packet, T: Wire>(&self, packet: &P) -> Option<T> {
        let usual = P::L3 + F::HEADER;
        if self.layout.l4 == usual {
            packet.load(usual)
        } else {
            packet.load_far(self.layout.l4)
        }
    }

    /// Writes both ports; directly, as [`Headers::transport`] reads.
    #[inline(always)]
    pub(crate) fn store_ports<P: Packet>(&self, packet: &mut P, ports: Ports) -> Result<(), Fault> {
        let usual = P::L3 + F::HEADER;
        if self.layout.l4 == usual {
            packet.store(usual, ports)
        } else {
            packet.store_far(self.layout.l4, ports)
        }
    }

    #[inline(always)]
    pub(crate) fn protocol(&self) -> Protocol {
        Protocol(self.key.protocol)
    }

    /// Whether its protocol has connections, that a packet opens and others close.
    #[inline(always)]
    pub(crate) fn has_connections(&self) -> bool {
        self.protocol().has_connections()
    }

    /// Whether it is of a connection that another packet has opened.
    #[inline(always)]
    pub(crate) fn continues(&self) -> bool {
        self.has_connections() && !self.segment.opens()
    }

    /// TCP: the sequence number after this segment, which its receiver acknowledges.
    #[inline(always)]
    pub(crate) fn sequence_after(&self) -> u32 {
        let segment = &self.segment;
        let header = ((segment.data_offset >> 4) as usize) << 2;
        let payload = self.layout.end.saturating_sub(self.layout.l4 + header) as u32;
        let controls = (segment.flags & (Segment::SYN | Segment::FIN)).count_ones();
        segment.sequence.wrapping_add(payload).wrapping_add(controls)
    }

    /// Offset of the transport checksum, of TCP or UDP.
    #[inline(always)]
    pub(crate) fn checksum_offset(&self) -> usize {
        self.layout.l4 + checksum_in(self.protocol())
    }
}

/// Where in the transport header its checksum is: TCP's or UDP's.
#[inline(always)]
pub(crate) const fn checksum_in(protocol: Protocol) -> usize {
    if protocol.0 == Protocol::TCP.0 { 16 } else { 6 }
}
