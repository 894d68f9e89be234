// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! A packet made the answer "port unreachable": cut to what is quoted, given new headers, its ends exchanged.

use crate::packet::headers::{Headers, Layout};
use crate::packet::ip::{Ip, Quote};
use crate::packet::{Fault, Packet};

/// Makes the packet an ICMP "port unreachable" to its sender.
#[inline(always)]
pub(crate) fn answer<F: Ip, P: Packet>(packet: &mut P, headers: &Headers<F>) -> Result<(), Fault> {
    let quote = quote(packet, &headers.layout)?;
    packet.make_room(quote.length, F::UNREACHABLE_HEADERS)?;
    swap_ends(packet)?;
    F::write_unreachable(packet, headers.key.dst, headers.key.src, quote)
}

/// The quoted bytes: at most 128. That holds any IPv4 header, or IPv6 with some extension
/// headers, and a whole TCP header (the kernel does not cut a packet inside a checksum that the
/// device is still to fill in), and is well below the 548 bytes that every IPv4 host takes (RFC 1812
/// section 4.3.2.3). A last odd byte is left out.
#[inline(always)]
fn quote<P: Packet>(packet: &P, layout: &Layout) -> Result<Quote, Fault> {
    let whole = layout.end - P::L3;
    let length = if whole > P::MAX_SUM {
        P::MAX_SUM
    } else {
        whole & !1
    };
    let sum = packet.sum(P::L3, length).ok_or(Fault)?;
    Ok(Quote { length, sum })
}

/// Exchanges the Ethernet addresses, where there are any.
#[inline(always)]
fn swap_ends<P: Packet>(packet: &mut P) -> Result<(), Fault> {
    const ADDRESS: usize = 6;
    if P::L3 < 2 * ADDRESS {
        return Ok(());
    }
    let to: [u8; ADDRESS] = packet.load(0).ok_or(Fault)?;
    let from: [u8; ADDRESS] = packet.load(ADDRESS).ok_or(Fault)?;
    packet.store(0, from)?;
    packet.store(ADDRESS, to)
}
