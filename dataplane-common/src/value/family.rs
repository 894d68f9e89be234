// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! IPv4 and IPv6 as parameters of one piece of code: their addresses. What their headers are is in `packet/ip.rs`.

use core::fmt::Debug;
use core::hash::Hash;

use crate::value::protocol::Protocol;
use crate::value::wire::{Addr4, Addr6, Wire};

/// An IP version: what its addresses are.
pub trait Family: Copy + Eq + Ord + Hash + Debug + Default + 'static {
    /// An address, network byte order.
    type Addr: Wire + Eq + Ord + Hash + Debug + Default + 'static;

    /// The address as 32-bit words in memory order, for sums and hashes (v4 uses the first only).
    fn words(addr: &Self::Addr) -> [u32; 4];

    /// How many of [`Family::words`] count.
    const WORDS: usize;

    /// Of two addresses, the one of this family.
    fn pick(v4: Addr4, v6: Addr6) -> Self::Addr;

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

    /// Whether one host can have this address, and be told something there: no multicast, broadcast, loopback or
    /// unspecified address, nor one of no use yet (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)). That an address
    /// is a subnet's broadcast, it does not show.
    fn is_single_host(addr: &Self::Addr) -> bool;

    /// Whether the transport checksum is also over addresses that no IP header checksum covers.
    const IS_V6: bool;
}

/// IPv4 (RFC 791).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct V4;

/// IPv6 (RFC 8200).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct V6;

impl Family for V4 {
    type Addr = Addr4;
    const WORDS: usize = 1;
    const IS_V6: bool = false;
    const HEADER: usize = 20;
    const ICMP: Protocol = Protocol(1);

    #[inline(always)]
    fn words(addr: &Addr4) -> [u32; 4] {
        addr.words()
    }

    #[inline(always)]
    fn pick(v4: Addr4, _: Addr6) -> Addr4 {
        v4
    }

    #[inline(always)]
    fn widen(addr: Addr4) -> Addr6 {
        Addr6::mapped(addr)
    }

    #[inline(always)]
    fn narrow(addr: Addr6) -> Addr4 {
        let [_, _, _, word] = addr.memory();
        Addr4::from_memory(word)
    }

    #[inline(always)]
    fn is_loopback(addr: &Addr4) -> bool {
        let [first, ..] = addr.memory().to_ne_bytes();
        first == 127 || addr.memory() == 0
    }

    #[inline(always)]
    fn is_single_host(addr: &Addr4) -> bool {
        let [first, ..] = addr.memory().to_ne_bytes();
        first != 0 && first != 127 && first < 224
    }
}

impl Family for V6 {
    type Addr = Addr6;
    const WORDS: usize = 4;
    const IS_V6: bool = true;
    const HEADER: usize = 40;
    const ICMP: Protocol = Protocol(58);

    #[inline(always)]
    fn words(addr: &Addr6) -> [u32; 4] {
        addr.words()
    }

    #[inline(always)]
    fn pick(_: Addr4, v6: Addr6) -> Addr6 {
        v6
    }

    #[inline(always)]
    fn widen(addr: Addr6) -> Addr6 {
        addr
    }

    #[inline(always)]
    fn narrow(addr: Addr6) -> Addr6 {
        addr
    }

    #[inline(always)]
    fn is_loopback(addr: &Addr6) -> bool {
        let [a, b, c, d] = addr.memory();
        (a | b | c) == 0 && (d == 0 || d == 1_u32.to_be())
    }

    #[inline(always)]
    fn is_single_host(addr: &Addr6) -> bool {
        let [word, ..] = addr.memory();
        let [first, ..] = word.to_ne_bytes();
        first != 0xff && !Self::is_loopback(addr)
    }
}
