// SPDX-License-Identifier: MIT OR Apache-2.0
//! How flows begin, end, and outlive what they were made from.

use dataplane::model::Protocol;
use dataplane_common::Outcome;

use super::conversation::{Conversation, ack, fin, fin_back, flagged, last_ack, numbered, syn, syn_ack};
use super::{Case, Step, passes, refused};
use crate::packet::{tcp, udp};
use crate::setup::{At, Names, Setup};

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
    let conversation = Conversation::of_pod(client, vip, pod);
    let both = Setup::default().service(vip, Protocol::Tcp, &[pod]).endpoints(
        vip,
        Protocol::Tcp,
        &[n.pod(3, 80), pod],
    );
    Case {
        name: "a retransmitted SYN keeps its backend and creates no second flow [4]",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Tcp, &[pod])),
            conversation.opens(syn),
            Step::Setup(both),
            conversation.asks(syn, Outcome::Translated),
            Step::Flows(2),
        ],
    }
}

fn reopened(n: Names) -> Case {
    let (client, vip, pod, next) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80), n.pod(3, 80));
    let conversation = Conversation::of_pod(client, vip, pod);
    let moved = Conversation {
        pod: next,
        ..conversation
    };
    let first = Setup::default().service(vip, Protocol::Tcp, &[pod]);
    Case {
        name: "a SYN after both FINs is a new connection, to a currently ready backend [5]",
        steps: vec![
            Step::Setup(first.clone()),
            conversation.opens(syn),
            conversation.is_answered(syn_ack),
            conversation.asks(ack, Outcome::Translated),
            conversation.asks(fin, Outcome::Translated),
            Step::Setup(first.endpoints(vip, Protocol::Tcp, &[next])),
            conversation.is_answered(fin_back),
            conversation.asks(last_ack, Outcome::Translated),
            moved.asks(numbered("S", 5_000, 0), Outcome::Reopened),
            Step::Flows(2),
        ],
    }
}

fn reset_and_reopened(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let conversation = Conversation::of_pod(client, vip, pod);
    Case {
        name: "a reset is translated, and the next SYN starts a new connection [69]",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Tcp, &[pod])),
            conversation.opens(syn),
            conversation.is_answered(numbered("RA", 0, 1_001)),
            conversation.asks(numbered("S", 7_000, 0), Outcome::Reopened),
            conversation.is_answered(numbered("SA", 1, 7_001)),
        ],
    }
}

fn udp_resteered(n: Names) -> Case {
    let (client, vip, pod, next) = (n.client(53_000), n.vip(1, 53), n.pod(1, 53), n.pod(3, 53));
    let conversation = Conversation::of_pod(client, vip, pod);
    let moved = Conversation {
        pod: next,
        ..conversation
    };
    let setup = Setup::default().service(vip, Protocol::Udp, &[pod]);
    Case {
        name: "a UDP flow goes to another backend with its next packet when its backend is removed [71]",
        steps: vec![
            Step::Setup(setup.clone()),
            conversation.opens(udp),
            conversation.is_answered(udp),
            Step::Setup(setup.endpoints(vip, Protocol::Udp, &[next])),
            moved.asks(udp, Outcome::Resteered),
            moved.is_answered(udp),
            passes(At::PodEgress, &udp(pod, client), Outcome::NotOurs),
            Step::Flows(2),
        ],
    }
}

fn udp_of_a_removed_service(n: Names) -> Case {
    let (client, vip, pod) = (n.client(53_000), n.vip(1, 53), n.pod(1, 53));
    let conversation = Conversation::of_pod(client, vip, pod);
    let setup = Setup::default().service(vip, Protocol::Udp, &[pod]);
    Case {
        name: "a UDP flow is refused while its Service has no endpoint, and goes on with the next endpoint",
        steps: vec![
            Step::Setup(setup.clone()),
            conversation.opens(udp),
            Step::Setup(setup.clone().endpoints(vip, Protocol::Udp, &[])),
            refused(At::PodIngress, &udp(client, vip), Outcome::RejectedNoEndpoint),
            Step::Flows(0),
            Step::Setup(setup),
            conversation.opens(udp),
            Step::Setup(Setup::default()),
            passes(At::PodIngress, &udp(client, vip), Outcome::NotOurs),
        ],
    }
}

fn tcp_goes_on(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let conversation = Conversation::of_pod(client, vip, pod);
    let setup = Setup::default().service(vip, Protocol::Tcp, &[pod]);
    Case {
        name: "a TCP connection goes on after its backend leaves the Service, and after the Service is deleted",
        steps: vec![
            Step::Setup(setup.clone()),
            conversation.opens(syn),
            conversation.is_answered(syn_ack),
            Step::Setup(setup.endpoints(vip, Protocol::Tcp, &[n.pod(3, 80)])),
            conversation.asks(ack, Outcome::Translated),
            Step::Setup(Setup::default()),
            conversation.asks(flagged("PA"), Outcome::Translated),
            conversation.is_answered(flagged("A")),
        ],
    }
}

fn syn_to_a_gone_backend(n: Names) -> Case {
    let (client, vip, pod, next) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80), n.pod(3, 80));
    let conversation = Conversation::of_pod(client, vip, pod);
    let moved = Conversation {
        pod: next,
        ..conversation
    };
    let setup = Setup::default().service(vip, Protocol::Tcp, &[pod]);
    Case {
        name: "an unanswered SYN is not sent again to a removed backend",
        steps: vec![
            Step::Setup(setup.clone()),
            conversation.opens(syn),
            Step::Setup(setup.endpoints(vip, Protocol::Tcp, &[next])),
            moved.asks(syn, Outcome::Resteered),
        ],
    }
}

fn expired(n: Names) -> Case {
    let (client, vip, pod, next) = (n.client(53_000), n.vip(1, 53), n.pod(1, 53), n.pod(3, 53));
    let conversation = Conversation::of_pod(client, vip, pod);
    let moved = Conversation {
        pod: next,
        ..conversation
    };
    let setup = Setup::default().service(vip, Protocol::Udp, &[pod]);
    Case {
        name: "a flow that was idle for too long is over, even before the sweep removes it [68]",
        steps: vec![
            Step::Setup(setup.clone()),
            conversation.opens(udp),
            Step::Age(20),
            conversation.asks(udp, Outcome::Translated),
            Step::Age(20),
            conversation.is_answered(udp),
            Step::Age(20),
            conversation.asks(udp, Outcome::Translated),
            Step::Age(100),
            conversation.asks(udp, Outcome::Translated),
            Step::Age(200),
            passes(At::PodEgress, &udp(pod, client), Outcome::NotOurs),
            Step::Flows(0),
            Step::Setup(setup.endpoints(vip, Protocol::Udp, &[next])),
            moved.opens(udp),
        ],
    }
}

fn midway(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let conversation = Conversation::of_pod(client, vip, pod);
    Case {
        name: "a connection whose entry was evicted goes on with its next segment",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Tcp, &[pod])),
            conversation.opens(numbered("PA", 77, 99)),
            conversation.is_answered(numbered("A", 99, 78)),
        ],
    }
}

fn taken_over(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
    let conversation = Conversation::of_pod(client, vip, pod);
    Case {
        name: "while taking over, a connection older than Shunt is left alone [82]",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Tcp, &[pod]).taking_over()),
            passes(At::PodIngress, &tcp("PA", client, vip), Outcome::TakenOver),
            conversation.opens(syn),
        ],
    }
}
