// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets to put in and to expect, built and checked by etherparse: not by the code under test.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use etherparse::{PacketBuilder, PacketBuilderStep, SlicedPacket, TransportSlice};

/// A TCP, UDP or SCTP packet, as a case names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub transport: Transport,
    pub payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp {
        flags: Flags,
        sequence: u32,
        acknowledgement: u32,
    },
    /// The first chunk; the tag that the receiver chose, and, in an INIT, the sender's own.
    Sctp {
        chunk: Chunk,
        tag: u32,
        own: u32,
    },
}

/// SCTP's chunks, by their numbers (RFC 9260).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    Data = 0,
    Init = 1,
    InitAck = 2,
    Abort = 6,
    Shutdown = 7,
    ShutdownAck = 8,
    CookieEcho = 10,
    ShutdownComplete = 14,
}

/// TCP control bits, by the letters tcpdump prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub &'static str);

impl Flags {
    fn has(self, letter: char) -> bool {
        self.0.contains(letter)
    }
}

pub fn udp(src: SocketAddr, dst: SocketAddr) -> Packet {
    Packet {
        src,
        dst,
        transport: Transport::Udp,
        payload: b"shunt!".to_vec(),
    }
}

/// A TCP segment; `flags` are letters of `SFRPA`.
pub fn tcp(flags: &'static str, src: SocketAddr, dst: SocketAddr) -> Packet {
    let transport = Transport::Tcp {
        flags: Flags(flags),
        sequence: 1_000,
        acknowledgement: 0,
    };
    Packet {
        src,
        dst,
        transport,
        payload: Vec::new(),
    }
}

/// An SCTP packet of one chunk.
pub fn sctp(chunk: Chunk, (tag, own): (u32, u32), src: SocketAddr, dst: SocketAddr) -> Packet {
    Packet {
        src,
        dst,
        transport: Transport::Sctp { chunk, tag, own },
        payload: Vec::new(),
    }
}

impl Packet {
    /// The same with this payload.
    #[must_use]
    pub fn carrying(self, payload: &[u8]) -> Self {
        Self {
            payload: payload.to_vec(),
            ..self
        }
    }

    /// The same with these TCP numbers.
    #[must_use]
    pub fn numbers(mut self, seq: u32, ack: u32) -> Self {
        if let Transport::Tcp {
            sequence,
            acknowledgement,
            ..
        } = &mut self.transport
        {
            (*sequence, *acknowledgement) = (seq, ack);
        }
        self
    }

    /// The same between other ends: what a rewrite shall make of it.
    #[must_use]
    pub fn between(&self, src: SocketAddr, dst: SocketAddr) -> Self {
        Self {
            src,
            dst,
            ..self.clone()
        }
    }

    /// The packet on an Ethernet device.
    pub fn bytes(&self) -> Vec<u8> {
        let step = ethernet(self.src.ip(), self.dst.ip());
        let mut bytes = Vec::new();
        let written = match self.transport {
            Transport::Sctp { chunk, tag, own } => {
                step.write(&mut bytes, SCTP, &self.sctp_bytes(chunk, tag, own))
            }
            Transport::Udp => step
                .udp(self.src.port(), self.dst.port())
                .write(&mut bytes, &self.payload),
            Transport::Tcp {
                flags,
                sequence,
                acknowledgement,
            } => {
                let mut step = step.tcp(self.src.port(), self.dst.port(), sequence, 64_000);
                for (letter, set) in [
                    ('S', PacketBuilderStep::syn as fn(_) -> _),
                    ('F', PacketBuilderStep::fin),
                    ('R', PacketBuilderStep::rst),
                    ('P', PacketBuilderStep::psh),
                ] {
                    if flags.has(letter) {
                        step = set(step);
                    }
                }
                if flags.has('A') {
                    step = step.ack(acknowledgement);
                }
                step.write(&mut bytes, &self.payload)
            }
        };
        written.expect("a packet in memory");
        bytes
    }

    /// The checksum is no CRC: nobody in here computes one, and it must come out as it went in.
    fn sctp_bytes(&self, chunk: Chunk, tag: u32, own: u32) -> Vec<u8> {
        let value: &[u8] = match chunk {
            Chunk::Init | Chunk::InitAck => {
                &[&own.to_be_bytes()[..], &[0, 0, 255, 255, 0, 1, 0, 1, 0, 0, 0, 1]].concat()
            }
            _ => &self.payload,
        };
        let length = (4 + value.len()) as u16;
        let [ports, tags] = [
            [self.src.port(), self.dst.port()].map(u16::to_be_bytes).concat(),
            tag.to_be_bytes().to_vec(),
        ];
        let chunk = [&[chunk as u8, 0][..], &length.to_be_bytes(), value].concat();
        [ports, tags, vec![0xc3, 0x2c, 0xc3, 0x2c], chunk].concat()
    }

    /// The ICMP "port unreachable" that this packet is answered with.
    pub fn unreachable(&self) -> Vec<u8> {
        unreachable(&self.bytes())
    }
}

/// The ICMP "port unreachable" that a packet is answered with: back to its sender, in the name of the address it went
/// to, quoting it as it was sent.
pub fn unreachable(packet: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // At most 128 bytes are quoted, and an even number of them.
    let quoted = &packet[14..];
    let quoted = &quoted[..quoted.len().min(128) & !1];
    if packet[12..14] == [0x08, 0x00] {
        let addr = |at: usize| <[u8; 4]>::try_from(&packet[at..at + 4]).expect("4 bytes");
        let mut header = etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber::ICMP, addr(30), addr(26))
            .expect("a short packet");
        header.dscp = etherparse::IpDscp::try_new(48).expect("six bits");
        PacketBuilder::ethernet2(TO, FROM)
            .ip(etherparse::IpHeaders::Ipv4(header, Default::default()))
            .icmpv4(etherparse::Icmpv4Type::DestinationUnreachable(
                etherparse::icmpv4::DestUnreachableHeader::Port,
            ))
            .write(&mut bytes, quoted)
    } else {
        let addr = |at: usize| <[u8; 16]>::try_from(&packet[at..at + 16]).expect("16 bytes");
        PacketBuilder::ethernet2(TO, FROM)
            .ipv6(addr(38), addr(22), 64)
            .icmpv6(etherparse::Icmpv6Type::DestinationUnreachable(
                etherparse::icmpv6::DestUnreachableCode::Port,
            ))
            .write(&mut bytes, quoted)
    }
    .expect("a packet in memory");
    bytes
}

pub(crate) const FROM: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The device's own address: loopback's, where the kernel's test run meets a packet.
pub(crate) const TO: [u8; 6] = [0; 6];
const SCTP: etherparse::IpNumber = etherparse::IpNumber(132);

pub(crate) fn ethernet(src: IpAddr, dst: IpAddr) -> PacketBuilderStep<etherparse::IpHeaders> {
    let step = PacketBuilder::ethernet2(FROM, TO);
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => step.ipv4(src.octets(), dst.octets(), 63),
        (IpAddr::V6(src), IpAddr::V6(dst)) => step.ipv6(src.octets(), dst.octets(), 63),
        _ => panic!("a packet between two families"),
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&describe(&self.bytes()))
    }
}

/// A packet as text, for failures: one line, its checksums judged.
pub fn describe(bytes: &[u8]) -> String {
    let Ok(packet) = SlicedPacket::from_ethernet(bytes) else {
        return format!("{} bytes that are no packet: {bytes:02x?}", bytes.len());
    };
    let ends = match &packet.net {
        Some(etherparse::NetSlice::Ipv4(ip)) => {
            let header = ip.header().to_header();
            let sound = header.header_checksum == header.calc_header_checksum();
            format!(
                "{} > {}{}",
                header.source_addr_str(),
                header.destination_addr_str(),
                if sound { "" } else { " BAD IP CHECKSUM" }
            )
        }
        Some(etherparse::NetSlice::Ipv6(ip)) => {
            format!(
                "{} > {}",
                ip.header().source_addr(),
                ip.header().destination_addr()
            )
        }
        _ => "not IP".to_owned(),
    };
    let transport = match &packet.transport {
        Some(TransportSlice::Udp(udp)) => {
            format!(
                "udp {} > {}, checksum {:04x}",
                udp.source_port(),
                udp.destination_port(),
                udp.checksum()
            )
        }
        Some(TransportSlice::Tcp(tcp)) => format!(
            "tcp {} > {} [{}{}{}{}] seq {} ack {}, checksum {:04x}",
            tcp.source_port(),
            tcp.destination_port(),
            if tcp.syn() { "S" } else { "" },
            if tcp.fin() { "F" } else { "" },
            if tcp.rst() { "R" } else { "" },
            if tcp.ack() { "A" } else { "" },
            tcp.sequence_number(),
            tcp.acknowledgment_number(),
            tcp.checksum()
        ),
        Some(TransportSlice::Icmpv4(icmp)) => {
            format!("{:?}, {} bytes quoted", icmp.icmp_type(), icmp.payload().len())
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            format!("{:?}, {} bytes quoted", icmp.icmp_type(), icmp.payload().len())
        }
        Some(TransportSlice::Igmp(_)) | None => "no transport".to_owned(),
    };
    format!("{ends} {transport}, {} bytes", bytes.len())
}

/// Whether all checksums of a packet are right; those of parts and of what is quoted in an error are not looked at.
pub fn is_sound(bytes: &[u8]) -> bool {
    let Ok(packet) = SlicedPacket::from_ethernet(bytes) else {
        return false;
    };
    let (src, dst): (IpAddr, IpAddr) = match &packet.net {
        Some(etherparse::NetSlice::Ipv4(ip)) => {
            let header = ip.header().to_header();
            if header.header_checksum != header.calc_header_checksum() {
                return false;
            }
            (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
            )
        }
        Some(etherparse::NetSlice::Ipv6(ip)) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        _ => return true,
    };
    let Some(transport) = packet.transport else {
        return true;
    };
    let (written, right) = match (&transport, src, dst) {
        (TransportSlice::Udp(udp), _, _) if udp.checksum() == 0 => return true,
        (TransportSlice::Udp(udp), IpAddr::V4(src), IpAddr::V4(dst)) => (
            udp.checksum(),
            udp.to_header()
                .calc_checksum_ipv4_raw(src.octets(), dst.octets(), udp.payload())
                .ok(),
        ),
        (TransportSlice::Udp(udp), IpAddr::V6(src), IpAddr::V6(dst)) => (
            udp.checksum(),
            udp.to_header()
                .calc_checksum_ipv6_raw(src.octets(), dst.octets(), udp.payload())
                .ok(),
        ),
        (TransportSlice::Tcp(tcp), IpAddr::V4(src), IpAddr::V4(dst)) => (
            tcp.checksum(),
            tcp.to_header()
                .calc_checksum_ipv4_raw(src.octets(), dst.octets(), tcp.payload())
                .ok(),
        ),
        (TransportSlice::Tcp(tcp), IpAddr::V6(src), IpAddr::V6(dst)) => (
            tcp.checksum(),
            tcp.to_header()
                .calc_checksum_ipv6_raw(src.octets(), dst.octets(), tcp.payload())
                .ok(),
        ),
        (TransportSlice::Icmpv4(icmp), _, _) => {
            let header = icmp.header();
            let mut right = header.clone();
            right.update_checksum(icmp.payload());
            (header.checksum, Some(right.checksum))
        }
        (TransportSlice::Icmpv6(icmp), IpAddr::V6(src), IpAddr::V6(dst)) => {
            let header = icmp.header();
            let mut right = header.clone();
            match right.update_checksum(src.octets(), dst.octets(), icmp.payload()) {
                Ok(()) => (header.checksum, Some(right.checksum)),
                Err(_) => return true,
            }
        }
        _ => return true,
    };
    // Zero has two names in one's complement.
    right.is_some_and(|right| {
        written == right || (written, right) == (0xffff, 0) || (written, right) == (0, 0xffff)
    })
}

trait AddressText {
    fn source_addr_str(&self) -> String;
    fn destination_addr_str(&self) -> String;
}

impl AddressText for etherparse::Ipv4Header {
    fn source_addr_str(&self) -> String {
        std::net::Ipv4Addr::from(self.source).to_string()
    }

    fn destination_addr_str(&self) -> String {
        std::net::Ipv4Addr::from(self.destination).to_string()
    }
}
