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

/// An IPv4 address, network byte order.
///
/// Aligned to its size so that the compiler moves it as one word, on the BPF stack too (which,
/// unlike a packet, must be accessed aligned).
#[repr(C, align(4))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Addr4(pub [u8; 4]);

/// An IPv6 address, network byte order. Aligned as [`Addr4`] is.
#[repr(C, align(4))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Addr6(pub [u8; 16]);

/// A TCP or UDP port, network byte order.
#[repr(C, align(2))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Port(pub [u8; 2]);

// SAFETY: byte arrays whose size is a multiple of their alignment.
unsafe impl Wire for Addr4 {}
// SAFETY: as above.
unsafe impl Wire for Addr6 {}
// SAFETY: as above.
unsafe impl Wire for Port {}

impl From<Ipv4Addr> for Addr4 {
    fn from(addr: Ipv4Addr) -> Self {
        Self(addr.octets())
    }
}

impl From<Addr4> for Ipv4Addr {
    fn from(addr: Addr4) -> Self {
        addr.0.into()
    }
}

impl From<Ipv6Addr> for Addr6 {
    fn from(addr: Ipv6Addr) -> Self {
        Self(addr.octets())
    }
}

impl From<Addr6> for Ipv6Addr {
    fn from(addr: Addr6) -> Self {
        addr.0.into()
    }
}

impl Port {
    /// The port with the number `port`.
    #[inline(always)]
    pub const fn new(port: u16) -> Self {
        Self(port.to_be_bytes())
    }

    /// The port's number.
    #[inline(always)]
    pub const fn get(self) -> u16 {
        u16::from_be_bytes(self.0)
    }
}

// SAFETY: an array of a type without padding has none.
unsafe impl Wire for [Port; 2] {}
