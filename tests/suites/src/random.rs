// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random packets between few addresses, so that they often belong to each other's flows: whole and in parts,
//! errors about packets that were just sent, odd headers, and damage of every kind.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use dataplane::model::{Detect, Family, FrontendKind, Protocol, TrafficPolicy};

use crate::packet::{Chunk, Packet, sctp, tcp, udp};
use crate::packet_variants::{
    Icmp, atomic, fragments, of_protocol, payload_of, tagged, with_destination_options, with_options,
};
use crate::setup::{At, Names, Setup};

/// A generator that gives the same numbers for the same seed (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// True once in `times`.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.below(from.len() as u64) as usize;
        &from[index]
    }
}

/// Services that share backends, over all protocols and both families, with frontends of all kinds, and endpoints that
/// come and go; now and then few ports, or a node that takes over.
pub fn setup(random: &mut Random) -> Setup {
    let mut setup = Setup::default();
    for family in Family::ALL {
        let n = Names { family };
        for vip in 1..4 {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                let pods: Vec<SocketAddr> = (1..5)
                    .filter(|_| !random.once_in(4))
                    .map(|number| n.pod(number, 80))
                    .collect();
                setup = setup.service(n.vip(vip, 80), protocol, &pods);
                setup = frontends(random, setup, n, vip, protocol);
            }
        }
        if random.once_in(4) {
            setup = setup.owned(n.vip(3, 80).ip());
        }
        if random.once_in(4) {
            setup = setup.policy_drops(n.vip(2, 80), Protocol::Udp);
        }
        setup = surroundings(random, setup, n);
    }
    if random.once_in(3) {
        setup = setup.ports(61_000, 1 + random.below(6) as u16);
    }
    if random.once_in(6) {
        setup = setup.taking_over();
    }
    if random.once_in(8) {
        setup = setup.masquerading_all();
    }
    if random.once_in(8) {
        setup = setup.refusing_external();
    }
    // There is no route here, so that everything goes as it does without.
    if random.once_in(4) {
        setup = setup.with_fast_path();
    }
    setup
}

/// Other ways to a Service than its ClusterIP.
fn frontends(random: &mut Random, setup: Setup, n: Names, number: u8, protocol: Protocol) -> Setup {
    let vip = n.vip(number, 80);
    let any_address = SocketAddr::new(n.family.unspecified(), 30_000 + u16::from(number));
    let mut setup = setup;
    for (kind, at) in [
        (FrontendKind::NodePort, any_address),
        (FrontendKind::LoadBalancer, n.lent(number, 80)),
        (FrontendKind::ExternalIp, n.lent(number + 3, 80)),
    ] {
        let policy = *random.pick(&[TrafficPolicy::Cluster, TrafficPolicy::Local]);
        if !random.once_in(3) {
            setup = setup.frontend(vip, protocol, (kind, at), policy);
        }
    }
    if random.once_in(4) {
        setup = setup.internal_local(vip, protocol);
    }
    if random.once_in(2) {
        setup = setup.affinity(vip, protocol, 10_000);
    }
    if random.once_in(3) {
        let ranges = [
            n.range("0.0.0.0/0", "::/0"),
            n.range("203.0.113.0/24", "2001:db8::/64"),
            n.range("10.244.1.10/32", "fd00:10:244:1::10/128"),
        ];
        setup = setup.source_ranges(vip, protocol, &ranges[random.below(3) as usize..]);
    }
    setup
}

/// The node's addresses, and what it knows of the cluster's.
fn surroundings(random: &mut Random, setup: Setup, n: Names) -> Setup {
    let mut setup = setup.own(n.node(0).ip(), !random.once_in(4));
    if random.once_in(3) {
        setup = setup.own(n.lent(1, 0).ip(), random.once_in(2));
    }
    if random.once_in(2) {
        setup = setup.cluster_ips_from(n.range("10.96.0.0/24", "fd00:10:96::/120"));
    }
    match random.below(4) {
        0 => setup.detect(n.family, Detect::Nobody),
        1 => {
            let range = n.range("10.244.0.0/16", "fd00:10:244::/48");
            setup.detect(n.family, Detect::Range(range))
        }
        _ => setup,
    }
}

/// Makes packets; knows the last ones, so that conversations come about.
#[derive(Default)]
pub struct Traffic {
    seen: VecDeque<Seen>,
    /// The rest of packets in parts, of which the first part went already.
    waiting: VecDeque<(At, Vec<u8>)>,
}

/// A packet as it came to a hook and as it left it.
struct Seen {
    family: Family,
    at: At,
    came: Vec<u8>,
    left: Vec<u8>,
}

/// How many of the last packets others are about.
const MEMORY: usize = 24;

impl Traffic {
    /// A packet at a hook; one in eight is damaged.
    pub fn packet(&mut self, random: &mut Random) -> (At, Vec<u8>) {
        let at = *random.pick(&[
            At::PodIngress,
            At::PodIngress,
            At::UplinkIngress,
            At::UplinkIngress,
            At::PodEgress,
            At::UplinkEgress,
        ]);
        let n = Names {
            family: *random.pick(&Family::ALL),
        };
        let (at, mut bytes) = match random.below(32) {
            0..12 if !self.seen.is_empty() => self.conversation(random),
            12..17 if !self.seen.is_empty() => (at, self.error(random)),
            17 => (at, icmp_or_other(random, n)),
            18..22 => (at, self.part(random, n, at)),
            22..26 if !self.waiting.is_empty() => self.waiting.pop_front().expect("a part"),
            _ => (at, whole(random, n).bytes()),
        };
        if random.once_in(20) {
            without_checksum(&mut bytes);
        }
        if random.once_in(10) {
            bytes = odd_headers(random, &bytes);
        }
        if random.once_in(8) {
            damage(random, &mut bytes);
        }
        if random.once_in(32) {
            let tags = [
                (*random.pick(&[0x8100, 0x88a8]), random.draw() as u16),
                (0x8100, 5),
            ];
            let count = *random.pick(&[1, 2]);
            bytes = tagged(&bytes, &tags[..count]);
        }
        if random.once_in(32) {
            // For another host, or for many.
            let link: &[u8; 6] = random.pick(&[[2, 0, 0, 0, 7, 7], [0xff; 6]]);
            bytes[..6].copy_from_slice(link);
        }
        if random.once_in(128) {
            bytes[12..14].copy_from_slice(&[0x08, 0x06]);
        }
        (at, bytes)
    }

    /// Takes note of a packet that passed a hook. What was rewritten is most worth talking about.
    pub fn saw(&mut self, at: At, came: &[u8], left: &[u8]) {
        let is_whole = |bytes: &[u8]| match (bytes.get(12..14), bytes.get(14).map(|byte| byte >> 4)) {
            (Some([0x08, 0x00]), Some(4)) => bytes[14] & 0xf >= 5 && bytes.len() >= payload_of(bytes),
            (Some([0x86, 0xdd]), Some(6)) => bytes.len() >= payload_of(bytes),
            _ => false,
        };
        if !is_whole(came) || !is_whole(left) {
            return;
        }
        self.seen.push_back(Seen {
            family: if came[12] == 0x08 { Family::V4 } else { Family::V6 },
            at,
            came: came.to_vec(),
            left: left.to_vec(),
        });
        if self.seen.len() > MEMORY {
            self.seen.pop_front();
        }
    }

    fn any(&self, random: &mut Random) -> &Seen {
        &self.seen[random.below(self.seen.len() as u64) as usize]
    }

    /// The same again, or on its way out of the node, or an answer.
    fn conversation(&self, random: &mut Random) -> (At, Vec<u8>) {
        let seen = self.any(random);
        match random.below(4) {
            0 => (seen.at, seen.came.clone()),
            1 => (
                *random.pick(&[At::UplinkEgress, At::PodEgress]),
                seen.left.clone(),
            ),
            _ => {
                let at = match seen.at {
                    At::PodIngress | At::UplinkIngress => *random.pick(&[At::PodEgress, At::UplinkEgress]),
                    At::PodEgress | At::UplinkEgress => *random.pick(&[At::PodIngress, At::UplinkIngress]),
                };
                (at, answer(random, seen))
            }
        }
    }

    /// A part of a packet in parts: mostly the first, and then the others wait their turn.
    fn part(&mut self, random: &mut Random, n: Names, at: At) -> Vec<u8> {
        let packet = whole(random, n).carrying(&[9; 200]).bytes();
        // Few numbers, so that they are used again.
        let id = random.below(3) as u32;
        if n.family == Family::V6 && random.once_in(8) {
            return atomic(&packet, id);
        }
        let size = 8 * *random.pick(&[1, 3, 5, 8, 16]);
        let mut parts = fragments(&packet, id, size);
        if random.once_in(4) {
            let which = random.below(parts.len() as u64) as usize;
            return parts.swap_remove(which);
        }
        let first = parts.remove(0);
        self.waiting
            .extend(parts.into_iter().take(4).map(|part| (at, part)));
        first
    }

    /// An error about one of the last packets, by its receiver or by a router.
    fn error(&self, random: &mut Random) -> Vec<u8> {
        let Seen {
            family, left: about, ..
        } = self.any(random);
        let (src, dst) = ends(*family, about);
        let by = *random.pick(&[dst, dst, Names { family: *family }.router()]);
        let header = payload_of(about) - 14;
        let quote = match random.below(6) {
            0 => header + 8,
            1 => header + random.below(24) as usize,
            2 => random.below(60) as usize,
            _ => 1_200,
        };
        let kind = match random.below(10) {
            0 => Icmp::Redirect,
            1 => Icmp::EchoRequest,
            _ => *random.pick(&Icmp::ERRORS),
        };
        let inner = match random.below(12) {
            0 => odd_headers(random, about),
            _ => about.clone(),
        };
        kind.message(by, src, &inner, quote)
    }
}

fn ends(family: Family, bytes: &[u8]) -> (IpAddr, IpAddr) {
    match family {
        Family::V4 => {
            let addr = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).expect("4 bytes"));
            (addr(26), addr(30))
        }
        Family::V6 => {
            let addr = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).expect("16 bytes"));
            (addr(22), addr(38))
        }
    }
}

/// A packet with its ends exchanged. All checksums are over both ends, and so stay right, until a SYN is made a
/// SYN-ACK.
fn answer(random: &mut Random, seen: &Seen) -> Vec<u8> {
    let mut bytes = seen.left.clone();
    let (src, dst, length) = match seen.family {
        Family::V4 => (26, 30, 4),
        Family::V6 => (22, 38, 16),
    };
    for index in 0..length {
        bytes.swap(src + index, dst + index);
    }
    let l4 = payload_of(&bytes);
    if bytes.len() >= l4 + 4 {
        bytes.swap(l4, l4 + 2);
        bytes.swap(l4 + 1, l4 + 3);
    }
    let protocol = if seen.family == Family::V4 {
        bytes[23]
    } else {
        bytes[20]
    };
    if protocol == 6 && bytes.len() >= l4 + 20 {
        let acknowledgement: u32 = *random.pick(&[1_001, 1_001, 1_001, 1_002, 1_002, 6, 5]);
        bytes[l4 + 8..l4 + 12].copy_from_slice(&acknowledgement.to_be_bytes());
        // SYN-ACK, ACK, FIN-ACK, RST-ACK.
        bytes[l4 + 13] = *random.pick(&[0x12, 0x12, 0x10, 0x11, 0x14]);
    }
    bytes
}

/// Between a client, a VIP and a pod, of any transport.
fn whole(random: &mut Random, n: Names) -> Packet {
    let client_port = *random.pick(&[40_000, 40_000, 40_001, 61_000, 80]);
    let client = *random.pick(&[
        n.client(client_port),
        n.pod(1, client_port),
        n.outside(client_port),
    ]);
    let pod = n.pod(1 + random.below(4) as u8, 80);
    let port = if random.once_in(20) { 81 } else { 80 };
    let vip = n.vip(1 + random.below(4) as u8, port);
    let node = n.node(61_000 + random.below(4) as u16);
    let node_port = n.node(30_000 + random.below(4) as u16);
    let lent = n.lent(1 + random.below(6) as u8, port);
    let (src, dst) = *random.pick(&[
        (client, vip),
        (client, vip),
        (client, vip),
        (client, node_port),
        (client, node_port),
        (client, lent),
        (client, lent),
        (client, pod),
        (pod, client),
        (pod, node),
    ]);
    let packet = match random.below(7) {
        0..2 => udp(src, dst),
        2 => {
            let chunk = *random.pick(&[
                Chunk::Init,
                Chunk::Init,
                Chunk::InitAck,
                Chunk::Data,
                Chunk::Abort,
                Chunk::Shutdown,
                Chunk::ShutdownAck,
                Chunk::ShutdownComplete,
            ]);
            let tag = *random.pick(&[0, 1_000, 70_000]);
            sctp(chunk, (tag, 1_000), src, dst)
        }
        _ => {
            let flags = *random.pick(&["S", "S", "SA", "A", "A", "PA", "FA", "FA", "R", "RA", "SF", ""]);
            // Those of a handshake and of a connection's end, those in reach of them, and those that somebody made up.
            let sequence = *random.pick(&[1_000, 1_000, 1_001, 1_001, 1_002, 1_500, 66_000, 5]);
            let acknowledgement = *random.pick(&[0, 1_001, 1_001, 1_002, 1_500, 70_000]);
            tcp(flags, src, dst).numbers(sequence, acknowledgement)
        }
    };
    if random.once_in(3) {
        // A FIN without data is acknowledged by the next number.
        return packet.carrying(&[]);
    }
    // Also an odd length, and one that fills a checksum with 16 bits of choice.
    let length = random.below(40) as usize;
    let fill = random.draw() as u8;
    packet.carrying(&vec![fill; length])
}

fn icmp_or_other(random: &mut Random, n: Names) -> Vec<u8> {
    let (client, vip, pod) = (
        n.client(1).ip(),
        n.vip(*random.pick(&[1, 1, 2, 4]), 80).ip(),
        n.pod(1, 80).ip(),
    );
    let (src, dst) = *random.pick(&[(client, vip), (client, pod), (pod, client)]);
    match random.below(3) {
        0 => Icmp::EchoRequest.message(src, dst, &[0; 40], 26),
        _ => of_protocol(
            src,
            dst,
            *random.pick(&[1, 58, 6, 17, 132, 47, 89, 253]),
            &[3; 30],
        ),
    }
}

/// A quarter of them twice.
fn odd_headers(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let is_v6 = bytes[12..14] == [0x86, 0xdd];
    let room = |bytes: &[u8]| is_v6 || bytes[14] & 0xf <= 5;
    let mut bytes = bytes.to_vec();
    for _ in 0..*random.pick(&[1, 1, 1, 2, 6]) {
        bytes = match random.below(3) {
            0 if is_v6 => with_destination_options(&bytes, 8 * (1 + random.below(20) as usize)),
            _ if room(&bytes) => with_options(&bytes),
            _ => bytes,
        };
    }
    bytes
}

/// Takes out the checksum of a UDP packet without options.
fn without_checksum(bytes: &mut [u8]) {
    let at = payload_of(bytes);
    let protocol = if at == 34 { bytes[23] } else { bytes[20] };
    if protocol == 17 && bytes.len() >= at + 8 {
        bytes[at + 6..at + 8].fill(0);
    }
}

/// Changes some bytes, or cuts the packet; a test run needs a whole IP header, so not into that.
fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    let header = if bytes[12..14] == [0x86, 0xdd] { 54 } else { 34 };
    for _ in 0..random.below(4) {
        // Mostly the headers, where it matters.
        let bound = match random.below(2) {
            0 => bytes.len() as u64 - 14,
            _ => (bytes.len() as u64 - 14).min(64),
        };
        let place = 14 + random.below(bound) as usize;
        bytes[place] = match random.below(3) {
            0 => bytes[place] ^ (1 << random.below(8)),
            _ => random.draw() as u8,
        };
    }
    if random.once_in(2) {
        let keep = header + random.below(bytes.len() as u64 - header as u64 + 1) as usize;
        bytes.truncate(keep);
    } else if random.once_in(4) {
        // What Ethernet pads a short frame with.
        let longer = bytes.len() + random.below(40) as usize;
        bytes.resize(longer, 0xee);
    }
}
