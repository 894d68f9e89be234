// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! IPv4 and IPv6 as parameters of one piece of code.

use core::fmt::Debug;
use core::hash::Hash;

use crate::checksum::Checksum;
use crate::device::Device;
use crate::headers::Ip;
use crate::outcome::Outcome;
use crate::packet::{Fault, Packet};
use crate::reject::Quote;
use crate::wire::{Addr4, Addr6, Wire};

mod ipv4;
mod ipv6;

/// An IP version: how its header is read and written.
pub trait Family: Copy + Eq + Ord + Hash + Debug + Default + 'static {
    /// An address, network byte order.
    type Addr: Wire + Eq + Ord + Hash + Debug + Default + 'static;

    /// The address as 32-bit words in memory order, for sums and hashes (v4 uses the first only).
    fn words(addr: &Self::Addr) -> [u32; 4];

    /// How many of [`Family::words`] count.
    const WORDS: usize;

    /// Reads the IP header at `l3`, and for v6 the extension headers after it.
    fn parse<P: Packet>(packet: &P, l3: usize) -> Result<Ip<Self>, Outcome>;

    /// Writes the source address; `sum` is the difference it makes to a checksum over it.
    fn set_source<P: Packet>(packet: &mut P, l3: usize, addr: Self::Addr, sum: Checksum) -> Result<(), Fault>;

    /// Writes the destination address; `sum` as for [`Family::set_source`].
    fn set_destination<P: Packet>(packet: &mut P, l3: usize, addr: Self::Addr, sum: Checksum) -> Result<(), Fault>;

    /// Writes an ICMP "port unreachable" at `l3`, over the room made for it.
    fn write_unreachable<P: Packet>(
        packet: &mut P,
        l3: usize,
        from: Self::Addr,
        to: Self::Addr,
        quote: Quote,
    ) -> Result<(), Fault>;

    /// Bytes of the headers [`Family::write_unreachable`] puts before the quoted packet.
    const UNREACHABLE_HEADERS: usize;

    /// The address that flows masqueraded out of this device take; unspecified if it has none.
    fn of_device(device: &Device) -> Self::Addr;

    /// Whether the transport checksum is also over addresses that no IP header checksum covers.
    const IS_V6: bool;
}

/// IPv4 (RFC 791).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct V4;

/// IPv6 (RFC 8200).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct V6;

#[inline(always)]
fn word(bytes: &[u8; 4]) -> u32 {
    u32::from_ne_bytes(*bytes)
}

#[inline(always)]
fn words4(addr: &Addr4) -> [u32; 4] {
    [word(&addr.0), 0, 0, 0]
}

#[inline(always)]
fn words6(addr: &Addr6) -> [u32; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = addr.0;
    [word(&[a, b, c, d]), word(&[e, f, g, h]), word(&[i, j, k, l]), word(&[m, n, o, p])]
}
