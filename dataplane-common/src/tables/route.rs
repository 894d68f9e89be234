// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The lookup of a route, and its answer.

use crate::value::family::Family;
use crate::value::wire::Port;

/// Where a packet goes on.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NextHop {
    /// Interface index of the device that it leaves by.
    pub device: u32,
    /// 1: the other end of that device is a pod's, and the packet is put there; 0: it is sent to the neighbour.
    pub peer: u32,
    /// `AF_INET` or `AF_INET6`: the family of `neighbour`, which for a route of IPv4 via IPv6 (RFC 8950) is another
    /// than the packet's.
    pub family: u32,
    /// The neighbour's address, as it lies in memory; IPv4 has it in the first word.
    pub neighbour: [u32; 4],
    /// Link-layer addresses as an Ethernet header begins: the neighbour's, then the device's.
    pub link: [u16; 6],
}

/// A packet as routing sees it.
#[derive(Clone, Copy, Debug)]
pub struct FibLookup<F: Family> {
    /// Its source.
    pub src: F::Addr,
    /// Its destination.
    pub dst: F::Addr,
    /// Its ports: source, destination.
    pub ports: (Port, Port),
    /// IANA number of the transport.
    pub protocol: u8,
    /// Bytes of the IP packet; of the longest, if it will be cut into several.
    pub length: u16,
}
