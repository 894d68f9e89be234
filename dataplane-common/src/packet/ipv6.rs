// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The IPv6 header (RFC 8200) and the ICMPv6 error made of it (RFC 4443).

use crate::packet::headers::{FragmentPart, Headers, Layout, Parsed};
use crate::packet::ip::{Ip, Quote};
use crate::packet::{Fault, Packet};
use crate::value::checksum::Checksum;
use crate::value::family::{Family, V6};
use crate::value::hook::Hook;
use crate::value::protocol::Protocol;
use crate::value::wire::{Addr6, Wire};

#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    version_class_flow: [u8; 4],
    payload_length: [u8; 2],
    next_header: u8,
    hop_limit: u8,
    src: Addr6,
    dst: Addr6,
}
// SAFETY: bytes without padding: the sizes add up.
unsafe impl Wire for Header {}
const _: () = assert!(size_of::<Header>() == V6::HEADER);

const SOURCE: usize = 8;
const DESTINATION: usize = 24;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
/// In a fragment header's third and fourth byte.
const FRAGMENT_OFFSET: u16 = 0xfff8;
const RESERVED: u16 = 0x6;
/// Extension headers walked before a packet is passed as malformed. RFC 8200 section 4.1 names
/// five that may stand before the transport header of an unencrypted packet.
const MAX_EXTENSIONS: usize = 5;
/// Type 1 "destination unreachable", code 4 "port unreachable" (RFC 4443 section 3.1).
const PORT_UNREACHABLE: [u8; 2] = [1, 4];
const ICMP_HEADER: usize = 8;

impl Ip for V6 {
    const UNREACHABLE_HEADERS: usize = size_of::<Header>() + ICMP_HEADER;
    const ECHO_REQUEST: u8 = 128;

    #[inline(always)]
    fn parse<P: Packet>(packet: &P, headers: &mut Headers<Self>) -> Parsed {
        let l3 = P::L3;
        let Some(header) = packet.load::<Header>(l3) else {
            return Parsed::Malformed;
        };
        (headers.key.src, headers.key.dst, headers.key.protocol) =
            (header.src, header.dst, header.next_header);
        let payload_length = u16::from_be_bytes(header.payload_length) as usize;
        // A payload length of 0 is a jumbogram, or a GSO packet that will be cut (BIG TCP).
        let end = if payload_length == 0 {
            packet.length()
        } else {
            l3 + size_of::<Header>() + payload_length
        };
        let [version_class, ..] = header.version_class_flow;
        if version_class >> 4 != 6 || end > packet.length() {
            return Parsed::Malformed;
        }
        headers.layout = Layout {
            l4: l3 + size_of::<Header>(),
            end,
        };
        match Protocol(header.next_header) {
            Protocol::TCP | Protocol::UDP => Parsed::Whole,
            _ => walk_extensions(packet, headers),
        }
    }

    #[inline(always)]
    fn parse_quoted<P: Packet>(packet: &P, at: usize, headers: &mut Headers<Self>) -> Parsed {
        let Some(header) = packet.load_far::<Header>(at) else {
            return Parsed::Malformed;
        };
        let [version_class, ..] = header.version_class_flow;
        if version_class >> 4 != 6 {
            return Parsed::Malformed;
        }
        headers.layout.l4 = at + size_of::<Header>();
        (headers.key.src, headers.key.dst, headers.key.protocol) =
            (header.src, header.dst, header.next_header);
        walk_extensions(packet, headers)
    }

    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        // Destination unreachable, packet too big, time exceeded, parameter problem (RFC 4443).
        matches!(kind, 1..=4)
    }

    #[inline(always)]
    fn write_quoted<P: Packet>(
        packet: &mut P,
        at: usize,
        end: Hook,
        addr: Addr6,
        sum: Checksum,
    ) -> Result<Checksum, Fault> {
        packet.store_far(at + address_of(end), addr)?;
        Ok(sum)
    }

    #[inline(always)]
    fn set_address<P: Packet>(
        packet: &mut P,
        hook: Hook,
        addr: Addr6,
        _: Checksum,
        balanced: bool,
    ) -> Result<(), Fault> {
        let at = P::L3 + address_of(hook);
        if balanced {
            packet.store(at, addr)
        } else {
            packet.store_unbalanced(at, addr)
        }
    }

    const HOPS: usize = 7;

    #[inline(always)]
    fn take_hop<P: Packet>(packet: &mut P) -> Result<(), Fault> {
        // Two bytes, because a sum over the packet is one of pairs.
        let at = P::L3 + Self::HOPS - 1;
        let [next_header, hops]: [u8; 2] = packet.load(at).ok_or(Fault)?;
        packet.store_unbalanced(at, [next_header, hops - 1])
    }

    #[inline(always)]
    fn write_unreachable<P: Packet>(
        packet: &mut P,
        from: Addr6,
        to: Addr6,
        quote: Quote,
    ) -> Result<(), Fault> {
        let payload = (ICMP_HEADER + quote.length) as u16;
        let header = Header {
            version_class_flow: [0x60, 0, 0, 0],
            payload_length: payload.to_be_bytes(),
            next_header: V6::ICMP.0,
            hop_limit: 64,
            src: from,
            dst: to,
        };
        packet.store(P::L3, header)?;
        // The checksum is over the pseudo-header too (RFC 4443 section 2.3).
        let mut sum = quote
            .sum
            .add16(PORT_UNREACHABLE)
            .add16(header.payload_length)
            .add16([0, V6::ICMP.0]);
        for word in header.src.words() {
            sum = sum.plus(word);
        }
        for word in header.dst.words() {
            sum = sum.plus(word);
        }
        let [t, c] = PORT_UNREACHABLE;
        let [a, b] = sum.finish();
        packet.store(P::L3 + size_of::<Header>(), [t, c, a, b, 0, 0, 0, 0])
    }
}

/// Where the address is that a hook writes.
#[inline(always)]
fn address_of(hook: Hook) -> usize {
    match hook {
        Hook::Ingress => DESTINATION,
        Hook::Egress => SOURCE,
    }
}

/// Goes on to the transport header behind extension headers, if there are any.
#[inline(never)]
fn walk_extensions<P: Packet>(packet: &P, headers: &mut Headers<V6>) -> Parsed {
    let (mut next, mut offset) = (headers.key.protocol, headers.layout.l4);
    for _ in 0..=MAX_EXTENSIONS {
        let fragment_header = next == FRAGMENT;
        if !fragment_header && next != HOP_BY_HOP && next != ROUTING && next != DESTINATION_OPTIONS {
            (headers.key.protocol, headers.layout.l4) = (next, packet.opaque(offset));
            return Parsed::Whole;
        }
        // Every extension header is 8 bytes long at least.
        let Some([following, length, high, low, id @ ..]) = packet.load_far::<[u8; 8]>(offset) else {
            return Parsed::Malformed;
        };
        let place = u16::from_be_bytes([high, low]);
        // An atomic fragment (RFC 6946) is whole: no offset, nothing to follow.
        if fragment_header && place & !RESERVED != 0 {
            headers.fragment = u32::from_ne_bytes(id);
            if place & FRAGMENT_OFFSET != 0 {
                headers.part = FragmentPart::Later;
                return Parsed::Fragment;
            }
            headers.part = FragmentPart::First;
        }
        // The length does not count the first 8 bytes; in a fragment header it is reserved.
        offset += if fragment_header {
            8
        } else {
            (length as usize + 1) << 3
        };
        next = following;
    }
    Parsed::Malformed
}
