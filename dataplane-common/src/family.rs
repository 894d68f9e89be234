// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! IPv4 and IPv6 as parameters of one piece of code.

use core::fmt::Debug;
use core::hash::Hash;

use crate::checksum::Checksum;
use crate::device::Device;
use crate::flow::Hook;
use crate::headers::{Headers, Parsed, Protocol};
use crate::packet::{Fault, Packet};
use crate::reject::Quote;
use crate::wire::{Addr6, Wire};

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

    /// Reads the IP header and for v6 the extension headers after it: the
    /// key's addresses and protocol, and the rest of the layout.
    fn parse<P: Packet>(packet: &P, headers: &mut Headers<Self>) -> Parsed;

    /// Reads the IP header at `at` of a packet that an ICMP error quotes, as [`Family::parse`] does;
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
    /// [`Family::set_address`] does. Returns what it changes in a sum over the quoted packet, of which
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

    /// Bytes of the headers [`Family::write_unreachable`] puts before the quoted packet.
    const UNREACHABLE_HEADERS: usize;

    /// The address that flows masqueraded out of this device take; unspecified if it has none.
    fn of_device(device: &Device) -> Self::Addr;

    /// The protocol of its control messages.
    const ICMP: Protocol;

    /// Bytes of the IP header without options or extensions.
    const HEADER: usize;

    /// The address as an IPv6 socket would have it.
    fn widen(addr: Self::Addr) -> Addr6;

    /// The address that was widened.
    fn narrow(addr: Addr6) -> Self::Addr;

    /// Whether a connection to this address never leaves the host. The unspecified address counts:
    /// Linux takes it for the loopback address.
    fn is_loopback(addr: &Self::Addr) -> bool;

    /// Whether the transport checksum is also over addresses that no IP header checksum covers.
    const IS_V6: bool;
}

/// IPv4 (RFC 791).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct V4;

/// IPv6 (RFC 8200).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct V6;
