// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The headers of a packet that could be a Service's: IP, and TCP or UDP.

use core::fmt;

use crate::family::Family;
use crate::flow::{FlowKey, Hook};
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::wire::{Port, Wire};

/// A transport protocol by its IANA number.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Protocol(pub u8);

impl Protocol {
    /// RFC 9293.
    pub const TCP: Self = Self(6);
    /// RFC 768.
    pub const UDP: Self = Self(17);
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TCP => f.write_str("TCP"),
            Self::UDP => f.write_str("UDP"),
            Self(number) => write!(f, "protocol {number}"),
        }
    }
}

/// Where a packet's parts are: offsets in bytes from its start.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The IP header.
    pub l3: usize,
    /// The transport header.
    pub l4: usize,
    /// Where the packet ends by its own account.
    pub end: usize,
}

/// What an IP header says, v4 or v6.
#[derive(Clone, Copy, Debug)]
pub struct Ip<F: Family> {
    /// Source address.
    pub src: F::Addr,
    /// Destination address.
    pub dst: F::Addr,
    /// The transport's IANA number, behind any extension headers.
    pub protocol: u8,
    /// Part of a fragmented packet, the first part too.
    pub fragment: bool,
    /// Where its parts are.
    pub layout: Layout,
}

/// TCP's control bits and numbers, host byte order. All zero for UDP.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Segment {
    pub(crate) flags: u8,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
}

impl Segment {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const ACK: u8 = 0x10;

    /// Whether this segment opens, closes or breaks a connection.
    #[inline(always)]
    pub(crate) fn is_event(&self) -> bool {
        self.flags & (Self::FIN | Self::SYN | Self::RST) != 0
    }

    /// Whether a client asks for a new connection with this segment.
    #[inline(always)]
    pub(crate) fn opens(&self) -> bool {
        self.flags & (Self::SYN | Self::ACK) == Self::SYN
    }
}

/// The headers of a TCP or UDP packet, at a hook.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers<F: Family> {
    pub(crate) key: FlowKey<F>,
    pub(crate) layout: Layout,
    pub(crate) segment: Segment,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct TcpHeader {
    sport: Port,
    dport: Port,
    sequence: [u8; 4],
    acknowledgement: [u8; 4],
    data_offset: u8,
    flags: u8,
    window: [u8; 2],
    checksum: [u8; 2],
    urgent: [u8; 2],
}
// SAFETY: bytes without padding: the sizes add up.
unsafe impl Wire for TcpHeader {}
const _: () = assert!(size_of::<TcpHeader>() == 20);

#[repr(C)]
#[derive(Clone, Copy)]
struct UdpHeader {
    sport: Port,
    dport: Port,
    length: [u8; 2],
    checksum: [u8; 2],
}
// SAFETY: bytes without padding: the sizes add up.
unsafe impl Wire for UdpHeader {}
const _: () = assert!(size_of::<UdpHeader>() == 8);

impl<F: Family> Ip<F> {
    #[inline(always)]
    fn key(&self, hook: Hook, sport: Port, dport: Port) -> FlowKey<F> {
        FlowKey::new(hook, Protocol(self.protocol), (self.src, sport), (self.dst, dport))
    }
}

impl<F: Family> Headers<F> {
    /// Reads the transport header of an unfragmented packet. `None`: neither TCP nor UDP.
    #[inline(always)]
    pub(crate) fn parse<P: Packet>(packet: &P, ip: &Ip<F>, hook: Hook) -> Result<Option<Self>, Outcome> {
        match Protocol(ip.protocol) {
            Protocol::TCP => Self::tcp(packet, ip, hook).map(Some),
            Protocol::UDP => Self::udp(packet, ip, hook).map(Some),
            _ => Ok(None),
        }
    }

    #[inline(always)]
    fn tcp<P: Packet>(packet: &P, ip: &Ip<F>, hook: Hook) -> Result<Self, Outcome> {
        let header: TcpHeader = packet.load(ip.layout.l4).ok_or(Outcome::Malformed)?;
        if ip.layout.l4 + size_of::<TcpHeader>() > ip.layout.end {
            return Err(Outcome::Malformed);
        }
        let segment = Segment {
            flags: header.flags,
            sequence: u32::from_be_bytes(header.sequence),
            acknowledgement: u32::from_be_bytes(header.acknowledgement),
        };
        Ok(Self { key: ip.key(hook, header.sport, header.dport), layout: ip.layout, segment })
    }

    #[inline(always)]
    fn udp<P: Packet>(packet: &P, ip: &Ip<F>, hook: Hook) -> Result<Self, Outcome> {
        let header: UdpHeader = packet.load(ip.layout.l4).ok_or(Outcome::Malformed)?;
        if ip.layout.l4 + size_of::<UdpHeader>() > ip.layout.end {
            return Err(Outcome::Malformed);
        }
        let key = ip.key(hook, header.sport, header.dport);
        Ok(Self { key, layout: ip.layout, segment: Segment::default() })
    }

    #[inline(always)]
    pub(crate) fn protocol(&self) -> Protocol {
        Protocol(self.key.protocol)
    }

    #[inline(always)]
    pub(crate) fn is_tcp(&self) -> bool {
        self.protocol() == Protocol::TCP
    }

    /// Offset of the transport checksum.
    #[inline(always)]
    pub(crate) fn checksum_offset(&self) -> usize {
        self.layout.l4 + if self.is_tcp() { 16 } else { 6 }
    }
}
