// SPDX-License-Identifier: MIT OR Apache-2.0
//! What may stand before and between a packet's headers: VLAN tags, IP options, extension headers.

use dataplane::model::{Family, Protocol};
use dataplane_common::Outcome;

use super::{Case, Out, Step, raw};
use crate::packet::{Packet, tcp, udp};
use crate::packet_variants::{Shape, empty, tagged, with_destination_options, with_options};
use crate::setup::{At, Names, Setup};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![
        options(n),
        too_many_extensions(n),
        without_checksum(n),
        checksum_of_zero(n),
        vlan(n),
        vlan_refused(n),
        vlan_of_others(n),
    ]
}

const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;

fn options(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 8080));
    let mut steps = vec![Step::Setup(
        Setup::default()
            .service(vip, Protocol::Tcp, &[pod])
            .service(vip, Protocol::Udp, &[pod]),
    )];
    let mut shapes: Vec<Shape> = vec![with_options];
    if n.family == Family::V6 {
        shapes.push(|frame| with_destination_options(frame, 8));
        shapes.push(|frame| with_destination_options(frame, 2048));
        shapes.push(|frame| with_options(&with_destination_options(&with_options(frame), 16)));
    }
    for (number, shape) in shapes.into_iter().enumerate() {
        let client = n.client(client.port() + number as u16);
        for packet in [tcp("S", client, vip), udp(client, vip)] {
            let answer = match packet.transport {
                crate::packet::Transport::Udp => udp(pod, client),
                _ => tcp("SA", pod, client).numbers(1, 1_001),
            };
            let turned = |packet: &Packet, src, dst| shape(&packet.between(src, dst).bytes());
            steps.push(raw(
                At::PodIngress,
                shape(&packet.bytes()),
                Outcome::NewFlow,
                Out::Packet(turned(&packet, client, pod)),
            ));
            steps.push(raw(
                At::PodEgress,
                shape(&answer.bytes()),
                Outcome::Translated,
                Out::Packet(turned(&answer, vip, client)),
            ));
        }
    }
    Case {
        name: "IP options and extension headers are skipped [63]",
        steps,
    }
}

fn too_many_extensions(n: Names) -> Case {
    if n.family == Family::V4 {
        return Case {
            name: "IPv4 has no extension headers",
            steps: Vec::new(),
        };
    }
    let packet = udp(n.client(1), n.vip(1, 80)).bytes();
    let deep = |count: usize| (0..count).fold(packet.clone(), |frame, _| with_destination_options(&frame, 8));
    let mut cut = with_destination_options(&packet, 16);
    cut.truncate(14 + 40 + 7);
    cut[18..20].copy_from_slice(&7_u16.to_be_bytes());
    Case {
        name: "the number of extension headers that are skipped is limited [63, 64]",
        steps: vec![
            Step::Setup(Setup::default().service(n.vip(1, 80), Protocol::Udp, &[])),
            raw(At::PodIngress, deep(6), Outcome::Malformed, Out::Untouched),
            raw(At::PodIngress, deep(40), Outcome::Malformed, Out::Untouched),
            raw(At::PodIngress, cut, Outcome::Malformed, Out::Untouched),
        ],
    }
}

/// Bytes before the UDP checksum.
fn checksum_at(n: Names) -> usize {
    match n.family {
        Family::V4 => 14 + 20 + 6,
        Family::V6 => 14 + 40 + 6,
    }
}

fn without_checksum(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 8080));
    let without = |packet: Packet| {
        let mut bytes = packet.bytes();
        bytes[checksum_at(n)..][..2].fill(0);
        bytes
    };
    Case {
        name: "UDP without a checksum stays without one [66]",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Udp, &[pod])),
            raw(
                At::PodIngress,
                without(udp(client, vip)),
                Outcome::NewFlow,
                Out::Packet(without(udp(client, pod))),
            ),
            raw(
                At::PodEgress,
                without(udp(pod, client)),
                Outcome::Translated,
                Out::Packet(without(udp(vip, client))),
            ),
        ],
    }
}

/// A payload with which the translated packet sums up to zero, which is written as 0xffff.
fn checksum_of_zero(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 8080));
    let at = checksum_at(n);
    let plain = udp(client, pod).carrying(&[0, 0]).bytes();
    let payload = [plain[at], plain[at + 1]];
    let sent = udp(client, vip).carrying(&payload);
    let wanted = sent.between(client, pod).bytes();
    assert_eq!(wanted[at..at + 2], [0xff, 0xff], "a sum of zero");
    Case {
        name: "a UDP checksum that comes out as zero is written as 0xffff (RFC 768)",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Udp, &[pod])),
            raw(
                At::PodIngress,
                sent.bytes(),
                Outcome::NewFlow,
                Out::Packet(wanted),
            ),
        ],
    }
}

fn vlan(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 8080));
    let mut steps = vec![Step::Setup(Setup::default().service(vip, Protocol::Tcp, &[pod]))];
    let (sent, answer) = (tcp("S", client, vip), tcp("SA", pod, client).numbers(1, 1_001));
    let (out, back) = (sent.between(client, pod), answer.between(vip, client));
    let mut first = Outcome::NewFlow;
    // The outermost tag comes out beside the frame, where a test run does not show it.
    for tags in [
        &[(VLAN, 0x2064)][..],
        &[(SERVICE_VLAN, 7)],
        &[(SERVICE_VLAN, 7), (VLAN, 100)],
        &[(VLAN, 7), (VLAN, 0xffff)],
    ] {
        let inner = &tags[1..];
        for (at, packet, wanted) in [(At::PodIngress, &sent, &out), (At::PodEgress, &answer, &back)] {
            let outcome = std::mem::replace(&mut first, Outcome::Translated);
            steps.push(raw(
                at,
                tagged(&packet.bytes(), tags),
                outcome,
                Out::Packet(tagged(&wanted.bytes(), inner)),
            ));
        }
    }
    Case {
        name: "a packet behind one or two VLAN tags is translated, and the tags are kept [67]",
        steps,
    }
}

fn vlan_refused(n: Names) -> Case {
    let (client, vip) = (n.client(40_000), n.vip(1, 80));
    let packet = udp(client, vip);
    let tags = [(SERVICE_VLAN, 7), (VLAN, 100)];
    Case {
        name: "an answer goes back into the VLAN that the packet came from",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Udp, &[])),
            raw(
                At::PodIngress,
                tagged(&packet.bytes(), &tags),
                Outcome::RejectedNoEndpoint,
                Out::Packet(tagged(&packet.unreachable(), &tags[1..])),
            ),
        ],
    }
}

fn vlan_of_others(n: Names) -> Case {
    let packet = udp(n.client(40_000), n.pod(1, 53)).bytes();
    let three = [(SERVICE_VLAN, 1), (VLAN, 2), (VLAN, 3)];
    let arp = empty(0x0806);
    Case {
        name: "a tagged frame that is not ours passes with its tags",
        steps: vec![
            Step::Setup(Setup::default().service(n.vip(1, 53), Protocol::Udp, &[n.pod(1, 53)])),
            raw(
                At::PodIngress,
                tagged(&packet, &three[..2]),
                Outcome::NotOurs,
                Out::Packet(tagged(&packet, &three[1..2])),
            ),
            raw(
                At::PodIngress,
                tagged(&packet, &three),
                Outcome::NotIp,
                Out::Packet(tagged(&packet, &three[1..])),
            ),
            raw(
                At::PodEgress,
                tagged(&arp, &three[..1]),
                Outcome::NotIp,
                Out::Packet(arp.clone()),
            ),
        ],
    }
}
