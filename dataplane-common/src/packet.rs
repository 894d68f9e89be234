// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The packet as the decisions see it: bytes at offsets, and the few things only its owner can do.

use crate::checksum::Checksum;
use crate::wire::Wire;

/// An access beyond the packet's end, or one that the kernel refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault;

/// A transport checksum, and what a change under it means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Offset of the checksum from the packet's start.
    pub offset: usize,
    /// The change is to the pseudo-header (an address), which a checksum left to the hardware
    /// already covers, and not to the segment itself (a port), which it does not.
    pub pseudo_header: bool,
    /// Zero means "no checksum" and stays zero; a sum of zero is written as 0xffff (UDP, RFC 768).
    pub zero_means_none: bool,
    /// The address changed is an IPv6 one, with no header checksum to balance it.
    pub ipv6: bool,
}

/// A packet, from its link-layer header (if the device has one) on. Offsets are in bytes from there.
pub trait Packet {
    /// Length in bytes of the whole packet. It may be more than its headers say (Ethernet padding)
    /// and more than one segment (GSO).
    fn len(&self) -> usize;

    /// How many packets this one stands for on the wire: more than one with GSO.
    fn segments(&self) -> u64;

    /// Reads the value at `offset`.
    fn load<T: Wire>(&self, offset: usize) -> Option<T>;

    /// Writes the value at `offset`.
    fn store<T: Wire>(&mut self, offset: usize, value: T) -> Result<(), Fault>;

    /// Changes a transport checksum by a difference in what it covers.
    fn adjust_checksum(&mut self, field: Field, difference: Checksum) -> Result<(), Fault>;

    /// Cuts the packet to `keep` bytes after `l3`, then makes `room` bytes of unspecified content
    /// between the link-layer header and those.
    fn make_room(&mut self, l3: usize, keep: usize, room: usize) -> Result<(), Fault>;
}
