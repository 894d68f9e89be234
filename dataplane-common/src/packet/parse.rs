// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Reading a packet's headers.

use crate::packet::Packet;
use crate::packet::headers::{Headers, Parsed, Segment};
use crate::packet::ip::Ip;
use crate::value::hook::Hook;
use crate::value::protocol::Protocol;
use crate::value::wire::{Ports, Wire};

#[repr(C)]
#[derive(Clone, Copy)]
struct TcpHeader {
    ports: Ports,
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
    ports: Ports,
    length: [u8; 2],
    checksum: [u8; 2],
}
// SAFETY: bytes without padding: the sizes add up.
unsafe impl Wire for UdpHeader {}
const _: () = assert!(size_of::<UdpHeader>() == 8);

impl<F: Ip> Headers<F> {
    /// Reads the headers of a packet at `hook`.
    #[inline(always)]
    pub(crate) fn parse<P: Packet>(&mut self, packet: &P, hook: Hook) -> Parsed {
        *self = Self::new(hook);
        match F::parse(packet, self) {
            Parsed::Whole => {}
            other => return other,
        }
        let read = match self.protocol() {
            Protocol::TCP => self.tcp(packet),
            Protocol::UDP => self.udp(packet),
            Protocol::SCTP => return self.sctp(packet),
            _ => return Parsed::OtherProtocol,
        };
        match read {
            Some(length) if self.layout.l4 + length <= self.layout.end => Parsed::Whole,
            _ => Parsed::Malformed,
        }
    }

    #[inline(always)]
    fn tcp<P: Packet>(&mut self, packet: &P) -> Option<usize> {
        let header: TcpHeader = self.transport(packet)?;
        self.key.ports = header.ports;
        self.segment = Segment {
            flags: header.flags,
            data_offset: header.data_offset,
            sequence: u32::from_be_bytes(header.sequence),
            acknowledgement: u32::from_be_bytes(header.acknowledgement),
        };
        Some(size_of::<TcpHeader>())
    }

    #[inline(always)]
    fn udp<P: Packet>(&mut self, packet: &P) -> Option<usize> {
        let header: UdpHeader = self.transport(packet)?;
        self.key.ports = header.ports;
        self.unsummed = header.checksum == [0, 0];
        Some(size_of::<UdpHeader>())
    }
}
