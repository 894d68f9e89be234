// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets made from packets: fragments, ICMP errors, options and extension headers, VLAN tags. Input and output are
//! whole Ethernet frames.

use std::net::IpAddr;

use etherparse::{IpNumber, Ipv4Header, Ipv6Header, PacketBuilder};

use crate::packet::{FROM, TO, ethernet};

/// Makes another packet of a packet.
pub type Shape = fn(&[u8]) -> Vec<u8>;

/// Where the IP header is.
const L3: usize = 14;
const V6_HEADER: usize = 40;
const FRAGMENT_HEADER: u8 = 44;

/// The ICMP messages that cases need, in either family's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmp {
    PortUnreachable,
    /// "Fragmentation needed", "packet too big", with a path MTU of 1400.
    TooBig,
    TimeExceeded,
    ParameterProblem,
    /// No error about a packet.
    Redirect,
    EchoRequest,
}

impl Icmp {
    pub const ERRORS: [Self; 4] = [
        Self::PortUnreachable,
        Self::TooBig,
        Self::TimeExceeded,
        Self::ParameterProblem,
    ];

    /// Type, code, and the second word of the header.
    fn header(self, v4: bool) -> (u8, u8, [u8; 4]) {
        let mtu = [0, 0, 0x05, 0x78];
        match (self, v4) {
            (Self::PortUnreachable, true) => (3, 3, [0; 4]),
            (Self::PortUnreachable, false) => (1, 4, [0; 4]),
            (Self::TooBig, true) => (3, 4, mtu),
            (Self::TooBig, false) => (2, 0, mtu),
            (Self::TimeExceeded, true) => (11, 0, [0; 4]),
            (Self::TimeExceeded, false) => (3, 0, [0; 4]),
            (Self::ParameterProblem, true) => (12, 0, [20, 0, 0, 0]),
            (Self::ParameterProblem, false) => (4, 0, [0, 0, 0, 40]),
            (Self::Redirect, true) => (5, 1, [172, 18, 0, 1]),
            (Self::Redirect, false) => (137, 0, [0; 4]),
            (Self::EchoRequest, true) => (8, 0, [1, 2, 3, 4]),
            (Self::EchoRequest, false) => (128, 0, [1, 2, 3, 4]),
        }
    }

    /// The message that `by` sends to `to`, with the first `quote` bytes of `about` from its IP header on.
    pub fn message(self, by: IpAddr, to: IpAddr, about: &[u8], quote: usize) -> Vec<u8> {
        let quoted = about.get(L3..).expect("a frame");
        let quoted = &quoted[..quote.min(quoted.len())];
        let (kind, code, word) = self.header(by.is_ipv4());
        let step = ethernet(by, to);
        let mut bytes = Vec::new();
        match by {
            IpAddr::V4(_) => step.icmpv4_raw(kind, code, word).write(&mut bytes, quoted),
            IpAddr::V6(_) => step.icmpv6_raw(kind, code, word).write(&mut bytes, quoted),
        }
        .expect("a packet in memory");
        bytes
    }
}

/// A packet of a transport that etherparse does not know.
pub fn of_protocol(src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    ethernet(src, dst)
        .write(&mut bytes, IpNumber(protocol), payload)
        .expect("a packet in memory");
    bytes
}

/// The packet in parts of at most `size` bytes of payload (a multiple of 8), in order.
pub fn fragments(frame: &[u8], id: u32, size: usize) -> Vec<Vec<u8>> {
    let payload = &frame[payload_of(frame)..];
    let count = payload.len().div_ceil(size);
    let part = |number: usize| {
        let (from, more) = (number * size, number + 1 < count);
        let bytes = &payload[from..payload.len().min(from + size)];
        match is_v4(frame) {
            true => part4(frame, id, (from, more), bytes),
            false => part6(frame, id, (from, more), bytes),
        }
    };
    (0..count).map(part).collect()
}

fn part4(frame: &[u8], id: u32, (from, more): (usize, bool), bytes: &[u8]) -> Vec<u8> {
    let mut header = v4(frame);
    header.identification = id as u16;
    header.dont_fragment = false;
    header.more_fragments = more;
    header.fragment_offset = etherparse::IpFragOffset::try_new((from / 8) as u16).expect("13 bits");
    with_v4(frame, header, bytes)
}

fn part6(frame: &[u8], id: u32, (from, more): (usize, bool), bytes: &[u8]) -> Vec<u8> {
    let place = (from as u16 | u16::from(more)).to_be_bytes();
    let id = id.to_be_bytes();
    let header = [0, 0, place[0], place[1], id[0], id[1], id[2], id[3]];
    with_extension(frame, FRAGMENT_HEADER, header, bytes)
}

/// IPv6: the packet in one part that says it is one (an "atomic fragment", RFC 6946).
pub fn atomic(frame: &[u8], id: u32) -> Vec<u8> {
    part6(frame, id, (0, false), &frame[payload_of(frame)..])
}

/// The packet with options (IPv4: a router alert and no-operations) or an extension header (IPv6:
/// hop-by-hop) between its headers.
pub fn with_options(frame: &[u8]) -> Vec<u8> {
    let payload = &frame[payload_of(frame)..];
    if !is_v4(frame) {
        return with_extension(frame, 0, [0, 0, 5, 2, 0, 0, 1, 0], payload);
    }
    let mut header = v4(frame);
    header.options = [148, 4, 0, 0, 1, 1, 1, 0].into();
    with_v4(frame, header, payload)
}

/// The packet with a destination-options header of `length` bytes (IPv6), a multiple of 8.
pub fn with_destination_options(frame: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = vec![0, (length / 8 - 1) as u8, 1, (length - 4) as u8];
    bytes.resize(length, 0);
    bytes.extend_from_slice(&frame[payload_of(frame)..]);
    let header: [u8; 8] = bytes[..8].try_into().expect("8 bytes");
    with_extension(frame, 60, header, &bytes[8..])
}

/// The frame with VLAN tags (protocol, tag) among its own bytes, the outermost first.
pub fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let mut bytes = frame[..12].to_vec();
    for (protocol, tag) in tags {
        bytes.extend_from_slice(&protocol.to_be_bytes());
        bytes.extend_from_slice(&tag.to_be_bytes());
    }
    bytes.extend_from_slice(&frame[12..]);
    bytes
}

fn is_v4(frame: &[u8]) -> bool {
    frame[12..14] == [0x08, 0x00]
}

/// Where what the IP header carries begins; extension headers are carried.
pub fn payload_of(frame: &[u8]) -> usize {
    if is_v4(frame) {
        L3 + usize::from(frame[L3] & 0xf) * 4
    } else {
        L3 + V6_HEADER
    }
}

fn v4(frame: &[u8]) -> Ipv4Header {
    Ipv4Header::from_slice(&frame[L3..]).expect("an IPv4 header").0
}

fn with_v4(frame: &[u8], mut header: Ipv4Header, payload: &[u8]) -> Vec<u8> {
    header.set_payload_len(payload.len()).expect("a short packet");
    header.header_checksum = header.calc_header_checksum();
    [&frame[..L3], &header.to_bytes(), payload].concat()
}

/// The packet with an extension header of this number before `payload`; its first byte, the number of what
/// follows, is filled in.
fn with_extension(frame: &[u8], number: u8, mut extension: [u8; 8], payload: &[u8]) -> Vec<u8> {
    let mut header = Ipv6Header::from_slice(&frame[L3..]).expect("an IPv6 header").0;
    extension[0] = header.next_header.0;
    header.next_header = IpNumber(number);
    header
        .set_payload_length(extension.len() + payload.len())
        .expect("a short packet");
    [&frame[..L3], &header.to_bytes(), &extension, payload].concat()
}

/// An Ethernet frame of this type that carries nothing.
pub fn empty(ethertype: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(FROM, TO)
        .ipv4([0; 4], [0; 4], 1)
        .write(&mut bytes, IpNumber(255), &[])
        .expect("a packet in memory");
    bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
    bytes
}
