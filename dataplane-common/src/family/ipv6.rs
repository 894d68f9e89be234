// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The IPv6 header (RFC 8200) and the ICMPv6 error made of it (RFC 4443).

use super::{Family, V6, words6};
use crate::checksum::Checksum;
use crate::device::Device;
use crate::headers::{Ip, Layout};
use crate::outcome::Outcome;
use crate::packet::{Fault, Packet};
use crate::reject::Quote;
use crate::wire::{Addr6, Wire};

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
const _: () = assert!(size_of::<Header>() == 40);

const SOURCE: usize = 8;
const DESTINATION: usize = 24;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
const ICMPV6: u8 = 58;
/// Extension headers walked before a packet is passed as malformed. RFC 8200 section 4.1 names
/// five that may stand before the transport header of an unencrypted packet.
const MAX_EXTENSIONS: usize = 5;
/// Type 1 "destination unreachable", code 4 "port unreachable" (RFC 4443 section 3.1).
const PORT_UNREACHABLE: [u8; 2] = [1, 4];
const ICMP_HEADER: usize = 8;

impl Family for V6 {
    type Addr = Addr6;
    const WORDS: usize = 4;
    const UNREACHABLE_HEADERS: usize = size_of::<Header>() + ICMP_HEADER;
    const IS_V6: bool = true;

    #[inline(always)]
    fn words(addr: &Addr6) -> [u32; 4] {
        words6(addr)
    }

    #[inline(always)]
    fn parse<P: Packet>(packet: &P, l3: usize) -> Result<Ip<Self>, Outcome> {
        let header: Header = packet.load(l3).ok_or(Outcome::Malformed)?;
        let payload_length = u16::from_be_bytes(header.payload_length) as usize;
        let end = if payload_length == 0 { packet.len() } else { l3 + size_of::<Header>() + payload_length };
        let [version_class, ..] = header.version_class_flow;
        if version_class >> 4 != 6 || end > packet.len() {
            return Err(Outcome::Malformed);
        }
        let (protocol, l4, fragment) = transport(packet, header.next_header, l3 + size_of::<Header>())?;
        let layout = Layout { l3, l4, end };
        Ok(Ip { src: header.src, dst: header.dst, protocol, fragment, layout })
    }

    #[inline(always)]
    fn set_source<P: Packet>(packet: &mut P, l3: usize, addr: Addr6, _: Checksum) -> Result<(), Fault> {
        packet.store(l3 + SOURCE, addr)
    }

    #[inline(always)]
    fn set_destination<P: Packet>(packet: &mut P, l3: usize, addr: Addr6, _: Checksum) -> Result<(), Fault> {
        packet.store(l3 + DESTINATION, addr)
    }

    #[inline(always)]
    fn write_unreachable<P: Packet>(
        packet: &mut P,
        l3: usize,
        from: Addr6,
        to: Addr6,
        quote: Quote,
    ) -> Result<(), Fault> {
        let payload = (ICMP_HEADER + quote.length) as u16;
        let header = Header {
            version_class_flow: [0x60, 0, 0, 0],
            payload_length: payload.to_be_bytes(),
            next_header: ICMPV6,
            hop_limit: 64,
            src: from,
            dst: to,
        };
        packet.store(l3, header)?;
        // The checksum is over the pseudo-header too (RFC 4443 section 2.3).
        let mut sum = quote.sum.add16(PORT_UNREACHABLE).add16(header.payload_length).add16([0, ICMPV6]);
        for word in words6(&header.src) {
            sum = sum.add(word);
        }
        for word in words6(&header.dst) {
            sum = sum.add(word);
        }
        let [t, c] = PORT_UNREACHABLE;
        let [a, b] = sum.finish();
        packet.store(l3 + size_of::<Header>(), [t, c, a, b, 0, 0, 0, 0])
    }

    #[inline(always)]
    fn of_device(device: &Device) -> Addr6 {
        device.v6
    }
}

/// Walks the extension headers: the transport protocol, its offset, and whether this is a fragment.
#[inline(always)]
fn transport<P: Packet>(packet: &P, first: u8, start: usize) -> Result<(u8, usize, bool), Outcome> {
    let (mut next, mut offset, mut fragment) = (first, start, false);
    for _ in 0..MAX_EXTENSIONS {
        match next {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {
                let [following, length]: [u8; 2] = packet.load(offset).ok_or(Outcome::Malformed)?;
                next = following;
                offset += (length as usize + 1) << 3;
            }
            FRAGMENT => {
                let [following, _, high, low]: [u8; 4] = packet.load(offset).ok_or(Outcome::Malformed)?;
                // An atomic fragment (RFC 6946) is whole: no offset, nothing to follow.
                fragment = u16::from_be_bytes([high, low]) & !0x6 != 0;
                next = following;
                offset += 8;
                if fragment {
                    break;
                }
            }
            _ => return Ok((next, offset, fragment)),
        }
    }
    match next {
        HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS if !fragment => Err(Outcome::Malformed),
        _ => Ok((next, offset, fragment)),
    }
}
