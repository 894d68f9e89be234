// SPDX-License-Identifier: MIT OR Apache-2.0
//! How flows begin, end, and outlive what they were made from.

use dataplane::model::Protocol;
use dataplane_common::Outcome;

use super::talk::{Talk, flagged, numbered, syn};
use super::{Case, Step, passes, refused};
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
    let talk = Talk::of_pod(client, vip, pod);
    let both = World::default().service(vip, Protocol::Tcp, &[pod]).endpoints(
        vip,
        Protocol::Tcp,
        &[n.pod(3, 80), pod],
    );
    Case {
        name: "a retransmitted SYN keeps its backend and makes no second flow [4]",
        steps: vec![
            Step::World(World::default().service(vip, Protocol::Tcp, &[pod])),
            talk.opens(syn),
            Step::World(both),
            talk.asks(syn, Outcome::Translated),
            Step::Flows(2),
        ],
    }
}

fn reopened(n: Names) -> Case {
    let (client, vip, pod, next) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80), n.pod(3, 80));
    let talk = Talk::of_pod(client, vip, pod);
    let moved = Talk { pod: next, ..talk };
    let first = World::default().service(vip, Protocol::Tcp, &[pod]);
    Case {
        name: "a SYN after both FINs is a new connection, to a backend of today [5]",
        steps: vec![
            Step::World(first.clone()),
            talk.opens(syn),
            talk.is_answered(numbered("SA", 1, 1_001)),
            talk.asks(flagged("FA"), Outcome::Translated),
            Step::World(first.endpoints(vip, Protocol::Tcp, &[next])),
            talk.is_answered(flagged("FA")),
            talk.asks(flagged("A"), Outcome::Translated),
            moved.asks(numbered("S", 5_000, 0), Outcome::Reopened),
            Step::Flows(2),
        ],
    }
}

fn reset_and_reopened(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let talk = Talk::of_pod(client, vip, pod);
    Case {
        name: "a reset is translated, and the next SYN starts anew [69]",
        steps: vec![
            Step::World(World::default().service(vip, Protocol::Tcp, &[pod])),
            talk.opens(syn),
            talk.is_answered(numbered("RA", 0, 1_001)),
            talk.asks(numbered("S", 7_000, 0), Outcome::Reopened),
            talk.is_answered(numbered("SA", 1, 7_001)),
        ],
    }
}

fn udp_resteered(n: Names) -> Case {
    let (client, vip, pod, next) = (n.client(53_000), n.vip(1, 53), n.pod(1, 53), n.pod(3, 53));
    let talk = Talk::of_pod(client, vip, pod);
    let moved = Talk { pod: next, ..talk };
    let world = World::default().service(vip, Protocol::Udp, &[pod]);
    Case {
        name: "a UDP flow whose backend is gone goes to another with its next packet [71]",
        steps: vec![
            Step::World(world.clone()),
            talk.opens(udp),
            talk.is_answered(udp),
            Step::World(world.endpoints(vip, Protocol::Udp, &[next])),
            moved.asks(udp, Outcome::Resteered),
            moved.is_answered(udp),
            passes(At::PodEgress, &udp(pod, client), Outcome::NotOurs),
            Step::Flows(2),
        ],
    }
}

fn udp_of_a_removed_service(n: Names) -> Case {
    let (client, vip, pod) = (n.client(53_000), n.vip(1, 53), n.pod(1, 53));
    let talk = Talk::of_pod(client, vip, pod);
    let world = World::default().service(vip, Protocol::Udp, &[pod]);
    Case {
        name: "a UDP flow whose Service lost all endpoints is refused, and taken up when one is back",
        steps: vec![
            Step::World(world.clone()),
            talk.opens(udp),
            Step::World(world.clone().endpoints(vip, Protocol::Udp, &[])),
            refused(At::PodIngress, &udp(client, vip), Outcome::RejectedNoEndpoint),
            Step::Flows(0),
            Step::World(world),
            talk.opens(udp),
            Step::World(World::default()),
            passes(At::PodIngress, &udp(client, vip), Outcome::NotOurs),
            Step::Flows(0),
        ],
    }
}

fn tcp_goes_on(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let talk = Talk::of_pod(client, vip, pod);
    let world = World::default().service(vip, Protocol::Tcp, &[pod]);
    Case {
        name: "a TCP connection outlives its backend's place in the Service, and the Service",
        steps: vec![
            Step::World(world.clone()),
            talk.opens(syn),
            talk.is_answered(numbered("SA", 1, 1_001)),
            Step::World(world.endpoints(vip, Protocol::Tcp, &[n.pod(3, 80)])),
            talk.asks(flagged("PA"), Outcome::Translated),
            Step::World(World::default()),
            talk.asks(flagged("PA"), Outcome::Translated),
            talk.is_answered(flagged("A")),
        ],
    }
}

fn syn_to_a_gone_backend(n: Names) -> Case {
    let (client, vip, pod, next) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80), n.pod(3, 80));
    let talk = Talk::of_pod(client, vip, pod);
    let moved = Talk { pod: next, ..talk };
    let world = World::default().service(vip, Protocol::Tcp, &[pod]);
    Case {
        name: "a SYN that nobody answered is not sent to a backend that is gone",
        steps: vec![
            Step::World(world.clone()),
            talk.opens(syn),
            Step::World(world.endpoints(vip, Protocol::Tcp, &[next])),
            moved.asks(syn, Outcome::Resteered),
        ],
    }
}

fn expired(n: Names) -> Case {
    let (client, vip, pod, next) = (n.client(53_000), n.vip(1, 53), n.pod(1, 53), n.pod(3, 53));
    let talk = Talk::of_pod(client, vip, pod);
    let moved = Talk { pod: next, ..talk };
    let world = World::default().service(vip, Protocol::Udp, &[pod]);
    Case {
        name: "a flow that was quiet for too long is over, though no sweep has met it [68]",
        steps: vec![
            Step::World(world.clone()),
            talk.opens(udp),
            Step::Age(20),
            talk.asks(udp, Outcome::Translated),
            Step::Age(20),
            talk.is_answered(udp),
            Step::Age(100),
            talk.asks(udp, Outcome::Translated),
            Step::Age(200),
            passes(At::PodEgress, &udp(pod, client), Outcome::NotOurs),
            Step::Flows(0),
            Step::World(world.endpoints(vip, Protocol::Udp, &[next])),
            moved.opens(udp),
        ],
    }
}

fn midway(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let talk = Talk::of_pod(client, vip, pod);
    Case {
        name: "a connection whose entry was lost goes on with its next segment",
        steps: vec![
            Step::World(World::default().service(vip, Protocol::Tcp, &[pod])),
            talk.opens(numbered("PA", 77, 99)),
            talk.is_answered(numbered("A", 99, 78)),
        ],
    }
}

fn taken_over(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let talk = Talk::of_pod(client, vip, pod);
    Case {
        name: "while taking over, a connection older than Shunt is left to who made it [82]",
        steps: vec![
            Step::World(World::default().service(vip, Protocol::Tcp, &[pod]).taking_over()),
            passes(At::PodIngress, &tcp("PA", client, vip), Outcome::TakenOver),
            talk.opens(syn),
        ],
    }
}
