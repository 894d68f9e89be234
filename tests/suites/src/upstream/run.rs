// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends the packets of a table through a datapath.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use dataplane::model::Protocol;
use dataplane_common::{Outcome, Verdict};
use etherparse::{NetHeaders, PacketHeaders, TransportHeader};

use super::{From, Gives, Row, Table};
use crate::cases::Datapath;
use crate::packet::{Chunk, Packet, sctp, tcp, udp};
use crate::setup::At;

/// Enough connections that each of two endpoints gets one: all go to one of them once in 2^47 runs.
pub(super) const CONNECTIONS: u16 = 48;

/// Asserts every row of a table that is a packet, on an empty datapath.
///
/// What the node's own processes send is served at their sockets: [`check_calls`](super::check_calls).
pub fn check(table: &Table, datapath: &mut dyn Datapath) {
    datapath.set(&table.cluster.setup());
    for (number, row) in table.rows.iter().enumerate() {
        // No two rows have a connection in common.
        let port = 20_000 + number as u16 * CONNECTIONS;
        let at = match row.from {
            From::Pod => At::PodIngress,
            From::Outside => At::UplinkIngress,
            From::Node => continue,
        };
        row.check(table, datapath, at, port);
    }
}

impl Row {
    fn check(&self, table: &Table, datapath: &mut dyn Datapath, at: At, port: u16) {
        let context = format!("{}: {}", table.name, self.name);
        let one = |datapath: &mut dyn Datapath| datapath.run(at, &self.packet(port).bytes());
        match &self.gives {
            Gives::Reject => {
                let (outcome, bytes) = one(datapath);
                assert!(
                    matches!(
                        outcome,
                        Outcome::RejectedNoEndpoint | Outcome::RejectedUnknownPort
                    ),
                    "{context}: {outcome:?}"
                );
                assert_eq!(
                    bytes,
                    self.packet(port).unreachable(),
                    "{context}: port unreachable, from the destination"
                );
            }
            Gives::Drop => {
                let (mut outcome, bytes) = one(datapath);
                if outcome.verdict() == Verdict::Next {
                    // What no Service has is known only where it leaves the node.
                    (outcome, _) = datapath.run(At::UplinkEgress, &bytes);
                }
                assert_eq!(outcome.verdict(), Verdict::Drop, "{context}: {outcome:?}");
            }
            Gives::Nothing => {
                let (outcome, bytes) = one(datapath);
                assert_eq!(outcome.verdict(), Verdict::Next, "{context}: {outcome:?}");
                assert_eq!(bytes, self.packet(port).bytes(), "{context}: untouched");
            }
            Gives::Endpoints(endpoints, masquerade) => {
                let mut reached = BTreeSet::new();
                for port in port..port + CONNECTIONS {
                    let (outcome, bytes) = datapath.run(at, &self.packet(port).bytes());
                    assert_eq!(outcome.verdict(), Verdict::Next, "{context}: {outcome:?}");
                    let endpoint = destination(&bytes);
                    reached.insert(endpoint);
                    let (outcome, _) = datapath.run(At::UplinkEgress, &bytes);
                    let masqueraded = outcome == Outcome::Masqueraded;
                    let wanted = self.is_masqueraded(*masquerade, endpoint, &table.cluster);
                    assert_eq!(
                        masqueraded, wanted,
                        "{context}: masqueraded to {endpoint} ({outcome:?})"
                    );
                }
                let wanted: BTreeSet<_> = endpoints.iter().copied().collect();
                assert_eq!(reached, wanted, "{context}");
            }
        }
    }

    /// The first packet of a connection.
    fn packet(&self, port: u16) -> Packet {
        let source = SocketAddr::new(self.source, port);
        match self.protocol {
            Protocol::Tcp => tcp("S", source, self.to),
            Protocol::Udp => udp(source, self.to),
            // SCTP keeps its ports: what comes from another would be another association.
            Protocol::Sctp => sctp(Chunk::Init, (0, 7), source, self.to),
        }
    }
}

/// Where a packet goes.
fn destination(frame: &[u8]) -> SocketAddr {
    let headers = PacketHeaders::from_ethernet_slice(frame).expect("a packet");
    let addr = match headers.net.expect("an IP header") {
        NetHeaders::Ipv4(header, _) => header.destination.into(),
        NetHeaders::Ipv6(header, _) => header.destination.into(),
        NetHeaders::Arp(_) => panic!("an ARP packet"),
    };
    let port = match headers.transport {
        Some(TransportHeader::Tcp(header)) => header.destination_port,
        Some(TransportHeader::Udp(header)) => header.destination_port,
        // SCTP, which etherparse does not read: the second two bytes of its header.
        _ => match headers.payload.slice() {
            [_, _, high, low, ..] => u16::from_be_bytes([*high, *low]),
            _ => panic!("no ports"),
        },
    };
    SocketAddr::new(addr, port)
}
