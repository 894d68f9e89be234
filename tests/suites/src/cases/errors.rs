// SPDX-License-Identifier: MIT OR Apache-2.0
//! ICMP errors about packets of translated flows, outside and inside.

use std::net::{IpAddr, SocketAddr};

use dataplane::model::{Family, Protocol};
use dataplane_common::Outcome;

use super::conversation::{Conversation, syn};
use super::{Case, Out, Step, becomes, passes, raw};
use crate::packet::{Chunk, Packet, sctp, tcp, udp};
use crate::packet_variants::{Icmp, Shape, with_destination_options, with_options};
use crate::setup::{At, Names, Setup};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![
        towards_the_client(n),
        towards_the_backend(n),
        quoted_in_part(n),
        of_every_kind(n),
        masqueraded(n),
        hairpin(n),
        moved(n),
        about_sctp(n),
        between_headers(n),
        without_checksum(n),
        of_no_flow(n),
        to_a_vip(n),
        to_another(n),
        no_sign_of_life(n),
        resolved_by_nobody(n),
    ]
}

/// All of a packet that the cases make.
const ALL: usize = usize::MAX;

/// An error from `by` to `to` about a packet, and the same between other ends about another packet.
fn error(
    at: At,
    (by, to, about): (IpAddr, IpAddr, &Packet),
    (new_by, new_to, new_about): (IpAddr, IpAddr, &Packet),
    quote: usize,
) -> Step {
    let kind = Icmp::PortUnreachable;
    raw(
        at,
        kind.message(by, to, &about.bytes(), quote),
        Outcome::ErrorTranslated,
        Out::Packet(kind.message(new_by, new_to, &new_about.bytes(), quote)),
    )
}

/// About what the client sent, as the client hears of it: if the pod made it, from whom the client called.
fn to_client(conversation: &Conversation, by: IpAddr) -> Step {
    let (client, called, pod) = (conversation.client, conversation.called, conversation.pod);
    let shown = if by == pod.ip() { called.ip() } else { by };
    error(
        conversation.hooks.1,
        (by, client.ip(), &udp(client, pod)),
        (shown, client.ip(), &udp(client, called)),
        ALL,
    )
}

/// About what the pod answered, and on its way to the pod.
fn to_pod(conversation: &Conversation, by: IpAddr) -> Step {
    let (client, called, pod) = (conversation.client, conversation.called, conversation.pod);
    error(
        conversation.hooks.0,
        (by, called.ip(), &udp(called, client)),
        (by, pod.ip(), &udp(pod, client)),
        ALL,
    )
}

/// About what left in the node's name, and on its way to the client.
fn back_in(conversation: &Conversation, node: SocketAddr, by: IpAddr) -> Step {
    let (client, pod) = (conversation.client, conversation.pod);
    error(
        conversation.hooks.0,
        (by, node.ip(), &udp(node, pod)),
        (by, client.ip(), &udp(client, pod)),
        ALL,
    )
}

/// About an answer to the node's name, and on its way to the pod: if the client made it, from the node.
fn back_out(conversation: &Conversation, node: SocketAddr, by: IpAddr) -> Step {
    let (client, pod) = (conversation.client, conversation.pod);
    let shown = if by == client.ip() { node.ip() } else { by };
    error(
        conversation.hooks.1,
        (by, pod.ip(), &udp(pod, client)),
        (shown, pod.ip(), &udp(pod, node)),
        ALL,
    )
}

/// A message that is left as it is.
fn untouched(at: At, kind: Icmp, by: IpAddr, to: IpAddr, about: &Packet, quote: usize) -> Step {
    raw(
        at,
        kind.message(by, to, &about.bytes(), quote),
        Outcome::NotOurs,
        Out::Untouched,
    )
}

fn web(n: Names) -> (Conversation, Step) {
    let conversation = Conversation::of_pod(n.client(40_000), n.vip(1, 80), n.pod(1, 8080));
    let setup = Setup::default()
        .service(conversation.called, Protocol::Tcp, &[conversation.pod])
        .service(conversation.called, Protocol::Udp, &[conversation.pod]);
    (conversation, Step::Setup(setup))
}

fn towards_the_client(n: Names) -> Case {
    let (conversation, setup) = web(n);
    Case {
        name: "an error about a client's packet quotes the VIP, and comes from it if the backend sent it [55, 88]",
        steps: vec![
            setup,
            conversation.opens(udp),
            to_client(&conversation, conversation.pod.ip()),
            to_client(&conversation, n.router()),
            Step::Flows(2),
        ],
    }
}

fn towards_the_backend(n: Names) -> Case {
    let (conversation, setup) = web(n);
    Case {
        name: "an error about a reply reaches the backend and quotes the packet that the backend sent [57]",
        steps: vec![
            setup,
            conversation.opens(udp),
            conversation.is_answered(udp),
            to_pod(&conversation, conversation.client.ip()),
            to_pod(&conversation, n.router()),
            Step::Flows(2),
        ],
    }
}

/// Bytes of an IP header.
fn header(n: Names) -> usize {
    match n.family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

fn quoted_in_part(n: Names) -> Case {
    let (conversation, setup) = web(n);
    let (client, vip, pod) = (conversation.client, conversation.called, conversation.pod);
    let (sent, routed) = (syn(client, vip), syn(client, pod));
    let mut steps = vec![setup, conversation.opens(syn)];
    // RFC 792 promises 8 bytes of the transport; TCP's checksum is in its 17th and 18th.
    for quote in [4, 8, 16, 18, 19, 20] {
        steps.push(error(
            At::PodEgress,
            (pod.ip(), client.ip(), &routed),
            (vip.ip(), client.ip(), &sent),
            header(n) + quote,
        ));
    }
    let mut passes = |kind, quote| {
        steps.push(untouched(
            At::PodEgress,
            kind,
            pod.ip(),
            client.ip(),
            &routed,
            quote,
        ))
    };
    for quote in [0, 1, 3] {
        passes(Icmp::PortUnreachable, header(n) + quote);
    }
    passes(Icmp::TooBig, header(n) - 1);
    passes(Icmp::TooBig, 0);
    Case {
        name: "an error that quotes no more than 8 bytes of the transport is translated, without a read beyond them",
        steps,
    }
}

fn of_every_kind(n: Names) -> Case {
    let (conversation, setup) = web(n);
    let (client, vip, pod) = (conversation.client, conversation.called, conversation.pod);
    let (sent, routed) = (syn(client, vip), syn(client, pod));
    let mut steps = vec![setup, conversation.opens(syn)];
    for kind in Icmp::ERRORS {
        let message = |by, about: &Packet| kind.message(by, client.ip(), &about.bytes(), ALL);
        steps.push(raw(
            At::PodEgress,
            message(n.router(), &routed),
            Outcome::ErrorTranslated,
            Out::Packet(message(n.router(), &sent)),
        ));
    }
    for kind in [Icmp::Redirect, Icmp::EchoRequest] {
        steps.push(untouched(
            At::PodEgress,
            kind,
            n.router(),
            client.ip(),
            &routed,
            ALL,
        ));
    }
    Case {
        name: "every kind of ICMP error is translated, and no other ICMP message [55, 56, 60]",
        steps,
    }
}

fn masqueraded(n: Names) -> Case {
    let conversation = Conversation::from_outside(n.outside(61_234), n.vip(1, 80), n.pod(2, 8080));
    let (node, router) = (n.node(61_234), n.router());
    Case {
        name: "errors about a masqueraded flow are translated by both pairs, in both directions [55, 57]",
        steps: vec![
            Step::Setup(Setup::default().service(conversation.called, Protocol::Udp, &[conversation.pod])),
            conversation.opens(udp),
            conversation.leaves_as(node, udp, Outcome::Masqueraded),
            // Made by the backend, and by a router on the way to it.
            back_in(&conversation, node, conversation.pod.ip()),
            to_client(&conversation, conversation.pod.ip()),
            back_in(&conversation, node, router),
            to_client(&conversation, router),
            // Made by the client, and by a router on the way to it.
            to_pod(&conversation, conversation.client.ip()),
            back_out(&conversation, node, conversation.client.ip()),
            back_out(&conversation, node, router),
            Step::Flows(4),
        ],
    }
}

fn hairpin(n: Names) -> Case {
    let conversation = Conversation::of_pod(n.pod(1, 61_500), n.vip(1, 80), n.pod(1, 8080));
    let (node, me) = (n.node(61_500), conversation.client.ip());
    Case {
        name: "a pod that refuses its own packet gets the error from the VIP",
        steps: vec![
            Step::Setup(Setup::default().service(conversation.called, Protocol::Udp, &[conversation.pod])),
            conversation.opens(udp),
            conversation.leaves_as(node, udp, Outcome::Masqueraded),
            back_in(&conversation, node, me),
            to_client(&conversation, me),
        ],
    }
}

fn moved(n: Names) -> Case {
    let (client, pod) = (n.client(40_000), n.pod(1, 80));
    let (first, second) = (tcp("S", client, n.vip(1, 80)), tcp("S", client, n.vip(2, 80)));
    let there = tcp("S", n.client(61_000), pod);
    Case {
        name: "an error about a flow that moved to another port quotes the client's own port",
        steps: vec![
            Step::Setup(
                Setup::default()
                    .service(n.vip(1, 80), Protocol::Tcp, &[pod])
                    .service(n.vip(2, 80), Protocol::Tcp, &[pod])
                    .ports(61_000, 1),
            ),
            becomes(At::PodIngress, &first, Outcome::NewFlow, client, pod),
            becomes(At::PodIngress, &second, Outcome::Moved, n.client(61_000), pod),
            error(
                At::PodEgress,
                (pod.ip(), client.ip(), &there),
                (n.vip(2, 80).ip(), client.ip(), &second),
                ALL,
            ),
            error(
                At::PodIngress,
                (client.ip(), n.vip(2, 80).ip(), &tcp("SA", n.vip(2, 80), client)),
                (client.ip(), pod.ip(), &tcp("SA", pod, n.client(61_000))),
                header(n) + 8,
            ),
        ],
    }
}

fn about_sctp(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 2905), n.pod(1, 2905));
    let init = |to| sctp(Chunk::Init, (0, 77), client, to);
    Case {
        name: "an error about SCTP is translated; its checksum covers no address [58]",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Sctp, &[pod])),
            becomes(At::PodIngress, &init(vip), Outcome::NewFlow, client, pod),
            error(
                At::PodEgress,
                (pod.ip(), client.ip(), &init(pod)),
                (vip.ip(), client.ip(), &init(vip)),
                ALL,
            ),
        ],
    }
}

fn between_headers(n: Names) -> Case {
    let (conversation, setup) = web(n);
    let (client, vip, pod) = (conversation.client, conversation.called, conversation.pod);
    let (sent, routed) = (udp(client, vip), udp(client, pod));
    let kind = Icmp::TooBig;
    let mut steps = vec![setup, conversation.opens(udp)];
    let mut shapes: Vec<(Shape, Shape)> = vec![
        (with_options, <[u8]>::to_vec),
        (<[u8]>::to_vec, with_options),
        (with_options, with_options),
    ];
    if n.family == Family::V6 {
        shapes.push((
            |frame| with_destination_options(frame, 64),
            |frame| with_destination_options(frame, 24),
        ));
    }
    for (outside, inside) in shapes {
        let message =
            |by, about: &Packet| outside(&kind.message(by, client.ip(), &inside(&about.bytes()), ALL));
        steps.push(raw(
            At::PodEgress,
            message(pod.ip(), &routed),
            Outcome::ErrorTranslated,
            Out::Packet(message(vip.ip(), &sent)),
        ));
    }
    Case {
        name: "IP options and extension headers hide neither an error nor the packet it quotes [63]",
        steps,
    }
}

fn without_checksum(n: Names) -> Case {
    let (conversation, setup) = web(n);
    let (client, vip, pod) = (conversation.client, conversation.called, conversation.pod);
    let kind = Icmp::PortUnreachable;
    let without = |packet: &Packet| {
        let mut bytes = packet.bytes();
        let at = 14 + header(n) + 6;
        bytes[at..at + 2].fill(0);
        bytes
    };
    let message = |by, about: &Packet| kind.message(by, client.ip(), &without(about), ALL);
    let mut steps = vec![setup, conversation.opens(udp)];
    steps.push(raw(
        At::PodEgress,
        message(pod.ip(), &udp(client, pod)),
        Outcome::ErrorTranslated,
        Out::Packet(message(vip.ip(), &udp(client, vip))),
    ));
    Case {
        name: "a quoted UDP packet without a checksum stays without one [12, 66]",
        steps,
    }
}

fn of_no_flow(n: Names) -> Case {
    let (conversation, setup) = web(n);
    let (client, pod) = (conversation.client, conversation.pod);
    let later = {
        // Quoting a later part of a packet, which has no ports: here it is bytes like any.
        let mut bytes = udp(client, pod).bytes();
        bytes[21] = 1;
        Icmp::TimeExceeded.message(n.router(), client.ip(), &bytes, ALL)
    };
    let mut steps = vec![setup, conversation.opens(udp)];
    for at in [At::PodIngress, At::PodEgress, At::UplinkIngress, At::UplinkEgress] {
        let other = udp(n.client(40_001), pod);
        steps.push(untouched(
            at,
            Icmp::PortUnreachable,
            pod.ip(),
            client.ip(),
            &other,
            ALL,
        ));
        let ping = Icmp::EchoRequest;
        steps.push(untouched(at, ping, client.ip(), pod.ip(), &other, ALL));
    }
    if n.family == Family::V4 {
        steps.push(raw(At::PodEgress, later, Outcome::NotOurs, Out::Untouched));
    }
    // The same flow's, but travelling the wrong way.
    let wrong = udp(pod, client);
    steps.push(untouched(
        At::PodEgress,
        Icmp::PortUnreachable,
        n.router(),
        pod.ip(),
        &wrong,
        ALL,
    ));
    Case {
        name: "an error about a flow of no Service passes byte for byte [60]",
        steps,
    }
}

fn to_a_vip(n: Names) -> Case {
    let (conversation, setup) = web(n);
    let (client, vip, pod) = (conversation.client, conversation.called, conversation.pod);
    let about = udp(vip, client);
    let stray = Icmp::PortUnreachable.message(client.ip(), vip.ip(), &about.bytes(), ALL);
    let taking_over = Setup::default().service(vip, Protocol::Udp, &[pod]).taking_over();
    Case {
        name: "an ICMP error to a VIP about no known flow is dropped, except while taking over [8]",
        steps: vec![
            setup,
            raw(At::PodIngress, stray.clone(), Outcome::StrayIcmp, Out::Dropped),
            Step::Setup(taking_over),
            raw(At::PodIngress, stray, Outcome::TakenOver, Out::Untouched),
        ],
    }
}

fn no_sign_of_life(n: Names) -> Case {
    let (conversation, setup) = web(n);
    let (client, pod) = (conversation.client, conversation.pod);
    Case {
        name: "an error does not keep a flow alive",
        steps: vec![
            setup,
            conversation.opens(udp),
            Step::Age(20),
            to_client(&conversation, pod.ip()),
            Step::Age(20),
            untouched(
                At::PodEgress,
                Icmp::PortUnreachable,
                pod.ip(),
                client.ip(),
                &udp(client, pod),
                ALL,
            ),
            conversation.opens(udp),
        ],
    }
}

fn resolved_by_nobody(n: Names) -> Case {
    let conversation = Conversation::from_outside(n.outside(61_234), n.vip(1, 80), n.pod(2, 8080));
    let (client, pod) = (conversation.client, conversation.pod);
    Case {
        name: "an error about a flow whose masquerade is still pending passes unchanged",
        steps: vec![
            Step::Setup(Setup::default().service(conversation.called, Protocol::Udp, &[pod])),
            conversation.opens(udp),
            untouched(
                At::UplinkEgress,
                Icmp::TooBig,
                n.router(),
                pod.ip(),
                &udp(pod, client),
                ALL,
            ),
            passes(At::UplinkEgress, &udp(pod, n.client(1)), Outcome::NotOurs),
        ],
    }
}

/// Anybody can quote a flow: the error must go to the one whose packet it quotes.
fn to_another(n: Names) -> Case {
    let (talk, setup) = web(n);
    let (client, vip, pod) = (talk.client, talk.called, talk.pod);
    let node = n.node(0).ip();
    let mut steps = vec![setup, talk.opens(udp), talk.is_answered(udp)];
    for by in [client.ip(), n.router()] {
        for to in [node, n.outside(0).ip(), pod.ip()] {
            steps.push(untouched(
                talk.hooks.0,
                Icmp::PortUnreachable,
                by,
                to,
                &udp(vip, client),
                ALL,
            ));
            steps.push(untouched(
                talk.hooks.1,
                Icmp::PortUnreachable,
                by,
                to,
                &udp(client, pod),
                ALL,
            ));
        }
    }
    let stray = Icmp::TooBig.message(n.router(), n.vip(1, 0).ip(), &udp(client, pod).bytes(), ALL);
    steps.push(raw(talk.hooks.0, stray, Outcome::StrayIcmp, Out::Dropped));
    Case {
        name: "an error that goes to another than the sender of what it quotes is left as it is",
        steps,
    }
}
