// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Values as they stand in a packet: big-endian bytes, never native integers.

use core::net::{Ipv4Addr, Ipv6Addr};

/// A value that can be read from and written to a packet as it is.
///
/// # Safety
/// Every bit pattern must be a valid value and there must be no padding.
pub unsafe trait Wire: Copy {}

// SAFETY: plain bytes.
unsafe impl Wire for u8 {}
// SAFETY: plain bytes.
unsafe impl<const N: usize> Wire for [u8; N] {}

/// An IPv4 address as it lies in memory: network byte order, whatever the machine's.
///
/// Kept as a word, and [`Addr6`] as words, because the compiler would take bytes apart one by one,
/// on a stack that has no room for it.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Addr4(u32);

/// An IPv6 address as it lies in memory.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Addr6([u32; 4]);

/// A TCP or UDP port as it lies in memory.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Port(u16);

/// A source and a destination port as they lie in a header and in a key: one word, read and written at once. The flow
/// table's hash reads it right after; were it written in two halves, that would have to wait for both.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Ports(u32);

// SAFETY: integers, and an array of them.
unsafe impl Wire for Addr4 {}
// SAFETY: as above.
unsafe impl Wire for Addr6 {}
// SAFETY: as above.
unsafe impl Wire for Port {}
// SAFETY: as above.
unsafe impl Wire for Ports {}

/// Third word of an IPv4-mapped address.
const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

impl Addr4 {
    /// The address whose memory is this word.
    #[inline(always)]
    pub const fn from_memory(word: u32) -> Self {
        Self(word)
    }

    /// The word that is the address's memory.
    #[inline(always)]
    pub const fn memory(self) -> u32 {
        self.0
    }

    /// The address's memory, as words.
    #[inline(always)]
    pub(crate) fn words(&self) -> [u32; 4] {
        [self.0, 0, 0, 0]
    }
}

impl Addr6 {
    /// The address whose memory these words are.
    #[inline(always)]
    pub const fn from_memory(words: [u32; 4]) -> Self {
        Self(words)
    }

    /// The words that are the address's memory.
    #[inline(always)]
    pub const fn memory(self) -> [u32; 4] {
        self.0
    }

    /// An IPv4 address as IPv6 sockets have it: `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2).
    #[inline(always)]
    pub const fn mapped(addr: Addr4) -> Self {
        Self([0, 0, MAPPED, addr.0])
    }

    /// The IPv4 address that is meant, if it is one.
    #[inline(always)]
    pub const fn as_mapped(self) -> Option<Addr4> {
        match self.0 {
            [0, 0, MAPPED, addr] => Some(Addr4(addr)),
            _ => None,
        }
    }

    /// The address's memory, as words.
    #[inline(always)]
    pub(crate) fn words(&self) -> [u32; 4] {
        self.0
    }
}

impl From<Ipv4Addr> for Addr4 {
    fn from(addr: Ipv4Addr) -> Self {
        Self(u32::from_ne_bytes(addr.octets()))
    }
}

impl From<Addr4> for Ipv4Addr {
    fn from(addr: Addr4) -> Self {
        addr.0.to_ne_bytes().into()
    }
}

impl From<Ipv6Addr> for Addr6 {
    fn from(addr: Ipv6Addr) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = addr.octets();
        Self([[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]].map(u32::from_ne_bytes))
    }
}

impl From<Addr6> for Ipv6Addr {
    fn from(addr: Addr6) -> Self {
        let [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]] = addr.0.map(u32::to_ne_bytes);
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p].into()
    }
}

impl Port {
    /// The port with the number `port`.
    #[inline(always)]
    pub const fn new(port: u16) -> Self {
        Self(port.to_be())
    }

    /// The port's number.
    #[inline(always)]
    pub const fn get(self) -> u16 {
        u16::from_be(self.0)
    }

    /// The port whose memory is this.
    #[inline(always)]
    pub const fn from_memory(raw: u16) -> Self {
        Self(raw)
    }

    /// The port's memory.
    #[inline(always)]
    pub const fn memory(self) -> u16 {
        self.0
    }
}

impl Ports {
    /// These two.
    #[inline(always)]
    pub const fn new(source: Port, destination: Port) -> Self {
        let (low, high) = if cfg!(target_endian = "little") {
            (source, destination)
        } else {
            (destination, source)
        };
        Self(low.0 as u32 | (high.0 as u32) << 16)
    }

    /// Where the packet is from.
    #[inline(always)]
    pub const fn source(self) -> Port {
        self.half(cfg!(target_endian = "little"))
    }

    /// Where it goes.
    #[inline(always)]
    pub const fn destination(self) -> Port {
        self.half(cfg!(target_endian = "big"))
    }

    #[inline(always)]
    const fn half(self, low: bool) -> Port {
        Port(if low { self.0 as u16 } else { (self.0 >> 16) as u16 })
    }

    /// The memory of both.
    #[inline(always)]
    pub(crate) const fn memory(self) -> u32 {
        self.0
    }
}
