// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets in parts.

use std::net::SocketAddr;

use dataplane::model::{Family, Protocol};
use dataplane_common::Outcome;

use super::conversation::Conversation;
use super::{Case, Out, Step, raw};
use crate::packet::{Chunk, Packet, sctp, tcp, udp};
use crate::packet_variants::{atomic, fragments, with_options};
use crate::setup::{At, Names, Setup};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![
        there_and_back(n),
        masqueraded(n),
        before_the_first(n),
        not_ours(n),
        number_used_again(n),
        late(n),
        with_the_flow_gone(n),
        over_tcp_and_sctp(n),
        refused(n),
        taking_over(n),
        first_too_short(n),
        behind_options(n),
        only_one(n),
    ]
}

/// Three parts of a datagram, 1,400 bytes at most in each.
fn parts(packet: &Packet, id: u32) -> Vec<Vec<u8>> {
    fragments(&packet.bytes(), id, 1400)
}

fn big(src: SocketAddr, dst: SocketAddr) -> Packet {
    udp(src, dst).carrying(&[0x5a; 3000])
}

/// A packet's parts at a hook, and what shall become of them: first part and the others.
fn meets(
    at: At,
    packet: &Packet,
    id: u32,
    outcomes: (Outcome, Outcome),
    (src, dst): (SocketAddr, SocketAddr),
) -> Vec<Step> {
    let (came, left) = (parts(packet, id), parts(&packet.between(src, dst), id));
    came.into_iter()
        .zip(left)
        .enumerate()
        .map(|(number, (came, left))| {
            let outcome = if number == 0 { outcomes.0 } else { outcomes.1 };
            raw(at, came, outcome, Out::Packet(left))
        })
        .collect()
}

const FOLLOWS: Outcome = Outcome::FragmentTranslated;

/// A client of this node and its large datagram to a Service, whose parts are sent one by one.
struct InParts {
    setup: Setup,
    came: Vec<Vec<u8>>,
    left: Vec<Vec<u8>>,
}

impl InParts {
    fn new(conversation: &Conversation, id: u32) -> Self {
        Self {
            setup: Setup::default().service(conversation.called, Protocol::Udp, &[conversation.pod]),
            came: parts(&big(conversation.client, conversation.called), id),
            left: parts(&big(conversation.client, conversation.pod), id),
        }
    }

    /// A part goes to the pod.
    fn goes(&self, number: usize, outcome: Outcome) -> Step {
        let (came, left) = (self.came[number].clone(), self.left[number].clone());
        raw(At::PodIngress, came, outcome, Out::Packet(left))
    }

    fn is_dropped(&self, number: usize, outcome: Outcome) -> Step {
        raw(At::PodIngress, self.came[number].clone(), outcome, Out::Dropped)
    }
}

/// A client of this node, the cluster's DNS, and the pod that answers.
fn dns(n: Names) -> Conversation {
    Conversation::of_pod(n.client(40_000), n.vip(1, 53), n.pod(1, 53))
}

impl Conversation {
    /// A large datagram of the client's, in parts, and the outcome of the first.
    fn asks_much(&self, id: u32, first: Outcome) -> Vec<Step> {
        let packet = big(self.client, self.called);
        meets(
            self.hooks.0,
            &packet,
            id,
            (first, FOLLOWS),
            (self.client, self.pod),
        )
    }

    /// The same of the pod's.
    fn is_told_much(&self, id: u32) -> Vec<Step> {
        let packet = big(self.pod, self.client);
        let outcomes = (Outcome::Translated, FOLLOWS);
        meets(self.hooks.1, &packet, id, outcomes, (self.called, self.client))
    }
}

fn there_and_back(n: Names) -> Case {
    let conversation = Conversation::of_pod(n.client(40_000), n.vip(1, 53), n.pod(1, 5353));
    let mut steps = vec![Step::Setup(InParts::new(&conversation, 7).setup)];
    steps.extend(conversation.asks_much(7, Outcome::NewFlow));
    steps.extend(conversation.is_told_much(7));
    steps.extend(conversation.asks_much(8, Outcome::Translated));
    steps.push(Step::Flows(2));
    Case {
        name: "the fragments of a large datagram follow the first one, in both directions [61, 62]",
        steps,
    }
}

fn masqueraded(n: Names) -> Case {
    let (client, vip, pod, node) = (n.outside(61_234), n.vip(1, 53), n.pod(2, 53), n.node(61_234));
    let mut steps = vec![Step::Setup(Setup::default().service(vip, Protocol::Udp, &[pod]))];
    for (at, packet, first, ends) in [
        (
            At::UplinkIngress,
            big(client, vip),
            Outcome::NewFlow,
            (client, pod),
        ),
        (
            At::UplinkEgress,
            big(client, pod),
            Outcome::Masqueraded,
            (node, pod),
        ),
        (
            At::UplinkIngress,
            big(pod, node),
            Outcome::Translated,
            (pod, client),
        ),
        (
            At::UplinkEgress,
            big(pod, client),
            Outcome::Translated,
            (vip, client),
        ),
    ] {
        steps.extend(meets(at, &packet, 9, (first, FOLLOWS), ends));
    }
    Case {
        name: "the fragments of a masqueraded datagram stay together at every hook [62]",
        steps,
    }
}

fn before_the_first(n: Names) -> Case {
    let conversation = dns(n);
    let datagram = InParts::new(&conversation, 3);
    let answer = parts(&big(conversation.pod, conversation.client), 3);
    Case {
        name: "a fragment to a VIP that arrives before the first one is dropped and counted",
        steps: vec![
            Step::Setup(datagram.setup.clone()),
            datagram.is_dropped(1, Outcome::FragmentDropped),
            datagram.goes(0, Outcome::NewFlow),
            datagram.goes(2, FOLLOWS),
            raw(At::PodEgress, answer[1].clone(), Outcome::NotOurs, Out::Untouched),
        ],
    }
}

fn not_ours(n: Names) -> Case {
    let (client, pod) = (n.client(40_000), n.pod(1, 53));
    let mut steps = vec![Step::Setup(Setup::default().service(
        n.vip(1, 53),
        Protocol::Udp,
        &[pod],
    ))];
    for at in [At::PodIngress, At::PodEgress, At::UplinkIngress, At::UplinkEgress] {
        for part in parts(&big(client, pod), 4) {
            steps.push(raw(at, part, Outcome::NotOurs, Out::Untouched));
        }
    }
    Case {
        name: "fragments of a packet to no Service pass byte for byte",
        steps,
    }
}

fn number_used_again(n: Names) -> Case {
    let conversation = dns(n);
    let mut steps = vec![Step::Setup(InParts::new(&conversation, 5).setup)];
    steps.extend(conversation.asks_much(5, Outcome::NewFlow));
    steps.extend(conversation.is_told_much(5));
    // The same pod's packet to the same client, past the Services, has the number that the answer had.
    let direct = big(n.pod(1, 99), conversation.client);
    let ends = (direct.src, direct.dst);
    steps.extend(meets(
        At::PodEgress,
        &direct,
        5,
        (Outcome::NotOurs, Outcome::NotOurs),
        ends,
    ));
    Case {
        name: "a fragment id that another packet reuses does not belong to the old packet",
        steps,
    }
}

fn late(n: Names) -> Case {
    let datagram = InParts::new(&dns(n), 6);
    Case {
        name: "a fragment that arrives after its datagram's timeout is dropped",
        steps: vec![
            Step::Setup(datagram.setup.clone()),
            datagram.goes(0, Outcome::NewFlow),
            datagram.goes(1, FOLLOWS),
            Step::Age(70),
            datagram.is_dropped(2, Outcome::FragmentDropped),
        ],
    }
}

fn with_the_flow_gone(n: Names) -> Case {
    let (conversation, next) = (dns(n), n.pod(3, 53));
    let datagram = InParts::new(&conversation, 6);
    let setup = datagram.setup.clone();
    let mut steps = vec![
        Step::Setup(setup.clone()),
        datagram.goes(0, Outcome::NewFlow),
        Step::Setup(setup.endpoints(conversation.called, Protocol::Udp, &[next])),
        datagram.goes(1, FOLLOWS),
    ];
    steps.extend(
        Conversation {
            pod: next,
            ..conversation
        }
        .asks_much(7, Outcome::Resteered),
    );
    steps.push(datagram.goes(2, FOLLOWS));
    Case {
        name: "the fragments of a datagram go to one backend even if its flow gets another one meanwhile",
        steps,
    }
}

fn over_tcp_and_sctp(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let mut steps = vec![Step::Setup(
        Setup::default()
            .service(vip, Protocol::Tcp, &[pod])
            .service(vip, Protocol::Sctp, &[pod]),
    )];
    let segment = tcp("S", client, vip).carrying(&[1; 3000]);
    let chunk = sctp(Chunk::Init, (0, 5), client, vip).carrying(&[2; 3000]);
    for (packet, id) in [(segment, 1), (chunk, 2)] {
        steps.extend(meets(
            At::PodIngress,
            &packet,
            id,
            (Outcome::NewFlow, FOLLOWS),
            (client, pod),
        ));
    }
    Case {
        name: "TCP and SCTP fragments are translated too",
        steps,
    }
}

fn refused(n: Names) -> Case {
    let conversation = dns(n);
    let datagram = InParts::new(&conversation, 6);
    Case {
        name: "the other fragments of a packet are dropped if the first one was refused",
        steps: vec![
            Step::Setup(
                datagram
                    .setup
                    .clone()
                    .policy_drops(conversation.called, Protocol::Udp),
            ),
            datagram.is_dropped(0, Outcome::PolicyDropped),
            datagram.is_dropped(1, Outcome::FragmentDropped),
        ],
    }
}

fn taking_over(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let segment = tcp("PA", client, vip).carrying(&[1; 3000]);
    let mut steps = vec![Step::Setup(
        Setup::default().service(vip, Protocol::Tcp, &[pod]).taking_over(),
    )];
    for part in parts(&segment, 1) {
        steps.push(raw(At::PodIngress, part, Outcome::TakenOver, Out::Untouched));
    }
    Case {
        name: "while taking over, fragments of older connections' segments are left alone",
        steps,
    }
}

fn first_too_short(n: Names) -> Case {
    let (vip, pod) = (n.vip(1, 80), n.pod(1, 80));
    let tiny = |client, to| fragments(&tcp("S", client, to).carrying(&[1; 60]).bytes(), 1, 8);
    let setup = Setup::default()
        .service(vip, Protocol::Tcp, &[pod])
        .node_port(vip, Protocol::Tcp, 30_080)
        .own(n.node(0).ip(), true);
    let mut steps = vec![Step::Setup(setup.clone())];
    for (client, to) in [(n.client(40_000), vip), (n.client(40_001), n.node(30_080))] {
        // What a packet of the same number has left behind goes with it.
        let earlier = tcp("S", client, to).carrying(&[1; 3000]);
        let outcomes = (Outcome::NewFlow, FOLLOWS);
        steps.extend(meets(At::PodIngress, &earlier, 1, outcomes, (client, pod)));
        let parts = tiny(client, to);
        let too_short = Outcome::FragmentDropped;
        steps.push(raw(At::PodIngress, parts[0].clone(), too_short, Out::Dropped));
        let (outcome, out) = match to == vip {
            true => (Outcome::FragmentDropped, Out::Dropped),
            false => (Outcome::NotOurs, Out::Untouched),
        };
        steps.push(raw(At::PodIngress, parts[1].clone(), outcome, out));
    }
    let client = n.client(40_000);
    for at in [At::PodIngress, At::UplinkEgress] {
        let first = tiny(client, pod)[0].clone();
        steps.push(raw(at, first, Outcome::Malformed, Out::Untouched));
    }
    steps.push(Step::Setup(setup.taking_over()));
    for part in tiny(client, vip) {
        steps.push(raw(At::PodIngress, part, Outcome::TakenOver, Out::Untouched));
    }
    Case {
        name: "a first part too short for its transport's header does not pass to a Service",
        steps,
    }
}

fn behind_options(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 53), n.pod(1, 53));
    let wrap = |packet: &Packet| -> Vec<Vec<u8>> {
        parts(packet, 11).iter().map(|part| with_options(part)).collect()
    };
    let mut steps = vec![Step::Setup(Setup::default().service(vip, Protocol::Udp, &[pod]))];
    for (number, (came, left)) in wrap(&big(client, vip))
        .into_iter()
        .zip(wrap(&big(client, pod)))
        .enumerate()
    {
        let outcome = if number == 0 { Outcome::NewFlow } else { FOLLOWS };
        steps.push(raw(At::PodIngress, came, outcome, Out::Packet(left)));
    }
    Case {
        name: "fragments with IP options or further extension headers are recognised [63]",
        steps,
    }
}

fn only_one(n: Names) -> Case {
    let conversation = dns(n);
    let (client, vip, pod) = (conversation.client, conversation.called, conversation.pod);
    let mut steps = vec![Step::Setup(Setup::default().service(vip, Protocol::Udp, &[pod]))];
    let one = |packet: Packet| match n.family {
        Family::V4 => packet.bytes(),
        Family::V6 => atomic(&packet.bytes(), 1),
    };
    steps.push(raw(
        At::PodIngress,
        one(udp(client, vip)),
        Outcome::NewFlow,
        Out::Packet(one(udp(client, pod))),
    ));
    steps.push(conversation.is_answered(udp));
    Case {
        name: "an atomic fragment is a whole packet (RFC 6946)",
        steps,
    }
}
