// SPDX-License-Identifier: MIT OR Apache-2.0
//! What may stand before and between a packet's headers: VLAN tags, IP options, extension headers.

use dataplane::model::{Family, Protocol};
use dataplane_common::Outcome;

use super::{Case, Out, Step, raw};
use crate::packet::{Packet, tcp, udp};
use crate::packet_variants::{Shape, tagged, with_destination_options, with_options};
use crate::setup::{At, Names, Setup};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![
        options(n),
        too_many_extensions(n),
        without_checksum(n),
        checksum_of_zero(n),
        without_checksum_to_another_port(n),
        vlan(n),
        for_another_host(n),
        for_the_bridge(n),
        shorter_than_its_header(n),
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
    let setup = Setup::default().service(vip, Protocol::Udp, &[pod]);
    let mut steps = Vec::new();
    for setup in [setup.clone(), setup.bridged()] {
        steps.push(Step::Setup(setup));
        for tags in [&[(VLAN, 100)][..], &[(SERVICE_VLAN, 7), (VLAN, 100)]] {
            for at in [At::PodIngress, At::UplinkIngress, At::PodEgress, At::UplinkEgress] {
                for packet in [udp(client, vip), udp(pod, client)] {
                    let frame = tagged(&packet.bytes(), tags);
                    steps.push(raw(at, frame, Outcome::NotForDevice, Out::Untouched));
                }
            }
        }
    }
    steps.push(Step::Flows(0));
    Case {
        name: "a frame with a VLAN tag is the VLAN device's [67]",
        steps,
    }
}

/// Another host's link-layer address, and a group's.
const ANOTHER: [u8; 6] = [2, 0, 0, 0, 0x77, 0x77];
const GROUP: [u8; 6] = [0xff; 6];

fn addressed_to(link: [u8; 6], packet: &Packet) -> Vec<u8> {
    let mut frame = packet.bytes();
    frame[..6].copy_from_slice(&link);
    frame
}

fn for_another_host(n: Names) -> Case {
    let (client, vip, empty) = (n.outside(40_000), n.vip(1, 80), n.vip(2, 80));
    let setup = Setup::default()
        .service(vip, Protocol::Udp, &[n.pod(1, 80)])
        .service(empty, Protocol::Udp, &[])
        .service(empty, Protocol::Tcp, &[]);
    let mut steps = vec![Step::Setup(setup)];
    for link in [ANOTHER, GROUP] {
        for at in [At::UplinkIngress, At::PodIngress] {
            for packet in [
                udp(client, vip),
                udp(client, n.vip(1, 81)),
                udp(client, empty),
                tcp("S", client, empty),
            ] {
                steps.push(raw(
                    at,
                    addressed_to(link, &packet),
                    Outcome::NotForDevice,
                    Out::Untouched,
                ));
            }
        }
    }
    steps.push(Step::Flows(0));
    Case {
        name: "a frame for another host, or for many, makes no flow and has no answer",
        steps,
    }
}

fn for_the_bridge(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let setup = Setup::default().service(vip, Protocol::Udp, &[pod]).bridged();
    let request = udp(client, vip);
    Case {
        name: "a frame at a bridge's port may be for the bridge; one for many is not",
        steps: vec![
            Step::Setup(setup),
            raw(
                At::PodIngress,
                addressed_to(GROUP, &request),
                Outcome::NotForDevice,
                Out::Untouched,
            ),
            raw(
                At::PodIngress,
                addressed_to(ANOTHER, &request),
                Outcome::NewFlow,
                Out::Packet(addressed_to(ANOTHER, &udp(client, pod))),
            ),
        ],
    }
}

/// A whole packet that says of itself that it is shorter than its own header.
fn shorter_than_its_header(n: Names) -> Case {
    let vip = n.vip(1, 80);
    let mut steps = vec![Step::Setup(Setup::default().service(vip, Protocol::Udp, &[]))];
    if n.family == Family::V4 {
        for length in [1, 10, 19] {
            for protocol in [1, 6, 17, 47, 132] {
                let mut frame = udp(n.client(40_000), vip).bytes();
                frame[14 + 2..14 + 4].copy_from_slice(&u16::to_be_bytes(length));
                frame[14 + 9] = protocol;
                steps.push(raw(At::PodIngress, frame, Outcome::Malformed, Out::Untouched));
            }
        }
        let mut frame = with_options(&udp(n.client(40_000), vip).bytes());
        frame[14 + 2..14 + 4].copy_from_slice(&[0, 20]);
        frame[14 + 9] = 47;
        steps.push(raw(At::PodIngress, frame, Outcome::Malformed, Out::Untouched));
    }
    Case {
        name: "a packet shorter than its own IPv4 header is not answered",
        steps,
    }
}

/// UDP without a checksum, where a port changes too.
fn without_checksum_to_another_port(n: Names) -> Case {
    let (client, pod) = (n.client(40_000), n.pod(1, 8080));
    let [first, second] = [1, 2].map(|number| n.vip(number, 80));
    let without = |packet: Packet| {
        let mut bytes = packet.bytes();
        bytes[checksum_at(n)..][..2].fill(0);
        bytes
    };
    Case {
        name: "UDP without a checksum gets none where its source port changes, too [74]",
        steps: vec![
            Step::Setup(
                Setup::default()
                    .service(first, Protocol::Udp, &[pod])
                    .service(second, Protocol::Udp, &[pod])
                    .ports(61_000, 1),
            ),
            raw(
                At::PodIngress,
                without(udp(client, first)),
                Outcome::NewFlow,
                Out::Packet(without(udp(client, pod))),
            ),
            raw(
                At::PodIngress,
                without(udp(client, second)),
                Outcome::Moved,
                Out::Packet(without(udp(n.client(61_000), pod))),
            ),
        ],
    }
}
