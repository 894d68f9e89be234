// SPDX-License-Identifier: MIT OR Apache-2.0
//! A captured frame, understood as far as the lab needs.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub layer: Layer,
    /// Ports are 0 where the layer has none.
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// What TCP, UDP or ICMP carries.
    pub payload: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    Tcp(Flags),
    Udp,
    /// Type and code, of ICMP or ICMPv6 as the addresses say.
    Icmp(u8, u8),
    Other(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    pub syn: bool,
    pub ack: bool,
    pub fin: bool,
    pub rst: bool,
}

impl Packet {
    /// `None` for what is not IP.
    #[must_use]
    pub fn of_frame(frame: &[u8]) -> Option<Self> {
        let sliced = SlicedPacket::from_ethernet(frame).ok()?;
        let (source, destination, protocol): (IpAddr, IpAddr, u8) = match sliced.net.as_ref()? {
            NetSlice::Ipv4(v4) => {
                let header = v4.header();
                (
                    header.source_addr().into(),
                    header.destination_addr().into(),
                    v4.payload_ip_number().0,
                )
            }
            NetSlice::Ipv6(v6) => {
                let header = v6.header();
                (
                    header.source_addr().into(),
                    header.destination_addr().into(),
                    v6.payload().ip_number.0,
                )
            }
            NetSlice::Arp(_) => return None,
        };
        let (layer, ports, payload): (_, _, &[u8]) = match sliced.transport.as_ref() {
            Some(TransportSlice::Tcp(tcp)) => {
                let flags = Flags {
                    syn: tcp.syn(),
                    ack: tcp.ack(),
                    fin: tcp.fin(),
                    rst: tcp.rst(),
                };
                (
                    Layer::Tcp(flags),
                    (tcp.source_port(), tcp.destination_port()),
                    tcp.payload(),
                )
            }
            Some(TransportSlice::Udp(udp)) => (
                Layer::Udp,
                (udp.source_port(), udp.destination_port()),
                udp.payload(),
            ),
            Some(TransportSlice::Icmpv4(icmp)) => (
                Layer::Icmp(icmp.type_u8(), icmp.code_u8()),
                (0, 0),
                icmp.payload(),
            ),
            Some(TransportSlice::Icmpv6(icmp)) => (
                Layer::Icmp(icmp.type_u8(), icmp.code_u8()),
                (0, 0),
                icmp.payload(),
            ),
            _ => (Layer::Other(protocol), (0, 0), &[]),
        };
        let (source, destination) = ((source, ports.0).into(), (destination, ports.1).into());
        Some(Self {
            layer,
            source,
            destination,
            payload: payload.to_vec(),
        })
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(flags) => {
                f.write_str("TCP")?;
                let names = [
                    (flags.syn, " SYN"),
                    (flags.ack, " ACK"),
                    (flags.fin, " FIN"),
                    (flags.rst, " RST"),
                ];
                names
                    .iter()
                    .filter(|(set, _)| *set)
                    .try_for_each(|(_, name)| f.write_str(name))
            }
            Self::Udp => f.write_str("UDP"),
            Self::Icmp(kind, code) => write!(f, "ICMP {kind}/{code}"),
            Self::Other(protocol) => write!(f, "protocol {protocol}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    #[test]
    fn a_tcp_frame_shows_its_ends_flags_and_payload() {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv4([10, 244, 1, 2], [10, 96, 0, 20], 64)
            .tcp(40_000, 80, 1, 1024)
            .ack(7);
        builder.write(&mut frame, b"GET /").unwrap();

        let packet = Packet::of_frame(&frame).unwrap();

        assert_eq!(packet.source, "10.244.1.2:40000".parse().unwrap());
        assert_eq!(packet.destination, "10.96.0.20:80".parse().unwrap());
        assert_eq!(packet.layer.to_string(), "TCP ACK");
        assert_eq!(packet.payload, b"GET /");
    }

    #[test]
    fn frames_that_are_not_ip_are_no_packets() {
        assert_eq!(Packet::of_frame(&[0; 20]), None);
    }
}
