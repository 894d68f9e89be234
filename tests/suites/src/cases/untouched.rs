// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets that are nobody's Service, and packets that are hardly packets.

use dataplane::model::{Family, Protocol};
use dataplane_common::Outcome;

use super::{Case, Out, Step, passes};
use crate::packet::{tcp, udp};
use crate::setup::{At, Names, Setup};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![not_ours(n), cut_short(n), not_ip(n)]
}

fn setup(n: Names) -> Step {
    Step::Setup(Setup::default().service(n.vip(1, 80), Protocol::Tcp, &[n.pod(1, 80)]))
}

fn raw(at: At, packet: Vec<u8>, outcome: Outcome) -> Step {
    super::raw(at, packet, outcome, Out::Untouched)
}

fn not_ours(n: Names) -> Case {
    let (client, pod) = (n.client(40_000), n.pod(1, 80));
    Case {
        name: "traffic between pods, and to the outside, passes byte for byte [9]",
        steps: vec![
            setup(n),
            passes(At::PodIngress, &tcp("S", client, pod), Outcome::NotOurs),
            passes(At::PodEgress, &tcp("SA", pod, client), Outcome::NotOurs),
            passes(At::PodIngress, &udp(client, n.outside(53)), Outcome::NotOurs),
            passes(
                At::UplinkIngress,
                &tcp("PA", n.outside(443), client),
                Outcome::NotOurs,
            ),
            passes(
                At::UplinkIngress,
                &tcp("S", n.outside(40_000), n.node(22)),
                Outcome::NotOurs,
            ),
            Step::Flows(0),
        ],
    }
}

fn cut_short(n: Names) -> Case {
    let packet = tcp("S", n.client(40_000), n.vip(1, 80)).bytes();
    let (l4, wrong_version) = match n.family {
        Family::V4 => (34, 0x65),
        Family::V6 => (54, 0x40),
    };
    let mut versions = packet.clone();
    versions[14] = wrong_version;
    let mut steps = vec![setup(n), raw(At::PodIngress, versions, Outcome::Malformed)];
    // A test run takes no packet without a whole IP header: those are the properties' (any_bytes).
    for length in [l4, l4 + 4, l4 + 19] {
        steps.push(raw(At::PodIngress, packet[..length].to_vec(), Outcome::Malformed));
    }
    if n.family == Family::V4 {
        let mut short_header = packet.clone();
        short_header[14] = 0x44;
        steps.push(raw(At::PodIngress, short_header, Outcome::Malformed));
        let mut long_header = packet;
        long_header[14] = 0x4f;
        steps.push(raw(At::PodIngress, long_header, Outcome::Malformed));
    }
    Case {
        name: "a truncated or inconsistent packet is left to the stack [64]",
        steps,
    }
}

fn not_ip(n: Names) -> Case {
    let mut arp = tcp("S", n.client(40_000), n.vip(1, 80)).bytes();
    (arp[12], arp[13]) = (0x08, 0x06);
    Case {
        name: "packets that are not IP pass",
        steps: vec![setup(n), raw(At::PodIngress, arp, Outcome::NotIp)],
    }
}
