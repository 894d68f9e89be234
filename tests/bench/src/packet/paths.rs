// SPDX-License-Identifier: MIT OR Apache-2.0
//! The paths a packet can take through the programs.

use std::net::SocketAddr;

use dataplane::model::{Family, Protocol};
use dataplane_common::Outcome;
use suites::packet::{tcp, udp};
use suites::setup::At;

use super::maps::{CLIENT_PORT, Filled, NOBODY, backend, client, expect_masquerade, place, vip};

/// How often a path can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Again and again, by the same packet.
    Again,
    /// Once for each packet.
    Once,
}

impl Pace {
    pub(super) const ALL: [Self; 2] = [Self::Again, Self::Once];
    /// Runs of one packet whose mean is one sample.
    pub(super) const RUNS: u32 = 500_000;
    /// Packets whose median is one sample. Fewer than the answers a CPU gives in one go.
    pub(super) const PACKETS: u32 = 500;

    /// What the empty program's row is called.
    pub(super) fn empty(self) -> &'static str {
        match self {
            Self::Again => "empty program",
            Self::Once => "empty program, each packet once",
        }
    }
}

/// One path.
pub(super) struct PacketPath {
    pub(super) name: String,
    pub(super) family: Family,
    pub(super) protocol: Protocol,
    pub(super) at: At,
    pub(super) pace: Pace,
    pub(super) outcome: Outcome,
    /// The packet with this number of this turn.
    pub(super) packet: fn(Family, u32, usize) -> Vec<u8>,
    /// What has to be in the maps first, in each turn anew.
    pub(super) prepare: fn(&mut Filled, Family, usize) -> anyhow::Result<()>,
}

/// All of them.
pub(super) fn all() -> Vec<PacketPath> {
    let mut paths = Vec::new();
    for family in Family::ALL {
        let again = |name: &str, protocol, at, outcome, packet| PacketPath {
            name: format!("{name}, {protocol} {family}"),
            family,
            protocol,
            at,
            pace: Pace::Again,
            outcome,
            packet,
            prepare: |_, _, _| Ok(()),
        };
        let once = |name: &str, protocol, at, outcome, packet| PacketPath {
            pace: Pace::Once,
            ..again(name, protocol, at, outcome, packet)
        };
        use At::{PodEgress, PodIngress, UplinkEgress};
        use Outcome::{Masqueraded, NewFlow, NotOurs, RejectedNoEndpoint, Translated};
        use Protocol::{Tcp, Udp};
        paths.extend([
            again("not ours, ingress", Tcp, PodIngress, NotOurs, |family, _, _| {
                tcp("A", client(family, 1), elsewhere(family)).bytes()
            }),
            again("not ours, ingress", Udp, PodIngress, NotOurs, |family, _, _| {
                udp(client(family, 1), elsewhere(family)).bytes()
            }),
            again("not ours, egress", Tcp, PodEgress, NotOurs, |family, _, _| {
                tcp("A", elsewhere(family), client(family, 1)).bytes()
            }),
            again(
                "established, ingress",
                Tcp,
                PodIngress,
                Translated,
                |family, _, _| tcp("A", client(family, CLIENT_PORT), place(family, 0)).bytes(),
            ),
            again(
                "established, egress",
                Tcp,
                PodEgress,
                Translated,
                |family, _, _| tcp("A", place(family, 0), client(family, CLIENT_PORT)).bytes(),
            ),
            again(
                "established, ingress",
                Udp,
                PodIngress,
                Translated,
                |family, _, _| udp(client(family, CLIENT_PORT), backend(family, 0, 0)).bytes(),
            ),
            again(
                "established, egress",
                Udp,
                PodEgress,
                Translated,
                |family, _, _| udp(backend(family, 0, 0), client(family, CLIENT_PORT)).bytes(),
            ),
            once("new flow", Tcp, PodIngress, NewFlow, |family, number, turn| {
                tcp("S", fresh(family, number, turn), vip(family, 0)).bytes()
            }),
            once("new flow", Udp, PodIngress, NewFlow, |family, number, turn| {
                udp(fresh(family, number, turn), vip(family, 0)).bytes()
            }),
            PacketPath {
                prepare: |filled, family, turn| {
                    let packets = (0..Pace::PACKETS).map(|number| leaving(family, number, turn));
                    match family {
                        Family::V4 => expect_masquerade(&mut filled.kernel.tables().v4, packets),
                        Family::V6 => expect_masquerade(&mut filled.kernel.tables().v6, packets),
                    }
                },
                ..once(
                    "masquerade, first packet",
                    Udp,
                    UplinkEgress,
                    Masqueraded,
                    |family, number, turn| {
                        let (src, dst) = leaving(family, number, turn);
                        udp(src, dst).bytes()
                    },
                )
            },
            once(
                "no endpoint: refused",
                Tcp,
                PodIngress,
                RejectedNoEndpoint,
                |family, number, turn| tcp("S", fresh(family, number, turn), vip(family, NOBODY)).bytes(),
            ),
        ]);
    }
    paths
}

fn elsewhere(family: Family) -> SocketAddr {
    place(family, 0xf_ffff)
}

/// A client that has not been there before: a port for each packet, an address for each turn.
fn fresh(family: Family, number: u32, turn: usize) -> SocketAddr {
    let mut at = client(family, 10_000 + number as u16);
    at.set_ip(place(family, 0x10_0000 + turn as u32).ip());
    at
}

/// A packet as it leaves the node to a backend elsewhere.
fn leaving(family: Family, number: u32, turn: usize) -> (SocketAddr, SocketAddr) {
    (
        fresh(family, number, turn),
        place(family, 0x20_0000 + turn as u32),
    )
}
