// SPDX-License-Identifier: MIT OR Apache-2.0
//! SCTP: addresses are rewritten, ports and the checksum never.

use dataplane::model::Protocol;
use dataplane_common::Outcome;

use super::{Case, Step, becomes, dropped, passes, refused};
use crate::packet::{Chunk, Packet, sctp};
use crate::setup::{At, Names, Setup};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![
        association(n),
        shut_down(n),
        aborted(n),
        goes_on(n),
        other_port(n),
        taken_port(n),
        masqueraded(n),
        nobody(n),
    ]
}

const PORT: u16 = 2905;
/// The tags that client and backend choose.
const MINE: u32 = 0x1234_5678;
const THEIRS: u32 = 0x9abc_def0;

fn init(n: Names) -> Packet {
    sctp(Chunk::Init, (0, MINE), n.client(PORT), n.vip(1, PORT))
}

fn init_ack(n: Names, number: u8) -> Packet {
    sctp(
        Chunk::InitAck,
        (MINE, THEIRS),
        n.pod(number, PORT),
        n.client(PORT),
    )
}

/// From the client, and from the backend.
fn sent(n: Names, chunk: Chunk) -> Packet {
    sctp(chunk, (THEIRS, 0), n.client(PORT), n.vip(1, PORT)).carrying(b"data")
}

fn answered(n: Names, chunk: Chunk) -> Packet {
    sctp(chunk, (MINE, 0), n.pod(1, PORT), n.client(PORT)).carrying(b"data")
}

fn setup(n: Names, pods: &[u8]) -> Setup {
    let pods: Vec<_> = pods.iter().map(|number| n.pod(*number, PORT)).collect();
    Setup::default().service(n.vip(1, PORT), Protocol::Sctp, &pods)
}

fn opened(n: Names) -> Vec<Step> {
    let (client, vip, pod) = (n.client(PORT), n.vip(1, PORT), n.pod(1, PORT));
    vec![
        Step::Setup(setup(n, &[1])),
        becomes(At::PodIngress, &init(n), Outcome::NewFlow, client, pod),
        becomes(At::PodEgress, &init_ack(n, 1), Outcome::Translated, vip, client),
        becomes(
            At::PodIngress,
            &sent(n, Chunk::CookieEcho),
            Outcome::Translated,
            client,
            pod,
        ),
    ]
}

fn forth(n: Names, chunk: Chunk) -> Step {
    becomes(
        At::PodIngress,
        &sent(n, chunk),
        Outcome::Translated,
        n.client(PORT),
        n.pod(1, PORT),
    )
}

fn back(n: Names, chunk: Chunk) -> Step {
    becomes(
        At::PodEgress,
        &answered(n, chunk),
        Outcome::Translated,
        n.vip(1, PORT),
        n.client(PORT),
    )
}

fn association(n: Names) -> Case {
    let mut steps = opened(n);
    steps.extend([
        forth(n, Chunk::Data),
        back(n, Chunk::Data),
        Step::Flows(2),
        // Longer than an attempt to open one lasts, shorter than an open one.
        Step::Age(4_000),
        forth(n, Chunk::Data),
        back(n, Chunk::Data),
    ]);
    Case {
        name: "an SCTP association to a VIP, there and back, its checksum as it was sent [18]",
        steps,
    }
}

fn shut_down(n: Names) -> Case {
    let mut steps = opened(n);
    steps.extend([
        forth(n, Chunk::Shutdown),
        back(n, Chunk::ShutdownAck),
        forth(n, Chunk::ShutdownComplete),
        Step::Setup(setup(n, &[1]).endpoints(n.vip(1, PORT), Protocol::Sctp, &[n.pod(3, PORT)])),
        becomes(
            At::PodIngress,
            &init(n),
            Outcome::Reopened,
            n.client(PORT),
            n.pod(3, PORT),
        ),
    ]);
    Case {
        name: "an INIT after a shutdown is a new association, to a currently ready backend",
        steps,
    }
}

fn aborted(n: Names) -> Case {
    let mut steps = opened(n);
    steps.extend([
        back(n, Chunk::Abort),
        becomes(
            At::PodIngress,
            &init(n),
            Outcome::Reopened,
            n.client(PORT),
            n.pod(1, PORT),
        ),
    ]);
    Case {
        name: "an INIT after an ABORT is a new association",
        steps,
    }
}

fn goes_on(n: Names) -> Case {
    let another = sctp(Chunk::Init, (0, 5), n.client(PORT), n.vip(1, PORT));
    let mut steps = opened(n);
    steps.extend([
        Step::Setup(setup(n, &[1]).endpoints(n.vip(1, PORT), Protocol::Sctp, &[n.pod(3, PORT)])),
        forth(n, Chunk::Data),
        back(n, Chunk::Data),
        // It may be forged. If the old backend does not answer it, it is over there.
        becomes(
            At::PodIngress,
            &another,
            Outcome::Translated,
            n.client(PORT),
            n.pod(1, PORT),
        ),
        Step::Age(2),
        becomes(
            At::PodIngress,
            &another,
            Outcome::Resteered,
            n.client(PORT),
            n.pod(3, PORT),
        ),
    ]);
    Case {
        name: "an association outlives its backend's place in the Service; a second INIT that it leaves unanswered does not",
        steps,
    }
}

fn other_port(n: Names) -> Case {
    let vip = n.vip(1, PORT);
    let service = Setup::default().service(vip, Protocol::Sctp, &[n.pod(1, 3_000)]);
    Case {
        name: "SCTP to a Service whose pods have another port is refused, never half-applied",
        steps: vec![
            Step::Setup(service),
            dropped(At::PodIngress, &init(n), Outcome::SctpPortChange),
            Step::Flows(0),
        ],
    }
}

fn taken_port(n: Names) -> Case {
    let mut steps = opened(n);
    let both = setup(n, &[1]).service(n.vip(2, PORT), Protocol::Sctp, &[n.pod(1, PORT)]);
    let second = sctp(Chunk::Init, (0, 5), n.client(PORT), n.vip(2, PORT));
    steps.extend([
        Step::Setup(both),
        dropped(At::PodIngress, &second, Outcome::SctpPortChange),
        Step::Flows(2),
        forth(n, Chunk::Data),
    ]);
    Case {
        name: "the second of two associations that would look the same to a backend is refused",
        steps,
    }
}

fn masqueraded(n: Names) -> Case {
    let (client, vip, pod, node) = (n.outside(PORT), n.vip(1, PORT), n.pod(2, PORT), n.node(PORT));
    let other = n.client(PORT);
    let hello = |from, to| sctp(Chunk::Init, (0, MINE), from, to);
    Case {
        name: "masqueraded SCTP keeps its client's port; a second association with the same port is refused while the first one lives",
        steps: vec![
            Step::Setup(setup(n, &[2])),
            becomes(
                At::UplinkIngress,
                &hello(client, vip),
                Outcome::NewFlow,
                client,
                pod,
            ),
            becomes(
                At::UplinkEgress,
                &hello(client, pod),
                Outcome::Masqueraded,
                node,
                pod,
            ),
            becomes(
                At::UplinkIngress,
                &sctp(Chunk::InitAck, (MINE, THEIRS), pod, node),
                Outcome::Translated,
                pod,
                client,
            ),
            becomes(
                At::UplinkIngress,
                &hello(other, vip),
                Outcome::NewFlow,
                other,
                pod,
            ),
            dropped(At::UplinkEgress, &hello(other, pod), Outcome::SctpPortChange),
            becomes(
                At::UplinkEgress,
                &sctp(Chunk::Data, (THEIRS, 0), client, pod),
                Outcome::Translated,
                node,
                pod,
            ),
            becomes(
                At::UplinkIngress,
                &sctp(Chunk::Abort, (MINE, 0), pod, node),
                Outcome::Translated,
                pod,
                client,
            ),
            // At once: a port rests only where there is another.
            becomes(
                At::UplinkEgress,
                &hello(other, pod),
                Outcome::Masqueraded,
                node,
                pod,
            ),
        ],
    }
}

fn nobody(n: Names) -> Case {
    let (client, pod) = (n.client(PORT), n.pod(1, PORT));
    let direct = sctp(Chunk::Init, (0, MINE), client, pod);
    Case {
        name: "SCTP to a VIP without an SCTP Service is refused as other protocols are; other SCTP passes",
        steps: vec![
            Step::Setup(setup(n, &[])),
            refused(At::PodIngress, &init(n), Outcome::RejectedNoEndpoint),
            passes(At::PodIngress, &direct, Outcome::NotOurs),
            passes(At::PodEgress, &init_ack(n, 1), Outcome::NotOurs),
        ],
    }
}
