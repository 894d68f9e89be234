// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must hold for any packet and any history, on the host build of the decisions.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dataplane::model::{Family, Protocol};
use dataplane_common::{Outcome, Verdict};
use etherparse::SlicedPacket;
use proptest::prelude::*;
use suites::cases::Datapath as _;
use suites::host::Host;
use suites::packet::{Packet, describe, is_sound, tcp, udp};
use suites::random::{Random, Traffic, setup as random_world};
use suites::setup::{At, Names, Setup};

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn hook() -> impl Strategy<Value = At> {
    prop_oneof![
        Just(At::PodIngress),
        Just(At::PodEgress),
        Just(At::UplinkIngress),
        Just(At::UplinkEgress)
    ]
}

/// Two Services that share backends, over both protocols.
fn setup(n: Names) -> Setup {
    let pods: Vec<SocketAddr> = (1..4).map(|number| n.pod(number, 80)).collect();
    Setup::default()
        .service(n.vip(1, 80), Protocol::Tcp, &pods)
        .service(n.vip(2, 80), Protocol::Tcp, &pods)
        .service(n.vip(1, 80), Protocol::Udp, &pods)
        .service(n.vip(2, 80), Protocol::Udp, &pods)
}

/// The ends of an Ethernet frame with TCP or UDP in it; `None` if a checksum in it is wrong.
fn sound_ends(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let packet = SlicedPacket::from_ethernet(bytes).ok()?;
    let (src, dst, good): (std::net::IpAddr, std::net::IpAddr, bool) = match packet.net.as_ref()? {
        etherparse::NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            let good = header.header_checksum == header.calc_header_checksum();
            (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
                good,
            )
        }
        etherparse::NetSlice::Ipv6(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
            true,
        ),
        _ => return None,
    };
    let transport = packet.transport?;
    let (sport, dport, sum, calculated) = match &transport {
        etherparse::TransportSlice::Udp(slice) => {
            let header = slice.to_header();
            let calculated = match (src, dst) {
                (std::net::IpAddr::V4(src), std::net::IpAddr::V4(dst)) => {
                    header.calc_checksum_ipv4_raw(src.octets(), dst.octets(), slice.payload())
                }
                (std::net::IpAddr::V6(src), std::net::IpAddr::V6(dst)) => {
                    header.calc_checksum_ipv6_raw(src.octets(), dst.octets(), slice.payload())
                }
                _ => return None,
            };
            (
                header.source_port,
                header.destination_port,
                header.checksum,
                calculated.ok()?,
            )
        }
        etherparse::TransportSlice::Tcp(slice) => {
            let header = slice.to_header();
            let calculated = match (src, dst) {
                (std::net::IpAddr::V4(src), std::net::IpAddr::V4(dst)) => {
                    header.calc_checksum_ipv4_raw(src.octets(), dst.octets(), slice.payload())
                }
                (std::net::IpAddr::V6(src), std::net::IpAddr::V6(dst)) => {
                    header.calc_checksum_ipv6_raw(src.octets(), dst.octets(), slice.payload())
                }
                _ => return None,
            };
            (
                header.source_port,
                header.destination_port,
                header.checksum,
                calculated.ok()?,
            )
        }
        _ => return None,
    };
    (good && sum == calculated).then(|| (SocketAddr::new(src, sport), SocketAddr::new(dst, dport)))
}

/// The kernel tier compares a million of these with the kernel; here each must come out sound.
#[test]
fn random_packets_stay_valid_or_unchanged() {
    for seed in 0..200 {
        let (mut random, mut traffic, mut host) = (Random(seed), Traffic::default(), Host::default());
        host.set(&random_world(&mut random));
        for number in 0..250 {
            let (at, packet) = traffic.packet(&mut random);
            let (outcome, out) = host.run(at, &packet);
            let context = || {
                format!(
                    "seed {seed}, packet {number} at {at:?}: {}\n{outcome:?}: {}",
                    describe(&packet),
                    describe(&out)
                )
            };
            let is_tagged = matches!(packet[12..14], [0x81, 0x00] | [0x88, 0xa8]);
            let passes = outcome.verdict() == Verdict::Next;
            if passes && !is_tagged {
                assert_eq!(out.len(), packet.len(), "{}", context());
                assert!(is_sound(&out) || !is_sound(&packet), "{}", context());
                let is_left = matches!(
                    outcome,
                    Outcome::NotOurs
                        | Outcome::NotIp
                        | Outcome::Malformed
                        | Outcome::OwnAddress
                        | Outcome::TakenOver
                );
                assert!(!is_left || out == packet, "{}", context());
            }
            if outcome.verdict() == Verdict::Answer && !is_tagged {
                assert!(is_sound(&out), "{}", context());
            }
            if passes {
                traffic.saw(at, &packet, &out);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Move {
    /// A client's packet to a VIP.
    ToVip {
        vip: u8,
        port: u16,
        syn: bool,
    },
    /// A client's packet to a pod, past the Services.
    Direct {
        pod: u8,
        port: u16,
    },
    Wait(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let ports = 40_000_u16..40_003;
    let one = prop_oneof![
        6 => (1_u8..3, ports.clone(), any::<bool>()).prop_map(|(vip, port, syn)| Move::ToVip { vip, port, syn }),
        2 => (1_u8..4, ports).prop_map(|(pod, port)| Move::Direct { pod, port }),
        1 => (1_u64..20).prop_map(Move::Wait),
    ];
    prop::collection::vec(one, 1..60)
}

proptest! {
    #[test]
    fn any_bytes_at_any_hook_get_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..120), at in hook(), of in family()) {
        let mut host = Host::default();
        host.set(&setup(Names { family: of }));
        let (outcome, out) = host.run(at, &bytes);
        prop_assert!(outcome.verdict() != Verdict::Next || out == bytes || outcome != Outcome::NotOurs);
    }

    #[test]
    fn a_damaged_packet_is_never_longer_afterwards_or_half_rewritten(
        of in family(), at in hook(), cut in 0_usize..100, at_byte in 0_usize..100, with in any::<u8>(), is_tcp in any::<bool>(),
    ) {
        let n = Names { family: of };
        let packet = if is_tcp { tcp("S", n.client(1), n.vip(1, 80)) } else { udp(n.client(1), n.vip(1, 80)) };
        let mut bytes = packet.bytes();
        // Behind the Ethernet header: a type that became a VLAN tag's would be kept beside the frame, and not be shown.
        let length = bytes.len() - 14;
        bytes[14 + at_byte % length] = with;
        bytes.truncate(cut.max(1));
        let mut host = Host::default();
        host.set(&setup(n));
        let (outcome, out) = host.run(at, &bytes);
        if outcome.verdict() == Verdict::Next {
            prop_assert_eq!(out.len(), bytes.len());
        }
        if matches!(outcome, Outcome::NotOurs | Outcome::NotIp | Outcome::Malformed) {
            prop_assert_eq!(out, bytes);
        }
    }

    #[test]
    fn translating_there_and_back_gives_the_original_packet(of in family(), port in 1_u16.., payload in prop::collection::vec(any::<u8>(), 0..64), is_tcp in any::<bool>()) {
        let n = Names { family: of };
        let (client, vip) = (n.client(port), n.vip(1, 80));
        let mut request = if is_tcp { tcp("S", client, vip) } else { udp(client, vip) };
        request.payload = payload;
        let mut host = Host::default();
        host.set(&setup(n));
        let (_, sent) = host.run(At::PodIngress, &request.bytes());
        let (from, to) = sound_ends(&sent).expect("a sound packet to a backend");
        prop_assert!((1..4).any(|number| to == n.pod(number, 80)), "{}", describe(&sent));
        let reply = if is_tcp { tcp("SA", to, from).numbers(7, 1_001) } else { udp(to, from) };
        let (outcome, back) = host.run(At::PodEgress, &reply.bytes());
        prop_assert_eq!(outcome, Outcome::Translated);
        prop_assert_eq!(sound_ends(&back), Some((vip, client)));
    }

    /// Against the plainest model: what a client sent to one VIP from one port goes to one backend,
    /// and no two live flows look alike to a backend.
    #[test]
    fn flows_keep_their_backend_and_never_share_a_tuple(of in family(), moves in moves(), is_tcp in any::<bool>()) {
        let n = Names { family: of };
        let mut host = Host::default();
        host.set(&setup(n));
        let mut known: BTreeMap<(SocketAddr, SocketAddr), (SocketAddr, SocketAddr)> = BTreeMap::new();
        let mut waited = 0;
        for step in moves {
            let (src, dst, syn) = match step {
                Move::Wait(seconds) => {
                    waited += seconds;
                    host.age(seconds);
                    continue;
                }
                Move::ToVip { vip, port, syn } => (n.client(port), n.vip(vip, 80), syn),
                Move::Direct { pod, port } => (n.client(port), n.pod(pod, 80), true),
            };
            // Within the shortest life of a flow (UDP without an answer, 30 s) nothing is forgotten.
            if waited > 25 {
                break;
            }
            let packet: Packet = match (is_tcp, syn) {
                (true, true) => tcp("S", src, dst),
                (true, false) => tcp("A", src, dst).numbers(1_001, 1),
                (false, _) => udp(src, dst),
            };
            let (outcome, out) = host.run(At::PodIngress, &packet.bytes());
            if outcome.verdict() != Verdict::Next {
                continue;
            }
            let ends = sound_ends(&out).expect("a sound packet");
            let before = known.insert((src, dst), ends);
            let is_vip = (1..3).any(|vip| dst == n.vip(vip, 80));
            if is_vip && let Some(before) = before {
                prop_assert_eq!(before.1, ends.1, "another backend for {} -> {}", src, dst);
            }
            // A direct flow that was there unseen keeps its tuple until a Service flow's answers
            // tell of it: so only Service flows, and direct ones that were moved, are compared.
            let others = known.iter().filter(|((s, d), _)| (*s, *d) != (src, dst));
            for ((s, d), other) in others {
                let other_is_vip = (1..3).any(|vip| *d == n.vip(vip, 80));
                if is_vip && other_is_vip {
                    prop_assert_ne!(*other, ends, "{} -> {} looks like {} -> {}", src, dst, s, d);
                }
            }
        }
    }

    #[test]
    fn every_backend_gets_its_share_of_new_flows(of in family(), backends in 2_u8..20) {
        let n = Names { family: of };
        let pods: Vec<SocketAddr> = (1..=backends).map(|number| n.pod(number, 80)).collect();
        let mut host = Host::default();
        host.set(&Setup::default().service(n.vip(1, 80), Protocol::Udp, &pods));
        let mut counts: BTreeMap<SocketAddr, u32> = BTreeMap::new();
        for port in 10_000..10_000 + u16::from(backends) * 100 {
            let (_, out) = host.run(At::PodIngress, &udp(n.client(port), n.vip(1, 80)).bytes());
            *counts.entry(sound_ends(&out).expect("a sound packet").1).or_default() += 1;
        }
        prop_assert_eq!(counts.len(), usize::from(backends));
        for (backend, count) in counts {
            prop_assert!((50..=150).contains(&count), "{} of a fair share of 100 to {}", count, backend);
        }
    }
}
