// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two flows that would have one tuple towards a backend.

use dataplane::model::Protocol;
use dataplane_common::Outcome;

use super::{Case, Out, Step, becomes, meet, passes};
use crate::packet::{Packet, tcp, udp};
use crate::world::{At, Names, World};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![
        two_vips(n),
        direct_after(n),
        direct_beside(n),
        direct_before(n),
        direct_udp(n),
    ]
}

/// The packet with its client moved to any port of the node's range.
fn moved(packet: &Packet, n: Names, to: std::net::SocketAddr) -> Out {
    let ports = 61_000..65_000;
    Out::OneOf(
        ports
            .map(|port| packet.between(n.client(port), to).bytes())
            .collect(),
    )
}

fn two_vips(n: Names) -> Case {
    let (client, pod) = (n.client(40_000), n.pod(1, 80));
    let second = tcp("S", client, n.vip(2, 80));
    Case {
        name: "two VIPs with one backend, from one source port, are two connections to it",
        steps: vec![
            Step::World(
                World::default()
                    .service(n.vip(1, 80), Protocol::Tcp, &[pod])
                    .service(n.vip(2, 80), Protocol::Tcp, &[pod]),
            ),
            becomes(
                At::PodIngress,
                &tcp("S", client, n.vip(1, 80)),
                Outcome::NewFlow,
                client,
                pod,
            ),
            meet(At::PodIngress, &second, Outcome::Moved, moved(&second, n, pod)),
            meet(
                At::PodIngress,
                &second,
                Outcome::Translated,
                moved(&second, n, pod),
            ),
            Step::Flows(4),
            becomes(
                At::PodEgress,
                &tcp("SA", pod, client).numbers(1, 1_001),
                Outcome::Translated,
                n.vip(1, 80),
                client,
            ),
        ],
    }
}

fn direct_after(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    Case {
        name: "a direct connection from the port of a finished Service connection is untouched",
        steps: vec![
            Step::World(World::default().service(vip, Protocol::Tcp, &[pod])),
            becomes(
                At::PodIngress,
                &tcp("S", client, vip),
                Outcome::NewFlow,
                client,
                pod,
            ),
            becomes(
                At::PodEgress,
                &tcp("SA", pod, client).numbers(1, 1_001),
                Outcome::Translated,
                vip,
                client,
            ),
            becomes(
                At::PodIngress,
                &tcp("FA", client, vip),
                Outcome::Translated,
                client,
                pod,
            ),
            becomes(
                At::PodEgress,
                &tcp("FA", pod, client),
                Outcome::Translated,
                vip,
                client,
            ),
            passes(
                At::PodIngress,
                &tcp("S", client, pod).numbers(5_000, 0),
                Outcome::StaleRemoved,
            ),
            Step::Flows(0),
            passes(
                At::PodEgress,
                &tcp("SA", pod, client).numbers(1, 5_001),
                Outcome::NotOurs,
            ),
        ],
    }
}

fn direct_beside(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let direct = tcp("S", client, pod).numbers(5_000, 0);
    let more = tcp("A", client, pod).numbers(5_001, 1);
    Case {
        name: "a direct connection beside a live Service connection of its port goes by another port",
        steps: vec![
            Step::World(World::default().service(vip, Protocol::Tcp, &[pod])),
            becomes(
                At::PodIngress,
                &tcp("S", client, vip),
                Outcome::NewFlow,
                client,
                pod,
            ),
            becomes(
                At::PodEgress,
                &tcp("SA", pod, client).numbers(1, 1_001),
                Outcome::Translated,
                vip,
                client,
            ),
            meet(
                At::PodIngress,
                &direct,
                Outcome::DirectMoved,
                moved(&direct, n, pod),
            ),
            meet(At::PodIngress, &more, Outcome::Translated, moved(&more, n, pod)),
            becomes(
                At::PodEgress,
                &tcp("A", pod, client).numbers(2, 1_002),
                Outcome::Translated,
                vip,
                client,
            ),
            becomes(
                At::PodIngress,
                &tcp("A", client, vip).numbers(1_002, 2),
                Outcome::Translated,
                client,
                pod,
            ),
        ],
    }
}

fn direct_before(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let syn = tcp("S", client, vip);
    Case {
        name: "a direct connection that was there first keeps its tuple; the Service's moves with the next SYN",
        steps: vec![
            Step::World(World::default().service(vip, Protocol::Tcp, &[pod])),
            passes(
                At::PodIngress,
                &tcp("S", client, pod).numbers(5_000, 0),
                Outcome::NotOurs,
            ),
            becomes(At::PodIngress, &syn, Outcome::NewFlow, client, pod),
            // The backend has a connection with this tuple: its answer is a challenge ACK.
            passes(
                At::PodEgress,
                &tcp("A", pod, client).numbers(77, 5_001),
                Outcome::Contested,
            ),
            passes(
                At::PodEgress,
                &tcp("PA", pod, client).numbers(77, 5_001),
                Outcome::Contested,
            ),
            meet(At::PodIngress, &syn, Outcome::Moved, moved(&syn, n, pod)),
            passes(
                At::PodEgress,
                &tcp("A", pod, client).numbers(99, 5_020),
                Outcome::NotOurs,
            ),
            Step::Flows(2),
        ],
    }
}

fn direct_udp(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 53), n.pod(1, 53));
    let direct = udp(client, pod);
    Case {
        name: "a direct UDP packet from the port of a live Service flow goes by another port",
        steps: vec![
            Step::World(World::default().service(vip, Protocol::Udp, &[pod])),
            passes(At::PodIngress, &direct, Outcome::NotOurs),
            becomes(At::PodIngress, &udp(client, vip), Outcome::NewFlow, client, pod),
            meet(
                At::PodIngress,
                &direct,
                Outcome::DirectMoved,
                moved(&direct, n, pod),
            ),
            meet(
                At::PodIngress,
                &direct,
                Outcome::Translated,
                moved(&direct, n, pod),
            ),
            becomes(At::PodEgress, &udp(pod, client), Outcome::Translated, vip, client),
            Step::Age(400),
            passes(At::PodIngress, &direct, Outcome::StaleRemoved),
            passes(At::PodIngress, &direct, Outcome::NotOurs),
        ],
    }
}
