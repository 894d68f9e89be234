// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random packets of a small world, so that they meet each other's flows often.

use std::net::SocketAddr;

use dataplane::model::{Family, Protocol};

use crate::packet::{Packet, tcp, udp};
use crate::world::{At, Names, World};

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

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.below(from.len() as u64) as usize;
        &from[index]
    }
}

/// Services that share backends, over both protocols and families, and endpoints that come and go.
pub fn world(random: &mut Random) -> World {
    let mut world = World::default();
    for family in Family::ALL {
        let n = Names { family };
        for vip in 1..4 {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let pods: Vec<SocketAddr> = (1..5)
                    .filter(|_| random.below(4) > 0)
                    .map(|number| n.pod(number, 80))
                    .collect();
                world = world.service(n.vip(vip, 80), protocol, &pods);
            }
        }
    }
    world
}

/// A packet at a hook; one in eight is damaged.
pub fn packet(random: &mut Random) -> (At, Vec<u8>) {
    let n = Names {
        family: *random.pick(&Family::ALL),
    };
    let at = *random.pick(&[
        At::PodIngress,
        At::PodIngress,
        At::PodEgress,
        At::UplinkIngress,
        At::UplinkEgress,
    ]);
    let client_port = 40_000 + random.below(4) as u16;
    let client = *random.pick(&[
        n.client(client_port),
        n.pod(1, client_port),
        n.outside(client_port),
    ]);
    let pod = n.pod(1 + random.below(4) as u8, 80);
    let vip = n.vip(1 + random.below(3) as u8, 80);
    let (src, dst) = *random.pick(&[
        (client, vip),
        (client, vip),
        (client, pod),
        (pod, client),
        (pod, n.node(client_port)),
    ]);
    let mut packet: Packet = match random.below(3) {
        0 => udp(src, dst),
        _ => {
            let flags = *random.pick(&["S", "SA", "A", "PA", "FA", "R", "RA", ""]);
            tcp(flags, src, dst).numbers(1_000, *random.pick(&[0, 1_001, 1_002, 70_000]))
        }
    };
    packet.payload = vec![7; 2 * random.below(20) as usize];
    let mut bytes = packet.bytes();
    if random.below(8) == 0 {
        damage(random, &mut bytes);
    }
    (at, bytes)
}

/// Changes some bytes, or cuts the packet; a test run needs a whole IP header, so not into that.
fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..random.below(3) {
        let place = 14 + random.below(bytes.len() as u64 - 14) as usize;
        bytes[place] = random.draw() as u8;
    }
    if random.below(2) == 0 {
        let keep = 54 + random.below(bytes.len() as u64) as usize;
        bytes.truncate(keep);
    }
}
