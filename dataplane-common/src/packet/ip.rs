// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! IPv4 and IPv6 as parameters of one piece of code: how their headers are read and written.
//! `ipv4.rs` and `ipv6.rs` have the two bodies.

use crate::packet::headers::{Headers, Parsed};
use crate::packet::{Fault, Packet};
use crate::value::checksum::Checksum;
use crate::value::family::Family;
use crate::value::hook::Hook;

/// An IP version: how its header is read and written.
pub trait Ip: Family {
    /// Reads the IP header and for v6 the extension headers after it: the
    /// key's addresses and protocol, and the rest of the layout.
    fn parse<P: Packet>(packet: &P, headers: &mut Headers<Self>) -> Parsed;

    /// Reads the IP header at `at` of a packet that an ICMP error quotes, as [`Ip::parse`] does;
    /// that the quoted packet is cut short is usual, so no length in it is believed.
    fn parse_quoted<P: Packet>(packet: &P, at: usize, headers: &mut Headers<Self>) -> Parsed;

    /// The type of an ICMP message that asks whether its receiver is there.
    const ECHO_REQUEST: u8;

    /// Whether an ICMP message of this type is an error, which quotes a packet.
    fn is_error(kind: u8) -> bool;

    /// Writes the address that `hook` writes: the destination at ingress, the source at egress. `sum`
    /// is the difference it makes to a checksum over it. `balanced`: another change in the packet
    /// makes up for it, so that the sum over the whole packet stays what it was.
    fn set_address<P: Packet>(
        packet: &mut P,
        hook: Hook,
        addr: Self::Addr,
        sum: Checksum,
        balanced: bool,
    ) -> Result<(), Fault>;

    /// Where in the IP header the number of hops is that a packet may still make.
    const HOPS: usize;

    /// Takes one hop off, of at least two.
    fn take_hop<P: Packet>(packet: &mut P) -> Result<(), Fault>;

    /// Writes an address in the quoted IP header at `at`: the destination or the source, as
    /// [`Ip::set_address`] does. Returns what it changes in a sum over the quoted packet, of which
    /// `sum` is the address's part.
    fn write_quoted<P: Packet>(
        packet: &mut P,
        at: usize,
        end: Hook,
        addr: Self::Addr,
        sum: Checksum,
    ) -> Result<Checksum, Fault>;

    /// Writes an ICMP "port unreachable" over the room made for it.
    fn write_unreachable<P: Packet>(
        packet: &mut P,
        from: Self::Addr,
        to: Self::Addr,
        quote: Quote,
    ) -> Result<(), Fault>;

    /// Bytes of the headers [`Ip::write_unreachable`] puts before the quoted packet.
    const UNREACHABLE_HEADERS: usize;
}

/// The part of a packet that an ICMP error quotes.
#[derive(Clone, Copy, Debug)]
pub struct Quote {
    /// In bytes; even.
    pub length: usize,
    /// Their sum.
    pub sum: Checksum,
}
