// SPDX-License-Identifier: MIT OR Apache-2.0
//! ICMP errors about packets of translated flows, outside and inside.

use std::net::{IpAddr, SocketAddr};

use dataplane::model::{Family, Protocol};
use dataplane_common::Outcome;

use super::talk::{Talk, syn};
use super::{Case, Out, Step, becomes, passes, raw};
use crate::forge::{Icmp, Shape, with_destination_options, with_options};
use crate::packet::{Chunk, Packet, sctp, tcp, udp};
use crate::world::{At, Names, World};

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
fn to_client(talk: &Talk, by: IpAddr) -> Step {
    let (client, called, pod) = (talk.client, talk.called, talk.pod);
    let shown = if by == pod.ip() { called.ip() } else { by };
    error(
        talk.hooks.1,
        (by, client.ip(), &udp(client, pod)),
        (shown, client.ip(), &udp(client, called)),
        ALL,
    )
}

/// About what the pod answered, and on its way to the pod.
fn to_pod(talk: &Talk, by: IpAddr) -> Step {
    let (client, called, pod) = (talk.client, talk.called, talk.pod);
    error(
        talk.hooks.0,
        (by, called.ip(), &udp(called, client)),
        (by, pod.ip(), &udp(pod, client)),
        ALL,
    )
}

/// About what left in the node's name, and on its way to the client.
fn back_in(talk: &Talk, node: SocketAddr, by: IpAddr) -> Step {
    let (client, pod) = (talk.client, talk.pod);
    error(
        talk.hooks.0,
        (by, node.ip(), &udp(node, pod)),
        (by, client.ip(), &udp(client, pod)),
        ALL,
    )
}

/// About an answer to the node's name, and on its way to the pod: if the client made it, from the node.
fn back_out(talk: &Talk, node: SocketAddr, by: IpAddr) -> Step {
    let (client, pod) = (talk.client, talk.pod);
    let shown = if by == client.ip() { node.ip() } else { by };
    error(
        talk.hooks.1,
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

fn web(n: Names) -> (Talk, Step) {
    let talk = Talk::of_pod(n.client(40_000), n.vip(1, 80), n.pod(1, 8080));
    let world = World::default()
        .service(talk.called, Protocol::Tcp, &[talk.pod])
        .service(talk.called, Protocol::Udp, &[talk.pod]);
    (talk, Step::World(world))
}

fn towards_the_client(n: Names) -> Case {
    let (talk, world) = web(n);
    Case {
        name: "an error about a client's packet is about the VIP, and from it if the backend made it [55, 88]",
        steps: vec![
            world,
            talk.opens(udp),
            to_client(&talk, talk.pod.ip()),
            to_client(&talk, n.router()),
            Step::Flows(2),
        ],
    }
}

fn towards_the_backend(n: Names) -> Case {
    let (talk, world) = web(n);
    Case {
        name: "an error about a reply finds its way to the backend, about what the backend sent [57]",
        steps: vec![
            world,
            talk.opens(udp),
            talk.is_answered(udp),
            to_pod(&talk, talk.client.ip()),
            to_pod(&talk, n.router()),
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
    let (talk, world) = web(n);
    let (client, vip, pod) = (talk.client, talk.called, talk.pod);
    let (sent, routed) = (syn(client, vip), syn(client, pod));
    let mut steps = vec![world, talk.opens(syn)];
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
    let (talk, world) = web(n);
    let (client, vip, pod) = (talk.client, talk.called, talk.pod);
    let (sent, routed) = (syn(client, vip), syn(client, pod));
    let mut steps = vec![world, talk.opens(syn)];
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
        name: "every kind of error is translated, and nothing that is none [55, 56, 60]",
        steps,
    }
}

fn masqueraded(n: Names) -> Case {
    let talk = Talk::from_outside(n.outside(61_234), n.vip(1, 80), n.pod(2, 8080));
    let (node, router) = (n.node(61_234), n.router());
    Case {
        name: "errors about a masqueraded flow pass both pairs, either way [55, 57]",
        steps: vec![
            Step::World(World::default().service(talk.called, Protocol::Udp, &[talk.pod])),
            talk.opens(udp),
            talk.leaves_as(node, udp, Outcome::Masqueraded),
            // Made by the backend, and by a router on the way to it.
            back_in(&talk, node, talk.pod.ip()),
            to_client(&talk, talk.pod.ip()),
            back_in(&talk, node, router),
            to_client(&talk, router),
            // Made by the client, and by a router on the way to it.
            to_pod(&talk, talk.client.ip()),
            back_out(&talk, node, talk.client.ip()),
            back_out(&talk, node, router),
            Step::Flows(4),
        ],
    }
}

fn hairpin(n: Names) -> Case {
    let talk = Talk::of_pod(n.pod(1, 61_500), n.vip(1, 80), n.pod(1, 8080));
    let (node, me) = (n.node(61_500), talk.client.ip());
    Case {
        name: "a pod that refuses its own packet hears so from the VIP",
        steps: vec![
            Step::World(World::default().service(talk.called, Protocol::Udp, &[talk.pod])),
            talk.opens(udp),
            talk.leaves_as(node, udp, Outcome::Masqueraded),
            back_in(&talk, node, me),
            to_client(&talk, me),
        ],
    }
}

fn moved(n: Names) -> Case {
    let (client, pod) = (n.client(40_000), n.pod(1, 80));
    let (first, second) = (tcp("S", client, n.vip(1, 80)), tcp("S", client, n.vip(2, 80)));
    let there = tcp("S", n.client(61_000), pod);
    Case {
        name: "an error about a flow that was given another port names the port that its client knows",
        steps: vec![
            Step::World(
                World::default()
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
            Step::World(World::default().service(vip, Protocol::Sctp, &[pod])),
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
    let (talk, world) = web(n);
    let (client, vip, pod) = (talk.client, talk.called, talk.pod);
    let (sent, routed) = (udp(client, vip), udp(client, pod));
    let kind = Icmp::TooBig;
    let mut steps = vec![world, talk.opens(udp)];
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
        name: "IP options and extension headers do not hide an error, nor what it quotes [63]",
        steps,
    }
}

fn without_checksum(n: Names) -> Case {
    let (talk, world) = web(n);
    let (client, vip, pod) = (talk.client, talk.called, talk.pod);
    let kind = Icmp::PortUnreachable;
    let without = |packet: &Packet| {
        let mut bytes = packet.bytes();
        let at = 14 + header(n) + 6;
        bytes[at..at + 2].fill(0);
        bytes
    };
    let message = |by, about: &Packet| kind.message(by, client.ip(), &without(about), ALL);
    let mut steps = vec![world, talk.opens(udp)];
    steps.push(raw(
        At::PodEgress,
        message(pod.ip(), &udp(client, pod)),
        Outcome::ErrorTranslated,
        Out::Packet(message(vip.ip(), &udp(client, vip))),
    ));
    Case {
        name: "a quoted UDP packet without a checksum is given none [12, 66]",
        steps,
    }
}

fn of_no_flow(n: Names) -> Case {
    let (talk, world) = web(n);
    let (client, pod) = (talk.client, talk.pod);
    let later = {
        // Quoting a later part of a packet, which has no ports: here it is bytes like any.
        let mut bytes = udp(client, pod).bytes();
        bytes[21] = 1;
        Icmp::TimeExceeded.message(n.router(), client.ip(), &bytes, ALL)
    };
    let mut steps = vec![world, talk.opens(udp)];
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
        name: "an error about no flow of ours passes byte for byte [60]",
        steps,
    }
}

fn to_a_vip(n: Names) -> Case {
    let (talk, world) = web(n);
    let (client, vip, pod) = (talk.client, talk.called, talk.pod);
    let about = udp(vip, client);
    let stray = Icmp::PortUnreachable.message(client.ip(), vip.ip(), &about.bytes(), ALL);
    let taking_over = World::default().service(vip, Protocol::Udp, &[pod]).taking_over();
    Case {
        name: "an ICMP error to a VIP that is about no flow goes nowhere, but while taking over [8]",
        steps: vec![
            world,
            raw(At::PodIngress, stray.clone(), Outcome::StrayIcmp, Out::Dropped),
            Step::World(taking_over),
            raw(At::PodIngress, stray, Outcome::TakenOver, Out::Untouched),
        ],
    }
}

fn no_sign_of_life(n: Names) -> Case {
    let (talk, world) = web(n);
    let (client, pod) = (talk.client, talk.pod);
    Case {
        name: "an error does not keep a flow alive",
        steps: vec![
            world,
            talk.opens(udp),
            Step::Age(20),
            to_client(&talk, pod.ip()),
            Step::Age(20),
            untouched(
                At::PodEgress,
                Icmp::PortUnreachable,
                pod.ip(),
                client.ip(),
                &udp(client, pod),
                ALL,
            ),
            talk.opens(udp),
        ],
    }
}

fn resolved_by_nobody(n: Names) -> Case {
    let talk = Talk::from_outside(n.outside(61_234), n.vip(1, 80), n.pod(2, 8080));
    let (client, pod) = (talk.client, talk.pod);
    Case {
        name: "an error about a flow whose masquerade is yet to be chosen passes as it is",
        steps: vec![
            Step::World(World::default().service(talk.called, Protocol::Udp, &[pod])),
            talk.opens(udp),
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
