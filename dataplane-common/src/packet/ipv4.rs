// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The IPv4 header (RFC 791) and the ICMP error made of it (RFC 792, RFC 1122 3.2.2).

use crate::packet::headers::{FragmentPart, Headers, Layout, Parsed};
use crate::packet::ip::{Ip, Quote};
use crate::packet::{Fault, Packet};
use crate::value::checksum::Checksum;
use crate::value::family::{Family, V4};
use crate::value::hook::Hook;
use crate::value::wire::{Addr4, Wire};

#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    version_ihl: u8,
    tos: u8,
    total_length: [u8; 2],
    id: [u8; 2],
    fragment: [u8; 2],
    ttl: u8,
    protocol: u8,
    checksum: [u8; 2],
    src: Addr4,
    dst: Addr4,
}
// SAFETY: bytes without padding: the sizes add up.
unsafe impl Wire for Header {}
const _: () = assert!(size_of::<Header>() == V4::HEADER);

const CHECKSUM: usize = 10;
const SOURCE: usize = 12;
const DESTINATION: usize = 16;
/// "More fragments" and the fragment offset; "don't fragment" and the reserved bit do not count.
const FRAGMENT_MASK: u16 = 0x3fff;
const FRAGMENT_OFFSET: u16 = 0x1fff;
/// Type 3 "destination unreachable", code 3 "port unreachable".
const PORT_UNREACHABLE: [u8; 2] = [3, 3];
const ICMP_HEADER: usize = 8;

impl Ip for V4 {
    const UNREACHABLE_HEADERS: usize = size_of::<Header>() + ICMP_HEADER;
    const ECHO_REQUEST: u8 = 8;

    #[inline(always)]
    fn parse<P: Packet>(packet: &P, headers: &mut Headers<Self>) -> Parsed {
        let l3 = P::L3;
        let Some(header) = packet.load::<Header>(l3) else {
            return Parsed::Malformed;
        };
        (headers.key.src, headers.key.dst, headers.key.protocol) = (header.src, header.dst, header.protocol);
        let header_length = ((header.version_ihl & 0xf) as usize) << 2;
        let total_length = u16::from_be_bytes(header.total_length) as usize;
        // A total length of 0 is a GSO packet beyond 64 KiB (BIG TCP): the device will cut it.
        let end = if total_length == 0 {
            packet.length()
        } else {
            l3 + total_length
        };
        if header.version_ihl >> 4 != 4
            || header_length < size_of::<Header>()
            || end < l3 + header_length
            || end > packet.length()
        {
            return Parsed::Malformed;
        }
        let l4 = if header_length == size_of::<Header>() {
            l3 + size_of::<Header>()
        } else {
            packet.opaque(l3 + header_length)
        };
        headers.layout = Layout { l4, end };
        let fragment = u16::from_be_bytes(header.fragment) & FRAGMENT_MASK;
        if fragment == 0 {
            return Parsed::Whole;
        }
        headers.fragment = u16::from_ne_bytes(header.id) as u32;
        if fragment & FRAGMENT_OFFSET == 0 {
            headers.part = FragmentPart::First;
            return Parsed::Whole;
        }
        headers.part = FragmentPart::Later;
        Parsed::Fragment
    }

    #[inline(always)]
    fn parse_quoted<P: Packet>(packet: &P, at: usize, headers: &mut Headers<Self>) -> Parsed {
        let Some(header) = packet.load_far::<Header>(at) else {
            return Parsed::Malformed;
        };
        let header_length = ((header.version_ihl & 0xf) as usize) << 2;
        if header.version_ihl >> 4 != 4 || header_length < size_of::<Header>() {
            return Parsed::Malformed;
        }
        headers.layout.l4 = at + header_length;
        (headers.key.src, headers.key.dst, headers.key.protocol) = (header.src, header.dst, header.protocol);
        match u16::from_be_bytes(header.fragment) & FRAGMENT_OFFSET {
            0 => Parsed::Whole,
            _ => Parsed::Fragment,
        }
    }

    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        // Destination unreachable, source quench, time exceeded, parameter problem. Not redirect (5): a
        // router points its neighbour to a better one, which concerns only these two, whatever is quoted.
        matches!(kind, 3 | 4 | 11 | 12)
    }

    #[inline(always)]
    fn write_quoted<P: Packet>(
        packet: &mut P,
        at: usize,
        end: Hook,
        addr: Addr4,
        sum: Checksum,
    ) -> Result<Checksum, Fault> {
        let old: [u8; 2] = packet.load_far(at + CHECKSUM).ok_or(Fault)?;
        let new = sum.update(old);
        packet.store_far(at + CHECKSUM, new)?;
        packet.store_far(at + address_of(end), addr)?;
        Ok(sum.sub16(old).add16(new))
    }

    #[inline(always)]
    fn set_address<P: Packet>(
        packet: &mut P,
        hook: Hook,
        addr: Addr4,
        sum: Checksum,
        _: bool,
    ) -> Result<(), Fault> {
        let checksum: [u8; 2] = packet.load(P::L3 + CHECKSUM).ok_or(Fault)?;
        packet.store(P::L3 + CHECKSUM, sum.update(checksum))?;
        packet.store(P::L3 + address_of(hook), addr)
    }

    const HOPS: usize = 8;

    #[inline(always)]
    fn take_hop<P: Packet>(packet: &mut P) -> Result<(), Fault> {
        let old: [u8; 2] = packet.load(P::L3 + Self::HOPS).ok_or(Fault)?;
        let [hops, protocol] = old;
        let new = [hops - 1, protocol];
        let checksum: [u8; 2] = packet.load(P::L3 + CHECKSUM).ok_or(Fault)?;
        let sum = Checksum::default().sub16(old).add16(new);
        packet.store(P::L3 + CHECKSUM, sum.update(checksum))?;
        packet.store(P::L3 + Self::HOPS, new)
    }

    #[inline(always)]
    fn write_unreachable<P: Packet>(
        packet: &mut P,
        from: Addr4,
        to: Addr4,
        quote: Quote,
    ) -> Result<(), Fault> {
        let total = (Self::UNREACHABLE_HEADERS + quote.length) as u16;
        let mut header = Header {
            version_ihl: 0x45,
            // Precedence "internetwork control", as RFC 1812 4.3.2.5 asks of ICMP errors.
            tos: 0xc0,
            total_length: total.to_be_bytes(),
            id: [0; 2],
            fragment: [0x40, 0],
            ttl: 64,
            protocol: V4::ICMP.0,
            checksum: [0; 2],
            src: from,
            dst: to,
        };
        header.checksum = header_checksum(&header);
        packet.store(P::L3, header)?;
        let icmp = P::L3 + size_of::<Header>();
        let checksum = quote.sum.add16(PORT_UNREACHABLE).finish();
        let [t, c] = PORT_UNREACHABLE;
        let [a, b] = checksum;
        packet.store(icmp, [t, c, a, b, 0, 0, 0, 0])
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

#[inline(always)]
fn header_checksum(h: &Header) -> [u8; 2] {
    let [src, ..] = h.src.words();
    let [dst, ..] = h.dst.words();
    Checksum::default()
        .add16([h.version_ihl, h.tos])
        .add16(h.total_length)
        .add16(h.id)
        .add16(h.fragment)
        .add16([h.ttl, h.protocol])
        .plus(src)
        .plus(dst)
        .finish()
}
