// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pod and a ClusterIP: there, back, and again.

use dataplane::model::Protocol;
use dataplane_common::Outcome;

use super::conversation::{Conversation, ack, numbered, syn, syn_ack};
use super::{Case, Out, Step, send};
use crate::packet::udp;
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
    let conversation = Conversation::of_pod(n.client(40_000), n.vip(1, 80), n.pod(1, 8080));
    Case {
        name: "a connection to a VIP reaches the backend and comes back from the VIP [1, 2]",
        steps: vec![
            serving(&conversation),
            conversation.opens(syn),
            Step::Flows(2),
            conversation.is_answered(syn_ack),
            conversation.asks(ack, Outcome::Translated),
            conversation.asks(numbered("PA", 1_001, 9_001), Outcome::Translated),
            conversation.is_answered(numbered("A", 9_001, 1_050)),
            Step::Flows(2),
        ],
    }
}

/// A TCP Service that leads to the conversation's pod.
fn serving(conversation: &Conversation) -> Step {
    let (vip, pod) = (conversation.called, conversation.pod);
    Step::Setup(Setup::default().service(vip, Protocol::Tcp, &[pod]))
}

fn keeps_its_backend(n: Names) -> Case {
    let (next, vip) = (n.client(40_001), n.vip(1, 53));
    let conversation = Conversation::of_pod(n.client(40_000), vip, n.pod(1, 53));
    let grown: Vec<_> = (1..60).map(|number| n.pod(number, 53)).collect();
    let before = Setup::default().service(vip, Protocol::Udp, &[conversation.pod]);
    let any_of_them = grown.iter().map(|pod| udp(next, *pod).bytes()).collect();
    Case {
        name: "a flow keeps its backend when others are added [3, 6]",
        steps: vec![
            Step::Setup(before.clone()),
            conversation.opens(udp),
            Step::Setup(before.endpoints(vip, Protocol::Udp, &grown)),
            conversation.asks(udp, Outcome::Translated),
            send(
                At::PodIngress,
                &udp(next, vip),
                Outcome::NewFlow,
                Out::OneOf(any_of_them),
            ),
        ],
    }
}

fn same_port_two_protocols(n: Names) -> Case {
    let (client, vip) = (n.client(40_000), n.vip(1, 53));
    let over_tcp = Conversation::of_pod(client, vip, n.pod(1, 5353));
    let over_udp = Conversation::of_pod(client, vip, n.pod(3, 53));
    Case {
        name: "one address and port is two Services over TCP and UDP [17]",
        steps: vec![
            Step::Setup(
                Setup::default()
                    .service(vip, Protocol::Tcp, &[over_tcp.pod])
                    .service(vip, Protocol::Udp, &[over_udp.pod]),
            ),
            over_tcp.opens(syn),
            over_udp.opens(udp),
            over_udp.is_answered(udp),
        ],
    }
}

fn off_node_client(n: Names) -> Case {
    let conversation = Conversation::from_outside(n.outside(40_000), n.vip(1, 80), n.pod(1, 8080));
    Case {
        name: "a client outside keeps its address if the VIP's backend is on this node [30, 41]",
        steps: vec![
            serving(&conversation),
            conversation.opens(syn),
            Step::Flows(2),
            conversation.is_answered(syn_ack),
        ],
    }
}

fn from_outside(n: Names) -> Case {
    let conversation = Conversation::from_outside(n.outside(61_234), n.vip(1, 80), n.pod(2, 8080));
    let node = n.node(61_234);
    Case {
        name: "a client outside is masqueraded after routing if the backend is on another node [31]",
        steps: vec![
            serving(&conversation),
            conversation.opens(syn),
            conversation.leaves_as(node, syn, Outcome::Masqueraded),
            Step::Flows(4),
            conversation.comes_back_to(node, syn_ack),
            conversation.is_answered(syn_ack),
            conversation.asks(ack, Outcome::Translated),
            conversation.leaves_as(node, ack, Outcome::Translated),
        ],
    }
}
