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

// SAFETY: integers, and an array of them.
unsafe impl Wire for Addr4 {}
// SAFETY: as above.
unsafe impl Wire for Addr6 {}
// SAFETY: as above.
unsafe impl Wire for Port {}

impl Addr4 {
    /// The address's memory, as words.
    #[inline(always)]
    pub(crate) fn words(&self) -> [u32; 4] {
        [self.0, 0, 0, 0]
    }
}

impl Addr6 {
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

    /// The port's two bytes.
    #[inline(always)]
    pub(crate) const fn bytes(self) -> [u8; 2] {
        self.0.to_ne_bytes()
    }
}

// SAFETY: an array of a type without padding has none.
unsafe impl Wire for [Port; 2] {}
