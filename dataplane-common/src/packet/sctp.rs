// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! SCTP (RFC 9260): read as if it were TCP, and written to as little as can be.
//!
//! Its checksum is a CRC over the whole packet, which no difference can mend, but it covers neither
//! the addresses nor a pseudo-header. So addresses may be rewritten and ports may not: a flow that
//! would need another port is refused ([`Outcome::SctpPortChange`](crate::Outcome)).
//!
//! An association has the life of a TCP connection. INIT opens it with a tag, which every packet of
//! the peer then carries, as a SYN does with a number that the SYN-ACK acknowledges; SHUTDOWN, its
//! answer and the answer to that are FINs; ABORT is a RST. So the one machine in `flow/tcp.rs`
//! and the one table of timeouts serve both. Netfilter's 210 s for an established association, from
//! the default heartbeat of 30 s, would move one whose heartbeat is off to another backend.
//!
//! Only a packet's first chunk is read. What opens an association or ends it stands there, but for
//! an ABORT or SHUTDOWN behind other control chunks; such an association's entries stay for their time.

use crate::packet::Packet;
use crate::packet::headers::{Headers, Parsed, Segment};
use crate::packet::ip::Ip;
use crate::value::wire::{Ports, Wire};

/// The common header and the beginning of the first chunk, which every packet has.
#[repr(C)]
#[derive(Clone, Copy)]
struct SctpHeader {
    ports: Ports,
    tag: [u8; 4],
    checksum: [u8; 4],
    chunk: u8,
    flags: u8,
    length: [u8; 2],
}
// SAFETY: bytes without padding: the sizes add up.
unsafe impl Wire for SctpHeader {}
const _: () = assert!(size_of::<SctpHeader>() == 16);

const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const SHUTDOWN_COMPLETE: u8 = 14;

impl<F: Ip> Headers<F> {
    /// Reads an SCTP packet's ports and what its first chunk means to its association.
    #[inline(never)]
    pub(crate) fn sctp<P: Packet>(&mut self, packet: &P) -> Parsed {
        let chunk = self.layout.l4 + size_of::<SctpHeader>();
        let Some(header) = self.transport::<P, SctpHeader>(packet) else {
            return Parsed::Malformed;
        };
        if chunk > self.layout.end {
            return Parsed::Malformed;
        }
        self.key.ports = header.ports;
        if header.chunk == INIT {
            self.segment.flags = Segment::SYN;
            return self.tag_of(packet, chunk);
        }
        self.segment.flags = Segment::ACK
            | match header.chunk {
                INIT_ACK => Segment::SYN,
                ABORT => Segment::RST,
                SHUTDOWN | SHUTDOWN_ACK | SHUTDOWN_COMPLETE => Segment::FIN,
                _ => 0,
            };
        // One more, as TCP acknowledges a SYN.
        self.segment.acknowledgement = u32::from_be_bytes(header.tag).wrapping_add(1);
        if header.chunk == INIT_ACK {
            return self.tag_of(packet, chunk);
        }
        Parsed::Whole
    }

    /// Reads the tag that the sender of an INIT or INIT ACK wants to be spoken to with: the first of the chunk's values.
    #[inline(always)]
    fn tag_of<P: Packet>(&mut self, packet: &P, value: usize) -> Parsed {
        let Some(tag) = packet.load_far::<[u8; 4]>(value) else {
            return Parsed::Malformed;
        };
        if value + size_of_val(&tag) > self.layout.end {
            return Parsed::Malformed;
        }
        self.segment.sequence = u32::from_be_bytes(tag);
        Parsed::Whole
    }
}
