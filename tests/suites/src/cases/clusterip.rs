// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pod and a ClusterIP: there, back, and again.

use dataplane::model::Protocol;
use dataplane_common::Outcome;

use super::{Case, Out, Step, becomes, send};
use crate::packet::{tcp, udp};
use crate::setup::{At, Names, Setup};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![
        there_and_back(n),
        keeps_its_backend(n),
        same_port_two_protocols(n),
        off_node_client(n),
        from_outside(n),
    ]
}

fn there_and_back(n: Names) -> Case {
    let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 8080));
    let syn = tcp("S", client, vip);
    Case {
        name: "a connection to a VIP reaches the backend and comes back from the VIP [1, 2]",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Tcp, &[pod])),
            becomes(At::PodIngress, &syn, Outcome::NewFlow, client, pod),
            Step::Flows(2),
            becomes(
                At::PodEgress,
                &tcp("SA", pod, client).numbers(9_000, 1_001),
                Outcome::Translated,
                vip,
                client,
            ),
            becomes(
                At::PodIngress,
                &tcp("A", client, vip).numbers(1_001, 9_001),
                Outcome::Translated,
                client,
                pod,
            ),
            becomes(
                At::PodIngress,
                &tcp("PA", client, vip).numbers(1_001, 9_001),
                Outcome::Translated,
                client,
                pod,
            ),
            becomes(
                At::PodEgress,
                &tcp("A", pod, client).numbers(9_001, 1_050),
                Outcome::Translated,
                vip,
                client,
            ),
            Step::Flows(2),
        ],
    }
}

fn keeps_its_backend(n: Names) -> Case {
    let (client, vip) = (n.client(40_000), n.vip(1, 53));
    let query = udp(client, vip);
    let grown: Vec<_> = (1..60).map(|number| n.pod(number, 53)).collect();
    Case {
        name: "a flow keeps its backend when others are added [3, 6]",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Udp, &[n.pod(1, 53)])),
            becomes(At::PodIngress, &query, Outcome::NewFlow, client, n.pod(1, 53)),
            Step::Setup(
                Setup::default()
                    .service(vip, Protocol::Udp, &[n.pod(1, 53)])
                    .endpoints(vip, Protocol::Udp, &grown),
            ),
            becomes(At::PodIngress, &query, Outcome::Translated, client, n.pod(1, 53)),
            send(
                At::PodIngress,
                &udp(n.client(40_001), vip),
                Outcome::NewFlow,
                Out::OneOf(
                    grown
                        .iter()
                        .map(|pod| udp(n.client(40_001), *pod).bytes())
                        .collect(),
                ),
            ),
        ],
    }
}

fn same_port_two_protocols(n: Names) -> Case {
    let (client, vip) = (n.client(40_000), n.vip(1, 53));
    Case {
        name: "one address and port is two Services over TCP and UDP [17]",
        steps: vec![
            Step::Setup(
                Setup::default()
                    .service(vip, Protocol::Tcp, &[n.pod(1, 5353)])
                    .service(vip, Protocol::Udp, &[n.pod(3, 53)]),
            ),
            becomes(
                At::PodIngress,
                &tcp("S", client, vip),
                Outcome::NewFlow,
                client,
                n.pod(1, 5353),
            ),
            becomes(
                At::PodIngress,
                &udp(client, vip),
                Outcome::NewFlow,
                client,
                n.pod(3, 53),
            ),
            becomes(
                At::PodEgress,
                &udp(n.pod(3, 53), client),
                Outcome::Translated,
                vip,
                client,
            ),
        ],
    }
}

fn off_node_client(n: Names) -> Case {
    let (client, vip, pod) = (n.outside(40_000), n.vip(1, 80), n.pod(1, 8080));
    Case {
        name: "a client outside keeps its address if the VIP's backend is on this node [30, 41]",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Tcp, &[pod])),
            becomes(
                At::UplinkIngress,
                &tcp("S", client, vip),
                Outcome::NewFlow,
                client,
                pod,
            ),
            Step::Flows(2),
            becomes(
                At::UplinkEgress,
                &tcp("SA", pod, client).numbers(9_000, 1_001),
                Outcome::Translated,
                vip,
                client,
            ),
        ],
    }
}

fn from_outside(n: Names) -> Case {
    let (client, vip, pod) = (n.outside(61_234), n.vip(1, 80), n.pod(2, 8080));
    let node = n.node(61_234);
    Case {
        name: "a client outside is masqueraded after routing if the backend is on another node [31]",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Tcp, &[pod])),
            becomes(
                At::UplinkIngress,
                &tcp("S", client, vip),
                Outcome::NewFlow,
                client,
                pod,
            ),
            becomes(
                At::UplinkEgress,
                &tcp("S", client, pod),
                Outcome::Masqueraded,
                node,
                pod,
            ),
            Step::Flows(4),
            becomes(
                At::UplinkIngress,
                &tcp("SA", pod, node).numbers(9_000, 1_001),
                Outcome::Translated,
                pod,
                client,
            ),
            becomes(
                At::UplinkEgress,
                &tcp("SA", pod, client).numbers(9_000, 1_001),
                Outcome::Translated,
                vip,
                client,
            ),
            becomes(
                At::UplinkIngress,
                &tcp("A", client, vip).numbers(1_001, 9_001),
                Outcome::Translated,
                client,
                pod,
            ),
            becomes(
                At::UplinkEgress,
                &tcp("A", client, pod).numbers(1_001, 9_001),
                Outcome::Translated,
                node,
                pod,
            ),
        ],
    }
}
