// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two flows that would have one tuple towards a backend.

use std::net::SocketAddr;

use dataplane::model::Protocol;
use dataplane_common::{Hook, Outcome};

use super::conversation::{Conversation, ack, fin, fin_back, last_ack, numbered, rst, syn, syn_ack};
use super::{Case, Out, Step, passes, send};
use crate::packet::{Packet, tcp, udp};
use crate::setup::{At, Names, Setup};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![
        two_vips(n),
        evicted_udp(n),
        evicted_tcp(n),
        evicted_syn(n),
        evicted_and_over(n),
        evicted_request(n),
        direct_after(n),
        direct_beside(n),
        direct_before(n),
        direct_udp(n),
    ]
}

/// The packet goes to the pod with its client moved to any port of the node's range.
fn moves(packet: &Packet, outcome: Outcome, n: Names, to: SocketAddr) -> Step {
    let moved = (61_000..65_000).map(|port| packet.between(n.client(port), to).bytes());
    send(At::PodIngress, packet, outcome, Out::OneOf(moved.collect()))
}

/// The pod's segment after the client's first acknowledgement.
fn ack_back(src: SocketAddr, dst: SocketAddr) -> Packet {
    tcp("A", src, dst).numbers(9_001, 1_001)
}

fn two_vips(n: Names) -> Case {
    let (client, pod) = (n.client(40_000), n.pod(1, 80));
    let conversation = Conversation::of_pod(client, n.vip(1, 80), pod);
    let second = tcp("S", client, n.vip(2, 80));
    Case {
        name: "two VIPs with one backend, from one source port, are two connections to it",
        steps: vec![
            Step::Setup(
                Setup::default()
                    .service(n.vip(1, 80), Protocol::Tcp, &[pod])
                    .service(n.vip(2, 80), Protocol::Tcp, &[pod]),
            ),
            conversation.opens(syn),
            moves(&second, Outcome::Moved, n, pod),
            moves(&second, Outcome::Translated, n, pod),
            Step::Flows(4),
            conversation.is_answered(numbered("SA", 1, 1_001)),
        ],
    }
}

/// The table lost what turns the first flow's replies back, and a second flow took the tuple.
fn evicted(
    n: Names,
    protocol: Protocol,
    packet: fn(SocketAddr, SocketAddr) -> Packet,
) -> (Conversation, Conversation, Vec<Step>) {
    let (client, pod) = (n.client(40_000), n.pod(1, 80));
    let (first, second) = (
        Conversation::of_pod(client, n.vip(1, 80), pod),
        Conversation::of_pod(client, n.vip(2, 80), pod),
    );
    let mut setup = Setup::default();
    for vip in 1..=3 {
        setup = setup.service(n.vip(vip, 80), protocol, &[pod]);
    }
    let steps = vec![
        Step::Setup(setup),
        first.opens(packet),
        Step::Evict(Hook::Egress, protocol, pod, client),
        second.opens(packet),
        Step::Flows(3),
    ];
    (first, second, steps)
}

fn evicted_udp(n: Names) -> Case {
    let (first, second, mut steps) = evicted(n, Protocol::Udp, udp);
    let more = udp(first.client, first.called);
    steps.extend([
        Step::Age(2),
        moves(&more, Outcome::Moved, n, first.pod),
        moves(&more, Outcome::Translated, n, first.pod),
        second.is_answered(udp),
        Step::Flows(4),
    ]);
    Case {
        name: "a flow whose reply tuple another flow took moves to another port",
        steps,
    }
}

fn evicted_tcp(n: Names) -> Case {
    let (first, second, mut steps) = evicted(n, Protocol::Tcp, syn);
    let (again, third) = (syn(first.client, first.called), syn(first.client, n.vip(3, 80)));
    steps.extend([
        second.is_answered(syn_ack),
        second.asks(ack, Outcome::Translated),
        // The first expires, the second does not.
        Step::Age(70),
        // The second is not over with the first, so its tuple is not given to a third.
        moves(&third, Outcome::Moved, n, first.pod),
        // Nor is it lost with what is left of the first.
        moves(&again, Outcome::Moved, n, first.pod),
        second.is_answered(ack_back),
        Step::Flows(6),
    ]);
    Case {
        name: "the end of a connection leaves the flow alone that took its reply tuple",
        steps,
    }
}

fn evicted_syn(n: Names) -> Case {
    let (first, second, mut steps) = evicted(n, Protocol::Tcp, syn);
    let again = syn(first.client, first.called).numbers(5_000, 0);
    steps.extend([
        moves(&again, Outcome::Moved, n, first.pod),
        Step::Flows(4),
        second.is_answered(syn_ack),
    ]);
    Case {
        name: "a SYN on a flow whose reply tuple another flow took moves to another port",
        steps,
    }
}

fn evicted_and_over(n: Names) -> Case {
    let (first, second, mut steps) = evicted(n, Protocol::Tcp, syn);
    let again = numbered("S", 5_000, 0);
    steps.extend([
        second.is_answered(syn_ack),
        second.asks(ack, Outcome::Translated),
        second.asks(rst, Outcome::Translated),
        Step::Age(3),
        first.opens(&again),
        first.is_answered(numbered("SA", 1, 5_001)),
        Step::Flows(2),
    ]);
    Case {
        name: "a SYN on a flow whose reply tuple a finished flow took gets the tuple back",
        steps,
    }
}

/// The table lost what leads the client to its pod, and the client's flow has another pod by now.
fn evicted_request(n: Names) -> Case {
    let (client, vip) = (n.client(40_000), n.vip(1, 80));
    let [first, second] = [1, 2].map(|number| Conversation::of_pod(client, vip, n.pod(number, 80)));
    let setup = |conversation: Conversation| {
        Step::Setup(Setup::default().service(vip, Protocol::Udp, &[conversation.pod]))
    };
    Case {
        name: "replies are translated even after the client's flow moved to another backend",
        steps: vec![
            setup(first),
            first.opens(udp),
            first.is_answered(udp),
            setup(second),
            Step::Evict(Hook::Ingress, Protocol::Udp, client, vip),
            second.opens(udp),
            Step::Age(2),
            first.is_answered(udp),
            Step::Age(2),
            first.is_answered(udp),
            second.is_answered(udp),
        ],
    }
}

fn direct_after(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let conversation = Conversation::of_pod(client, vip, pod);
    Case {
        name: "a direct connection from the port of a finished Service connection is untouched",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Tcp, &[pod])),
            conversation.opens(syn),
            conversation.is_answered(syn_ack),
            conversation.asks(ack, Outcome::Translated),
            conversation.asks(fin, Outcome::Translated),
            conversation.is_answered(fin_back),
            conversation.asks(last_ack, Outcome::Translated),
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
    let conversation = Conversation::of_pod(client, vip, pod);
    let direct = tcp("S", client, pod).numbers(5_000, 0);
    let more = tcp("A", client, pod).numbers(5_001, 1);
    Case {
        name: "a direct connection beside a live Service connection of its port goes by another port",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Tcp, &[pod])),
            conversation.opens(syn),
            conversation.is_answered(numbered("SA", 1, 1_001)),
            moves(&direct, Outcome::PlainMoved, n, pod),
            moves(&more, Outcome::Translated, n, pod),
            conversation.is_answered(numbered("A", 2, 1_002)),
            conversation.asks(numbered("A", 1_002, 2), Outcome::Translated),
        ],
    }
}

fn direct_before(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let again = syn(client, vip);
    Case {
        name: "a direct connection that was there first keeps its tuple; the Service's moves with the next SYN",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Tcp, &[pod])),
            passes(
                At::PodIngress,
                &tcp("S", client, pod).numbers(5_000, 0),
                Outcome::NotOurs,
            ),
            Conversation::of_pod(client, vip, pod).opens(syn),
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
            moves(&again, Outcome::Moved, n, pod),
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
    let conversation = Conversation::of_pod(client, vip, pod);
    let direct = udp(client, pod);
    Case {
        name: "a direct UDP packet from the port of a live Service flow goes by another port",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Udp, &[pod])),
            passes(At::PodIngress, &direct, Outcome::NotOurs),
            conversation.opens(udp),
            moves(&direct, Outcome::PlainMoved, n, pod),
            moves(&direct, Outcome::Translated, n, pod),
            conversation.is_answered(udp),
            Step::Age(400),
            passes(At::PodIngress, &direct, Outcome::StaleRemoved),
            passes(At::PodIngress, &direct, Outcome::NotOurs),
        ],
    }
}
