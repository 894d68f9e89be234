// SPDX-License-Identifier: MIT OR Apache-2.0
//! How flows begin, end, and outlive what they were made from.

use dataplane::model::Protocol;
use dataplane_common::Outcome;

use super::{Case, Step, becomes, passes, refused};
use crate::packet::{tcp, udp};
use crate::world::{At, Names, World};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![
        syn_again(n),
        reopened(n),
        reset_and_reopened(n),
        udp_resteered(n),
        udp_of_a_removed_service(n),
        tcp_goes_on(n),
        syn_to_a_gone_backend(n),
        expired(n),
        midway(n),
        taken_over(n),
    ]
}

fn syn_again(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let syn = tcp("S", client, vip);
    let both = World::default().service(vip, Protocol::Tcp, &[pod]).endpoints(
        vip,
        Protocol::Tcp,
        &[n.pod(3, 80), pod],
    );
    Case {
        name: "a retransmitted SYN keeps its backend and makes no second flow [4]",
        steps: vec![
            Step::World(World::default().service(vip, Protocol::Tcp, &[pod])),
            becomes(At::PodIngress, &syn, Outcome::NewFlow, client, pod),
            Step::World(both),
            becomes(At::PodIngress, &syn, Outcome::Translated, client, pod),
            Step::Flows(2),
        ],
    }
}

fn reopened(n: Names) -> Case {
    let (client, vip, pod, next) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80), n.pod(3, 80));
    let first = World::default().service(vip, Protocol::Tcp, &[pod]);
    Case {
        name: "a SYN after both FINs is a new connection, to a backend of today [5]",
        steps: vec![
            Step::World(first.clone()),
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
            Step::World(first.endpoints(vip, Protocol::Tcp, &[next])),
            becomes(
                At::PodEgress,
                &tcp("FA", pod, client),
                Outcome::Translated,
                vip,
                client,
            ),
            becomes(
                At::PodIngress,
                &tcp("A", client, vip),
                Outcome::Translated,
                client,
                pod,
            ),
            becomes(
                At::PodIngress,
                &tcp("S", client, vip).numbers(5_000, 0),
                Outcome::Reopened,
                client,
                next,
            ),
            Step::Flows(2),
        ],
    }
}

fn reset_and_reopened(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    Case {
        name: "a reset is translated, and the next SYN starts anew [77]",
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
                &tcp("RA", pod, client).numbers(0, 1_001),
                Outcome::Translated,
                vip,
                client,
            ),
            becomes(
                At::PodIngress,
                &tcp("S", client, vip).numbers(7_000, 0),
                Outcome::Reopened,
                client,
                pod,
            ),
            becomes(
                At::PodEgress,
                &tcp("SA", pod, client).numbers(1, 7_001),
                Outcome::Translated,
                vip,
                client,
            ),
        ],
    }
}

fn udp_resteered(n: Names) -> Case {
    let (client, vip, pod, next) = (n.client(53_000), n.vip(1, 53), n.pod(1, 53), n.pod(3, 53));
    let world = World::default().service(vip, Protocol::Udp, &[pod]);
    Case {
        name: "a UDP flow whose backend is gone goes to another with its next packet [80]",
        steps: vec![
            Step::World(world.clone()),
            becomes(At::PodIngress, &udp(client, vip), Outcome::NewFlow, client, pod),
            becomes(At::PodEgress, &udp(pod, client), Outcome::Translated, vip, client),
            Step::World(world.endpoints(vip, Protocol::Udp, &[next])),
            becomes(
                At::PodIngress,
                &udp(client, vip),
                Outcome::Resteered,
                client,
                next,
            ),
            becomes(
                At::PodEgress,
                &udp(next, client),
                Outcome::Translated,
                vip,
                client,
            ),
            passes(At::PodEgress, &udp(pod, client), Outcome::NotOurs),
            Step::Flows(2),
        ],
    }
}

fn udp_of_a_removed_service(n: Names) -> Case {
    let (client, vip, pod) = (n.client(53_000), n.vip(1, 53), n.pod(1, 53));
    let world = World::default().service(vip, Protocol::Udp, &[pod]);
    Case {
        name: "a UDP flow whose Service lost all endpoints is refused, and taken up when one is back",
        steps: vec![
            Step::World(world.clone()),
            becomes(At::PodIngress, &udp(client, vip), Outcome::NewFlow, client, pod),
            Step::World(world.clone().endpoints(vip, Protocol::Udp, &[])),
            refused(At::PodIngress, &udp(client, vip), Outcome::RejectedNoEndpoint),
            Step::Flows(0),
            Step::World(world),
            becomes(At::PodIngress, &udp(client, vip), Outcome::NewFlow, client, pod),
            Step::World(World::default()),
            passes(At::PodIngress, &udp(client, vip), Outcome::NotOurs),
            Step::Flows(0),
        ],
    }
}

fn tcp_goes_on(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let world = World::default().service(vip, Protocol::Tcp, &[pod]);
    Case {
        name: "a TCP connection outlives its backend's place in the Service, and the Service",
        steps: vec![
            Step::World(world.clone()),
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
            Step::World(world.endpoints(vip, Protocol::Tcp, &[n.pod(3, 80)])),
            becomes(
                At::PodIngress,
                &tcp("PA", client, vip),
                Outcome::Translated,
                client,
                pod,
            ),
            Step::World(World::default()),
            becomes(
                At::PodIngress,
                &tcp("PA", client, vip),
                Outcome::Translated,
                client,
                pod,
            ),
            becomes(
                At::PodEgress,
                &tcp("A", pod, client),
                Outcome::Translated,
                vip,
                client,
            ),
        ],
    }
}

fn syn_to_a_gone_backend(n: Names) -> Case {
    let (client, vip, pod, next) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80), n.pod(3, 80));
    let world = World::default().service(vip, Protocol::Tcp, &[pod]);
    Case {
        name: "a SYN that nobody answered is not sent to a backend that is gone",
        steps: vec![
            Step::World(world.clone()),
            becomes(
                At::PodIngress,
                &tcp("S", client, vip),
                Outcome::NewFlow,
                client,
                pod,
            ),
            Step::World(world.endpoints(vip, Protocol::Tcp, &[next])),
            becomes(
                At::PodIngress,
                &tcp("S", client, vip),
                Outcome::Resteered,
                client,
                next,
            ),
        ],
    }
}

fn expired(n: Names) -> Case {
    let (client, vip, pod, next) = (n.client(53_000), n.vip(1, 53), n.pod(1, 53), n.pod(3, 53));
    let world = World::default().service(vip, Protocol::Udp, &[pod]);
    Case {
        name: "a flow that was quiet for too long is over, though no sweep has met it [76]",
        steps: vec![
            Step::World(world.clone()),
            becomes(At::PodIngress, &udp(client, vip), Outcome::NewFlow, client, pod),
            Step::Age(20),
            becomes(
                At::PodIngress,
                &udp(client, vip),
                Outcome::Translated,
                client,
                pod,
            ),
            Step::Age(20),
            becomes(At::PodEgress, &udp(pod, client), Outcome::Translated, vip, client),
            Step::Age(100),
            becomes(
                At::PodIngress,
                &udp(client, vip),
                Outcome::Translated,
                client,
                pod,
            ),
            Step::Age(200),
            passes(At::PodEgress, &udp(pod, client), Outcome::NotOurs),
            Step::Flows(0),
            Step::World(world.endpoints(vip, Protocol::Udp, &[next])),
            becomes(At::PodIngress, &udp(client, vip), Outcome::NewFlow, client, next),
        ],
    }
}

fn midway(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    Case {
        name: "a connection whose entry was lost goes on with its next segment",
        steps: vec![
            Step::World(World::default().service(vip, Protocol::Tcp, &[pod])),
            becomes(
                At::PodIngress,
                &tcp("PA", client, vip).numbers(77, 99),
                Outcome::NewFlow,
                client,
                pod,
            ),
            becomes(
                At::PodEgress,
                &tcp("A", pod, client).numbers(99, 78),
                Outcome::Translated,
                vip,
                client,
            ),
        ],
    }
}

fn taken_over(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    Case {
        name: "while taking over, a connection older than Shunt is left to who made it [91]",
        steps: vec![
            Step::World(World::default().service(vip, Protocol::Tcp, &[pod]).taking_over()),
            passes(At::PodIngress, &tcp("PA", client, vip), Outcome::TakenOver),
            becomes(
                At::PodIngress,
                &tcp("S", client, vip),
                Outcome::NewFlow,
                client,
                pod,
            ),
        ],
    }
}
