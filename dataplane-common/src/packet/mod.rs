// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The packet as the decisions see it: bytes at offsets, and the few things only its owner can do.

pub(crate) mod headers;
pub(crate) mod ip;
mod ipv4;
mod ipv6;
mod parse;
pub(crate) mod rewrite;
mod sctp;
pub(crate) mod unreachable;

use crate::value::checksum::Checksum;
use crate::value::wire::Wire;

/// An access beyond the packet's end, or one that the kernel refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault;

/// A transport checksum, and what a change under it means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChecksumField {
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

/// The receiver that a frame's link-layer address names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Addressee {
    /// The device that the frame is met at.
    Device,
    /// Another device: of this node (a bridge, say) or of another host.
    Other,
    /// All hosts on the link, or a group of them.
    Many,
}

/// The mark that ingress leaves on a packet that it rewrote. Another ingress of this node passes such a packet, and the
/// first egress takes the mark away.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// Egress has nothing to write.
    Done = 1,
    /// Egress looks at it as at any other.
    Translated = 2,
    /// Its flow is masqueraded: it must not leave under its client's own address.
    Masquerade = 3,
}

/// A packet, from its link-layer header (if the device has one) on. Offsets are in bytes from there.
pub trait Packet {
    /// Where the IP header is: behind an Ethernet header, or at 0 on a device without one.
    const L3: usize;

    /// Length in bytes of the whole packet. It may be more than its headers say (Ethernet padding)
    /// and more than one segment (GSO).
    fn length(&self) -> usize;

    /// How many packets this one stands for on the wire: more than one with GSO.
    fn segments(&self) -> u64;

    /// With GSO, how much payload each of the packets has that this one will be cut into; else 0.
    fn segment_size(&self) -> usize;

    /// Whether it came to this host by its link-layer address, and has no VLAN tag.
    fn is_for_host(&self) -> bool;

    /// The receiver that its link-layer address names.
    fn addressee(&self) -> Addressee;

    /// The number of the VLAN whose tag the kernel keeps outside the frame; 0 if there is none.
    fn vlan(&self) -> u16;

    /// Reads the value at `offset`, a place known beforehand: the kernel reads it directly.
    fn load<T: Wire>(&self, offset: usize) -> Option<T>;

    /// Writes the value at `offset`, a place known beforehand.
    fn store<T: Wire>(&mut self, offset: usize, value: T) -> Result<(), Fault>;

    /// Writes the value at `offset`, where no other change makes up for it in a sum over the packet. Such
    /// a sum is what some network cards take of a packet that comes in.
    fn store_unbalanced<T: Wire>(&mut self, offset: usize, value: T) -> Result<(), Fault>;

    /// Reads the value at an `offset` that depends on the packet. The kernel copies it out: slower
    /// than [`Packet::load`], but nothing the verifier must follow every value of.
    fn load_far<T: Wire>(&self, offset: usize) -> Option<T>;

    /// Writes the value at an `offset` that depends on the packet.
    fn store_far<T: Wire>(&mut self, offset: usize, value: T) -> Result<(), Fault>;

    /// The sum over `length` bytes at `offset`: an even number, from 2 to [`Packet::MAX_SUM`].
    fn sum(&self, offset: usize, length: usize) -> Option<Checksum>;

    /// The longest stretch that [`Packet::sum`] takes. A power of two.
    const MAX_SUM: usize = 128;

    /// The same number, of which the verifier knows nothing.
    ///
    /// For offsets that only a rare packet has: it would follow each of them on its own through the
    /// whole program, and give up.
    fn opaque(&self, offset: usize) -> usize;

    /// Changes a transport checksum by a difference in what it covers. Returns whether the two changes make up for
    /// each other in a sum over the packet; if not, what is covered must be written with
    /// [`Packet::store_unbalanced`].
    fn adjust_checksum(&mut self, field: ChecksumField, difference: Checksum) -> Result<bool, Fault>;

    /// The mark that an ingress of this node left.
    fn mark(&self) -> Option<Mark>;

    /// Leaves a mark for the hooks that the packet meets next on this node.
    fn set_mark(&mut self, mark: Mark);

    /// Takes the mark of [`Packet::set_mark`] away, and returns it.
    #[inline(always)]
    fn take_mark(&mut self) -> Option<Mark> {
        let mark = self.mark();
        if mark.is_some() {
            self.clear_mark();
        }
        mark
    }

    /// Takes this node's mark away.
    fn clear_mark(&mut self);

    /// Cuts the packet to its link-layer header and `keep` bytes more, then makes `room` bytes of
    /// unspecified content between the two.
    fn make_room(&mut self, keep: usize, room: usize) -> Result<(), Fault>;
}
