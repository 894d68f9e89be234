// SPDX-License-Identifier: MIT OR Apache-2.0
//! NodePorts, load balancers' addresses and external ones.

use dataplane::model::{FrontendKind, Protocol, TrafficPolicy};
use dataplane_common::Outcome;

use super::conversation::{Conversation, ack, fin, rst, syn, syn_ack};
use super::{Case, Step, dropped, passes, refused};
use crate::packet::{Packet, udp};
use crate::setup::{At, Names, Setup};

const TCP: Protocol = Protocol::Tcp;

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![
        node_port(n),
        elsewhere(n),
        from_pods(n),
        not_at_other_addresses(n),
        exact_before_node_port(n),
        lent_addresses(n),
        other_ports_of_lent_addresses(n),
        bound_on_the_node(n),
        policy_local(n),
        no_endpoints(n),
        answers_of_others(n),
        listeners(n),
        masquerade_keeps_off(n),
    ]
}

/// A Service with a NodePort, and the node's address.
fn setup(n: Names, backends: &[std::net::SocketAddr]) -> Setup {
    let vip = n.vip(1, 80);
    Setup::default()
        .service(vip, TCP, backends)
        .node_port(vip, TCP, 30_080)
        .own(n.node(0).ip(), true)
}

fn node_port(n: Names) -> Case {
    let (node, pod) = (n.node(30_080), n.pod(1, 8080));
    let conversation = Conversation::from_outside(n.outside(40_000), node, pod);
    Case {
        name: "a NodePort leads to a backend on this node, which sees the client [30]",
        steps: vec![
            Step::Setup(setup(n, &[pod])),
            conversation.opens(syn),
            conversation.is_answered(syn_ack),
            conversation.asks(ack, Outcome::Translated),
            Step::Flows(2),
        ],
    }
}

fn elsewhere(n: Names) -> Case {
    let (node, pod, own) = (n.node(30_080), n.pod(2, 8080), n.node(61_234));
    let conversation = Conversation::from_outside(n.outside(61_234), node, pod);
    Case {
        name: "a NodePort's flow to a backend on another node is masqueraded after routing [31]",
        steps: vec![
            Step::Setup(setup(n, &[pod])),
            conversation.opens(syn),
            conversation.leaves_as(own, syn, Outcome::Masqueraded),
            conversation.comes_back_to(own, syn_ack),
            conversation.is_answered(syn_ack),
            Step::Flows(4),
        ],
    }
}

fn from_pods(n: Names) -> Case {
    let (node, pod) = (n.node(30_080), n.pod(2, 8080));
    let conversation = Conversation::of_pod(n.client(40_000), node, pod);
    Case {
        name: "a pod keeps its address at its own node's NodePort, except to itself [45, 46]",
        steps: vec![
            Step::Setup(setup(n, &[pod])),
            conversation.opens(syn),
            Step::Flows(2),
            conversation.is_answered(syn_ack),
            Conversation::of_pod(n.pod(2, 40_001), node, pod).opens(syn),
            Step::Flows(5),
        ],
    }
}

fn not_at_other_addresses(n: Names) -> Case {
    let client = n.outside(40_000);
    let (vip, other) = (n.vip(1, 30_080), n.lent(9, 30_080));
    Case {
        name: "a NodePort is served only at the node's addresses that are marked for NodePorts [39]",
        steps: vec![
            Step::Setup(setup(n, &[n.pod(1, 8080)]).own(other.ip(), false)),
            passes(At::UplinkIngress, &syn(client, other), Outcome::NotOurs),
            passes(
                At::UplinkIngress,
                &syn(client, n.outside(30_080)),
                Outcome::NotOurs,
            ),
            refused(At::UplinkIngress, &syn(client, vip), Outcome::RejectedUnknownPort),
            passes(At::UplinkIngress, &syn(client, n.node(30_081)), Outcome::NotOurs),
            passes(At::UplinkIngress, &udp(client, n.node(30_080)), Outcome::NotOurs),
            // An address that appears later counts from then on.
            Step::Setup(setup(n, &[n.pod(1, 8080)]).own(other.ip(), true)),
            Conversation::from_outside(client, other, n.pod(1, 8080)).opens(syn),
        ],
    }
}

fn exact_before_node_port(n: Names) -> Case {
    let (client, node) = (n.outside(40_000), n.node(30_080));
    let (vip, pod) = (n.vip(2, 80), n.pod(3, 8080));
    Case {
        name: "an external address that is the node's own takes precedence over a NodePort of the same number",
        steps: vec![
            Step::Setup(setup(n, &[n.pod(1, 8080)]).service(vip, TCP, &[pod]).frontend(
                vip,
                TCP,
                (FrontendKind::ExternalIp, node),
                TrafficPolicy::Cluster,
            )),
            Conversation::from_outside(client, node, pod).opens(syn),
        ],
    }
}

/// A Service at a load balancer's address and at an external one, and the two.
fn lent(n: Names) -> (Setup, [std::net::SocketAddr; 2]) {
    let (balancer, external) = (n.lent(1, 80), n.lent(2, 80));
    let vip = n.vip(1, 80);
    let setup = setup(n, &[n.pod(1, 8080)])
        .load_balancer(vip, TCP, balancer)
        .frontend(
            vip,
            TCP,
            (FrontendKind::ExternalIp, external),
            TrafficPolicy::Cluster,
        );
    (setup, [balancer, external])
}

fn lent_addresses(n: Names) -> Case {
    let (setup, addresses) = lent(n);
    let pod = n.pod(1, 8080);
    let mut steps = vec![Step::Setup(setup)];
    for (at, port) in addresses.into_iter().zip(40_000..) {
        steps.push(Conversation::from_outside(n.outside(port), at, pod).opens(syn));
        steps.push(Conversation::of_pod(n.client(port), at, pod).opens(syn));
    }
    Case {
        name: "load balancers' and external addresses lead to the Service, for pods and clients outside [40]",
        steps,
    }
}

fn other_ports_of_lent_addresses(n: Names) -> Case {
    let (setup, addresses) = lent(n);
    let client = n.outside(40_000);
    let mut steps = vec![Step::Setup(setup)];
    for at in addresses {
        for port in [81, 30_080] {
            let other = std::net::SocketAddr::new(at.ip(), port);
            steps.push(passes(At::UplinkIngress, &syn(client, other), Outcome::NotOurs));
        }
        steps.push(passes(At::UplinkIngress, &udp(client, at), Outcome::NotOurs));
    }
    Case {
        name: "ports of such an address that no Service has, NodePorts included, are left alone [40]",
        steps,
    }
}

fn bound_on_the_node(n: Names) -> Case {
    let (setup, addresses) = lent(n);
    let pod = n.pod(1, 8080);
    let setup = addresses
        .iter()
        .fold(setup, |setup, at| setup.own(at.ip(), false));
    let mut steps = vec![Step::Setup(setup)];
    for (at, port) in addresses.into_iter().zip(40_000..) {
        steps.push(Conversation::from_outside(n.outside(port), at, pod).opens(syn));
    }
    Case {
        name: "a load balancer's or external address is served even if it is bound on the node",
        steps,
    }
}

fn policy_local(n: Names) -> Case {
    let (vip, balancer) = (n.vip(1, 80), n.lent(1, 80));
    let (here, elsewhere) = (n.pod(1, 8080), n.pod(2, 8080));
    let setup = |backends: &[std::net::SocketAddr]| {
        let kind = (FrontendKind::LoadBalancer, balancer);
        Setup::default()
            .service(vip, TCP, backends)
            .frontend(vip, TCP, kind, TrafficPolicy::Local)
    };
    let mut steps = vec![Step::Setup(setup(&[here, elsewhere]))];
    for port in 40_000..40_008 {
        steps.push(Conversation::from_outside(n.outside(port), balancer, here).opens(syn));
    }
    steps.extend([
        Step::Setup(setup(&[elsewhere])),
        dropped(
            At::UplinkIngress,
            &syn(n.outside(41_000), balancer),
            Outcome::PolicyDropped,
        ),
        Conversation::of_pod(n.client(41_000), balancer, elsewhere).opens(syn),
        Conversation::from_outside(n.outside(41_001), vip, elsewhere).opens(syn),
    ]);
    Case {
        name: "the external policy Local applies to clients outside only; other clients and the ClusterIP use all backends [36, 37]",
        steps,
    }
}

fn no_endpoints(n: Names) -> Case {
    let (outside, pod) = (n.outside(40_000), n.client(40_000));
    let (vip, balancer) = (n.vip(1, 80), n.lent(1, 80));
    let setup = setup(n, &[]).load_balancer(vip, TCP, balancer);
    let mut steps = vec![Step::Setup(setup)];
    for at in [n.node(30_080), balancer, vip] {
        for (hook, client) in [(At::UplinkIngress, outside), (At::PodIngress, pod)] {
            steps.push(refused(hook, &syn(client, at), Outcome::RejectedNoEndpoint));
        }
    }
    Case {
        name: "without endpoints every frontend refuses at once [10]",
        steps,
    }
}

fn answers_of_others(n: Names) -> Case {
    let (outside, node, pod) = (n.outside(443), n.node(30_080), n.pod(1, 8080));
    let vip = n.vip(1, 80);
    let conversation = Conversation::from_outside(outside, node, pod);
    let other = Conversation::from_outside(n.outsider(0, 443), node, pod);
    let own = |packet: fn(std::net::SocketAddr, std::net::SocketAddr) -> Packet| {
        passes(At::UplinkIngress, &packet(outside, node), Outcome::OwnAddress)
    };
    let setup = setup(n, &[pod])
        .service(vip, Protocol::Udp, &[pod])
        .node_port(vip, Protocol::Udp, 30_080);
    Case {
        name: "whoever asked gets the answer: one to the node, or to a pod behind its masquerade, is no NodePort's client",
        steps: vec![
            Step::Setup(setup),
            // Nothing that answers a SYN opens a flow.
            own(syn_ack),
            own(ack),
            own(fin),
            own(rst),
            conversation.opens(syn),
            // A datagram that leaves by a NodePort's number leaves a note for its answer.
            passes(At::UplinkEgress, &udp(node, outside), Outcome::NotOurs),
            passes(At::UplinkIngress, &udp(outside, node), Outcome::ForeignAnswer),
            other.opens(udp),
            other.is_answered(udp),
            Step::Age(20),
            passes(At::UplinkEgress, &udp(node, outside), Outcome::NotOurs),
            Step::Age(20),
            passes(At::UplinkIngress, &udp(outside, node), Outcome::ForeignAnswer),
            Step::Age(2),
            passes(At::UplinkIngress, &udp(outside, node), Outcome::ForeignAnswer),
            Step::Age(100),
            passes(At::UplinkIngress, &udp(outside, node), Outcome::ForeignAnswer),
            Step::Age(200),
            conversation.opens(udp),
            conversation.is_answered(udp),
            // A live client of the NodePort stays one, whatever the node sends it.
            passes(At::PodEgress, &udp(node, outside), Outcome::NotOurs),
            conversation.asks(udp, Outcome::Translated),
        ],
    }
}

fn listeners(n: Names) -> Case {
    let (outside, node, pod) = (n.outside(40_000), n.node(30_080), n.pod(1, 8080));
    let vip = n.vip(1, 80);
    let conversation = Conversation::from_outside(outside, node, pod);
    let setup = setup(n, &[pod])
        .service(vip, Protocol::Udp, &[pod])
        .node_port(vip, Protocol::Udp, 30_080);
    Case {
        name: "a process of the node that listens on a NodePort's number takes none of its packets",
        steps: vec![
            Step::Setup(setup.socket(TCP, 30_080).socket(Protocol::Udp, 30_080)),
            conversation.opens(syn),
            conversation.opens(udp),
            conversation.is_answered(udp),
        ],
    }
}

fn masquerade_keeps_off(n: Names) -> Case {
    let pod = n.pod(2, 8080);
    let conversation = Conversation::from_outside(n.outside(30_080), n.node(30_080), pod);
    Case {
        name: "a NodePort's number is never used for masquerade",
        steps: vec![
            Step::Setup(setup(n, &[pod]).ports(30_080, 2)),
            conversation.opens(syn),
            conversation.leaves_as(n.node(30_081), syn, Outcome::Masqueraded),
        ],
    }
}
