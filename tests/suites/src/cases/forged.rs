// SPDX-License-Identifier: MIT OR Apache-2.0
//! Segments that neither end of a connection has sent, and stray ones: they change nothing. And what only the two ends
//! can say, which does.

use std::net::SocketAddr;

use dataplane::model::Protocol;
use dataplane_common::Outcome;

use super::conversation::{Conversation, ack, fin, fin_back, last_ack, numbered, rst, syn, syn_ack};
use super::{Case, Step, passes};
use crate::packet::{Packet, tcp, udp};
use crate::setup::{At, Names, Setup};

/// Longer than any state lives but an established or a half closed one.
const LONG: Step = Step::Age(400);

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![
        syn_on_a_live_flow(n),
        accepted_syn(n),
        unanswered_syn(n),
        syn_while_opening(n),
        reset_from_anywhere(n),
        reset_in_reach(n),
        true_reset(n),
        fin_of_nobody(n),
        closed(n),
        half_open(n),
        masqueraded_half_open(n),
        midway_beside_a_plain_connection(n),
        midway_unanswered(n),
        strays(n),
        masqueraded(n),
        frontend_changes_hands(n),
    ]
}

fn setup(n: Names) -> Step {
    Step::Setup(Setup::default().service(n.vip(1, 80), Protocol::Tcp, &[n.pod(1, 80)]))
}

fn conversation(n: Names) -> Conversation {
    Conversation::of_pod(n.client(40_000), n.vip(1, 80), n.pod(1, 80))
}

/// A connection, from the SYN to the client's first acknowledgement.
fn connected(n: Names) -> Vec<Step> {
    let conversation = conversation(n);
    vec![
        setup(n),
        conversation.opens(syn),
        conversation.is_answered(syn_ack),
        conversation.asks(ack, Outcome::Translated),
    ]
}

/// The pod's segment after the client's first acknowledgement; what it answers a forged segment with, too (RFC 5961).
fn challenge(src: SocketAddr, dst: SocketAddr) -> Packet {
    tcp("A", src, dst).numbers(9_001, 1_001)
}

/// The connection has been idle for long, and goes on: the pod speaks first.
fn goes_on(n: Names) -> [Step; 4] {
    [
        LONG,
        conversation(n).is_answered(challenge),
        conversation(n).asks(ack, Outcome::Translated),
        Step::Flows(2),
    ]
}

fn forged(n: Names, packet: impl Fn(SocketAddr, SocketAddr) -> Packet) -> Step {
    conversation(n).asks(packet, Outcome::Translated)
}

fn syn_on_a_live_flow(n: Names) -> Case {
    let mut steps = connected(n);
    for number in [123_456, 1_001, 9_001, u32::MAX] {
        steps.extend([
            forged(n, numbered("S", number, 0)),
            conversation(n).is_answered(challenge),
        ]);
    }
    steps.push(forged(n, numbered("S", 5, 0)));
    steps.extend(goes_on(n));
    Case {
        name: "a SYN on a live connection, of any number, does not end it",
        steps,
    }
}

fn accepted_syn(n: Names) -> Case {
    let mut steps = connected(n);
    steps.extend([
        Step::Age(100),
        forged(n, numbered("S", 5_000, 0)),
        conversation(n).is_answered(numbered("SA", 70_000, 5_001)),
        conversation(n).asks(numbered("A", 5_001, 70_001), Outcome::Translated),
        LONG,
        conversation(n).is_answered(numbered("PA", 70_001, 5_001)),
        Step::Flows(2),
    ]);
    Case {
        name: "a SYN that the backend accepts is a new connection in the old one's place",
        steps,
    }
}

fn unanswered_syn(n: Names) -> Case {
    let next = n.pod(3, 80);
    let moved = Conversation {
        pod: next,
        ..conversation(n)
    };
    let without = Setup::default()
        .service(n.vip(1, 80), Protocol::Tcp, &[n.pod(1, 80)])
        .endpoints(n.vip(1, 80), Protocol::Tcp, &[next]);
    let mut steps = connected(n);
    steps.extend([
        Step::Setup(without),
        // The connection of a backend that left its Service goes on, whoever sends a SYN twice.
        forged(n, numbered("S", 5_000, 0)),
        conversation(n).is_answered(challenge),
        Step::Age(2),
        forged(n, numbered("S", 5_000, 0)),
        conversation(n).is_answered(challenge),
        // But a backend that answers nothing has no connection.
        forged(n, numbered("S", 5_000, 0)),
        Step::Age(2),
        moved.asks(numbered("S", 5_000, 0), Outcome::Resteered),
    ]);
    Case {
        name: "a SYN that a removed backend leaves unanswered goes to another backend when it is repeated",
        steps,
    }
}

fn syn_while_opening(n: Names) -> Case {
    let conversation = conversation(n);
    let mut steps = vec![
        setup(n),
        conversation.opens(syn),
        forged(n, numbered("S", 123_456, 0)),
        forged(n, numbered("R", 5, 0)),
        forged(n, numbered("A", 5, 5)),
        conversation.is_answered(syn_ack),
        forged(n, numbered("S", 123_456, 0)),
        forged(n, numbered("R", 5, 0)),
        conversation.asks(ack, Outcome::Translated),
    ];
    steps.extend(goes_on(n));
    Case {
        name: "forged segments on a connection that opens do not keep it from opening",
        steps,
    }
}

fn reset_from_anywhere(n: Names) -> Case {
    let mut steps = connected(n);
    for number in [77, 900, 1_000, 100_000, 0x8000_0000] {
        steps.push(forged(n, numbered("R", number, 0)));
        steps.push(conversation(n).is_answered(numbered("R", number + 8_000, 0)));
    }
    steps.extend(goes_on(n));
    Case {
        name: "a RST out of reach, from either side, does not shorten an idle connection's life",
        steps,
    }
}

fn reset_in_reach(n: Names) -> Case {
    let mut steps = connected(n);
    steps.extend([
        forged(n, numbered("R", 1_500, 0)),
        conversation(n).is_answered(challenge),
    ]);
    steps.extend(goes_on(n));
    steps.extend([forged(n, numbered("R", 1_500, 0)), forged(n, ack)]);
    steps.extend(goes_on(n));
    Case {
        name: "a RST in reach is taken back by the next segment of either end",
        steps,
    }
}

fn true_reset(n: Names) -> Case {
    let mut steps = connected(n);
    steps.extend([
        conversation(n).asks(rst, Outcome::Translated),
        Step::Age(12),
        passes(
            At::PodEgress,
            &challenge(n.pod(1, 80), n.client(40_000)),
            Outcome::NotOurs,
        ),
        Step::Flows(0),
    ]);
    steps.extend(connected(n));
    steps.extend([
        conversation(n).is_answered(numbered("R", 9_001, 0)),
        conversation(n).asks(numbered("S", 5_000, 0), Outcome::Reopened),
        Step::Flows(2),
    ]);
    Case {
        name: "a RST with the number that its receiver expects ends the connection",
        steps,
    }
}

fn fin_of_nobody(n: Names) -> Case {
    let mut steps = connected(n);
    steps.extend([
        forged(n, numbered("FA", 50_000, 9_001)),
        conversation(n).is_answered(challenge),
        conversation(n).is_answered(numbered("FA", 60_000, 1_001)),
        forged(n, ack),
        // Half closed, it would be over.
        Step::Age(3_700),
    ]);
    steps.extend(goes_on(n));
    Case {
        name: "a FIN that its receiver does not acknowledge closes nothing",
        steps,
    }
}

fn closed(n: Names) -> Case {
    let mut steps = connected(n);
    steps.extend([
        conversation(n).asks(fin, Outcome::Translated),
        conversation(n).is_answered(fin_back),
        conversation(n).asks(last_ack, Outcome::Translated),
        Step::Age(70),
        passes(
            At::PodEgress,
            &challenge(n.pod(1, 80), n.client(40_000)),
            Outcome::NotOurs,
        ),
        Step::Flows(0),
    ]);
    Case {
        name: "a connection is over a minute after both FINs were acknowledged",
        steps,
    }
}

fn half_open(n: Names) -> Case {
    Case {
        name: "a connection that its client has not confirmed is over after a minute",
        steps: vec![
            setup(n),
            conversation(n).opens(syn),
            conversation(n).is_answered(syn_ack),
            Step::Age(70),
            passes(
                At::PodEgress,
                &syn_ack(n.pod(1, 80), n.client(40_000)),
                Outcome::NotOurs,
            ),
            Step::Flows(0),
        ],
    }
}

fn masqueraded_half_open(n: Names) -> Case {
    let [first, second] =
        [40_000, 40_001].map(|port| Conversation::from_outside(n.outside(port), n.vip(1, 80), n.pod(2, 80)));
    let node = n.node(61_000);
    let world = Setup::default()
        .service(n.vip(1, 80), Protocol::Tcp, &[n.pod(2, 80)])
        .ports(61_000, 1);
    Case {
        name: "a masqueraded connection that its client has not confirmed gives its port back after a minute",
        steps: vec![
            Step::Setup(world),
            first.opens(syn),
            first.leaves_as(node, syn, Outcome::Masqueraded),
            first.comes_back_to(node, syn_ack),
            first.is_answered(syn_ack),
            Step::Age(70),
            second.opens(syn),
            second.leaves_as(node, syn, Outcome::Masqueraded),
            second.comes_back_to(node, syn_ack),
        ],
    }
}

fn midway_beside_a_plain_connection(n: Names) -> Case {
    let (client, pod) = (n.client(40_000), n.pod(1, 80));
    let plain = |packet: &Packet| passes(At::PodEgress, packet, Outcome::Contested);
    Case {
        name: "a forged ACK to a VIP does not end the connection that its client has to the pod itself",
        steps: vec![
            setup(n),
            conversation(n).opens(numbered("A", 5_000_000, 7_000_000)),
            plain(&challenge(pod, client)),
            plain(&numbered("PA", 9_001, 1_001)(pod, client)),
            passes(At::PodIngress, &ack(client, pod), Outcome::NotOurs),
            plain(&numbered("PA", 9_500, 1_001)(pod, client)),
        ],
    }
}

fn midway_unanswered(n: Names) -> Case {
    Case {
        name: "a stray ACK or FIN makes a flow for five minutes, not for a day",
        steps: vec![
            setup(n),
            conversation(n).opens(numbered("FA", 77, 99)),
            Step::Flows(2),
            Step::Age(310),
            passes(
                At::PodEgress,
                &challenge(n.pod(1, 80), n.client(40_000)),
                Outcome::NotOurs,
            ),
            Step::Flows(0),
        ],
    }
}

fn strays(n: Names) -> Case {
    let (client, vip) = (n.client(40_000), n.vip(1, 80));
    let left = |flags| passes(At::PodIngress, &tcp(flags, client, vip), Outcome::NotOurs);
    Case {
        name: "a RST without a flow is translated and leaves nothing; odd flags open nothing",
        steps: vec![
            setup(n),
            conversation(n).asks(rst, Outcome::ResetTranslated),
            left("SA"),
            left("SF"),
            left("SR"),
            left("F"),
            left(""),
            Step::Flows(0),
        ],
    }
}

fn masqueraded(n: Names) -> Case {
    let conversation = Conversation::from_outside(n.outside(40_000), n.vip(1, 80), n.pod(2, 80));
    let node = n.node(61_000);
    let world = Setup::default()
        .service(n.vip(1, 80), Protocol::Tcp, &[n.pod(2, 80)])
        .ports(61_000, 1);
    let through = |packet: fn(SocketAddr, SocketAddr) -> Packet| {
        [
            conversation.asks(packet, Outcome::Translated),
            conversation.leaves_as(node, packet, Outcome::Translated),
        ]
    };
    let mut steps = vec![
        Step::Setup(world),
        conversation.opens(syn),
        conversation.leaves_as(node, syn, Outcome::Masqueraded),
        conversation.comes_back_to(node, syn_ack),
        conversation.is_answered(syn_ack),
    ];
    steps.extend(through(ack));
    steps.extend(through(|src, dst| tcp("S", src, dst).numbers(123_456, 0)));
    steps.extend(through(|src, dst| tcp("R", src, dst).numbers(77, 0)));
    steps.extend([
        conversation.comes_back_to(node, numbered("R", 77, 0)),
        conversation.comes_back_to(node, numbered("FA", 77, 1_001)),
        LONG,
        conversation.comes_back_to(node, challenge),
        conversation.is_answered(challenge),
    ]);
    steps.extend(through(ack));
    steps.push(Step::Flows(4));
    Case {
        name: "forged segments do not end a masqueraded connection",
        steps,
    }
}

fn frontend_changes_hands(n: Names) -> Case {
    let (client, node) = (n.outside(40_000), n.node(30_080));
    let [first, second] = [(1, n.pod(1, 80)), (2, n.pod(3, 80))];
    let world = |owner: u8| {
        Setup::default()
            .service(n.vip(1, 80), Protocol::Udp, &[first.1])
            .service(n.vip(2, 80), Protocol::Udp, &[second.1])
            .node_port(n.vip(owner, 80), Protocol::Udp, 30_080)
            .own(node.ip(), true)
    };
    let [old, new] = [first.1, second.1].map(|pod| Conversation::from_outside(client, node, pod));
    Case {
        name: "a UDP client with a fixed port follows a NodePort that becomes another Service's",
        steps: vec![
            Step::Setup(world(first.0)),
            old.opens(udp),
            old.is_answered(udp),
            Step::Setup(world(second.0)),
            Step::Age(2),
            new.asks(udp, Outcome::Resteered),
            new.is_answered(udp),
        ],
    }
}
