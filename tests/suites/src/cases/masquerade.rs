// SPDX-License-Identifier: MIT OR Apache-2.0
//! Source addresses and ports that replies find their way back to: given, kept, lost, used up.

use std::net::SocketAddr;

use dataplane::model::Protocol;
use dataplane_common::{Hook, Outcome};

use super::conversation::{Conversation, ack, fin, fin_back, last_ack, numbered, syn, syn_ack};
use super::{Case, Out, Step, dropped, passes, send};
use crate::packet::{Packet, udp};
use crate::setup::{At, Names, Setup};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![
        other_range(n),
        used_up(n),
        given_back(n),
        rested(n),
        rested_alone(n),
        contested(n),
        contested_alone(n),
        half_gone(n),
        half_closed(n, 0),
        half_closed(n, 65),
        long_on_the_way(n),
        of_a_socket(n, Protocol::Udp),
        of_a_socket(n, Protocol::Tcp),
        lost(n),
        lost_for_good(n),
        lost_on_the_way(n),
        lost_to_another(n),
        shared(n),
        not_the_nodes_own(n),
    ]
}

/// The Service's only backend is on another node.
fn setup(n: Names) -> Setup {
    Setup::default()
        .service(n.vip(1, 80), Protocol::Udp, &[n.pod(2, 8080)])
        .service(n.vip(1, 80), Protocol::Tcp, &[n.pod(2, 8080)])
}

fn conversation(n: Names, client: SocketAddr) -> Conversation {
    Conversation::from_outside(client, n.vip(1, 80), n.pod(2, 8080))
}

/// A client's packet on its way in and out again, until it is masqueraded.
fn leaves(n: Names, client: SocketAddr, node: SocketAddr) -> [Step; 2] {
    let conversation = conversation(n, client);
    [
        conversation.opens(udp),
        conversation.leaves_as(node, udp, Outcome::Masqueraded),
    ]
}

fn leaves_again(n: Names, client: SocketAddr, node: SocketAddr) -> [Step; 2] {
    let conversation = conversation(n, client);
    [
        conversation.asks(udp, Outcome::Translated),
        conversation.leaves_as(node, udp, Outcome::Translated),
    ]
}

fn comes_back(n: Names, client: SocketAddr, node: SocketAddr) -> [Step; 2] {
    let conversation = conversation(n, client);
    [
        conversation.comes_back_to(node, udp),
        conversation.is_answered(udp),
    ]
}

fn other_range(n: Names) -> Case {
    let (client, node) = (n.outside(40_000), n.node(61_000));
    let mut steps = vec![Step::Setup(setup(n).ports(61_000, 1))];
    steps.extend(leaves(n, client, node));
    steps.extend(comes_back(n, client, node));
    Case {
        name: "a client's port outside the node's range is replaced by one inside, and restored in the reply [35]",
        steps,
    }
}

fn used_up(n: Names) -> Case {
    let (first, second, node) = (n.outside(40_000), n.outside(40_001), n.node(61_000));
    let pod = n.pod(2, 8080);
    let mut steps = vec![Step::Setup(setup(n).ports(61_000, 1))];
    steps.extend(leaves(n, first, node));
    steps.extend([
        conversation(n, second).opens(udp),
        dropped(At::UplinkEgress, &udp(second, pod), Outcome::PortsExhausted),
        dropped(At::UplinkEgress, &udp(second, pod), Outcome::PortsExhausted),
    ]);
    steps.extend(comes_back(n, first, node));
    // Half of the second flow waits; the first is whole.
    steps.push(Step::Flows(4 + 3));
    steps.push(Step::Age(4));
    steps.extend(leaves_again(n, first, node));
    steps.extend(comes_back(n, first, node));
    steps.push(Step::Age(35));
    steps.push(conversation(n, first).asks(udp, Outcome::Translated));
    Case {
        name: "without a free port a flow is refused and counted, and other flows go on [35]",
        steps,
    }
}

fn given_back(n: Names) -> Case {
    let (first, second, node) = (n.outside(40_000), n.outside(40_001), n.node(61_000));
    let mut steps = vec![Step::Setup(setup(n).ports(61_000, 1))];
    steps.extend(leaves(n, first, node));
    steps.push(Step::Age(35));
    steps.extend(leaves(n, second, node));
    steps.extend(comes_back(n, second, node));
    Case {
        name: "the port of a finished flow is reused by the next flow",
        steps,
    }
}

fn rested(n: Names) -> Case {
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|number| n.outsider(number, 61_000));
    let (kept, pod) = (n.node(61_000), n.pod(2, 8080));
    let others = (61_001..61_008).map(|port| syn(n.node(port), pod).bytes());
    let mut steps = vec![Step::Setup(setup(n).ports(61_000, 8))];
    let conversation = |client| conversation(n, client);
    let opens = |client, node| {
        [
            conversation(client).opens(syn),
            conversation(client).leaves_as(node, syn, Outcome::Masqueraded),
        ]
    };
    steps.extend(opens(first, kept));
    let first = conversation(first);
    steps.extend(established(first, kept));
    steps.extend(closed(first, kept));
    // The pod waits in TIME_WAIT, under this very port.
    let elsewhere = |client| {
        [
            conversation(client).opens(syn),
            send(
                At::UplinkEgress,
                &syn(client, pod),
                Outcome::Masqueraded,
                Out::OneOf(others.clone().collect()),
            ),
        ]
    };
    steps.extend(elsewhere(second));
    steps.push(Step::Age(50));
    steps.extend(elsewhere(third));
    steps.push(Step::Age(20));
    steps.extend(opens(fourth, kept));
    Case {
        name: "a port whose connection has ended is not given to another for a minute, while there are others",
        steps,
    }
}

fn rested_alone(n: Names) -> Case {
    let [first, second] = [0, 1].map(|number| conversation(n, n.outsider(number, 61_000)));
    let kept = n.node(61_000);
    let mut steps = vec![
        Step::Setup(setup(n).ports(61_000, 1)),
        first.opens(syn),
        first.leaves_as(kept, syn, Outcome::Masqueraded),
    ];
    steps.extend(established(first, kept));
    steps.extend(closed(first, kept));
    steps.extend([
        second.opens(syn),
        dropped(
            At::UplinkEgress,
            &syn(second.client, second.pod),
            Outcome::PortsExhausted,
        ),
        Step::Age(3),
        second.asks(syn, Outcome::Translated),
        second.leaves_as(kept, syn, Outcome::Masqueraded),
    ]);
    Case {
        name: "where there are no others, the port of a closed connection is given away after two seconds",
        steps,
    }
}

/// A masqueraded connection, after its SYN has left.
fn established(conversation: Conversation, node: SocketAddr) -> [Step; 4] {
    [
        conversation.comes_back_to(node, syn_ack),
        conversation.is_answered(syn_ack),
        conversation.asks(ack, Outcome::Translated),
        conversation.leaves_as(node, ack, Outcome::Translated),
    ]
}

/// Both ends of a masqueraded connection close it.
fn closed(conversation: Conversation, node: SocketAddr) -> [Step; 6] {
    [
        conversation.asks(fin, Outcome::Translated),
        conversation.leaves_as(node, fin, Outcome::Translated),
        conversation.comes_back_to(node, fin_back),
        conversation.is_answered(fin_back),
        conversation.asks(last_ack, Outcome::Translated),
        conversation.leaves_as(node, last_ack, Outcome::Translated),
    ]
}

/// The pod has another connection under the node's port, of which the node knows nothing (any more).
fn contested(n: Names) -> Case {
    let (client, pod) = (n.outsider(0, 61_000), n.pod(2, 8080));
    let [kept, other] = [61_000, 61_001].map(|port| n.node(port));
    let conversation = conversation(n, client);
    let challenge = numbered("A", 77, 5_001);
    let again = |port| {
        [
            conversation.asks(syn, Outcome::Translated),
            conversation.leaves_as(port, syn, Outcome::Masqueraded),
        ]
    };
    let mut steps = vec![
        Step::Setup(setup(n).ports(61_000, 2)),
        conversation.opens(syn),
        conversation.leaves_as(kept, syn, Outcome::Masqueraded),
        passes(At::UplinkIngress, &challenge(pod, kept), Outcome::Contested),
    ];
    steps.extend(again(other));
    steps.push(passes(At::UplinkIngress, &challenge(pod, kept), Outcome::NotOurs));
    steps.push(passes(
        At::UplinkIngress,
        &challenge(pod, other),
        Outcome::Contested,
    ));
    steps.extend(again(kept));
    steps.extend([
        conversation.comes_back_to(kept, syn_ack),
        conversation.is_answered(syn_ack),
        conversation.asks(ack, Outcome::Translated),
        conversation.leaves_as(kept, ack, Outcome::Translated),
        Step::Flows(4),
    ]);
    Case {
        name: "a port that turns out to belong to another connection is not used by the next SYN, which is always masqueraded",
        steps,
    }
}

/// The same where there is no other port.
fn contested_alone(n: Names) -> Case {
    let (client, pod, node) = (n.outside(61_000), n.pod(2, 8080), n.node(61_000));
    let conversation = conversation(n, client);
    Case {
        name: "a SYN is refused if the only free port belongs to another connection of the pod; the next SYN is not",
        steps: vec![
            Step::Setup(setup(n).ports(61_000, 1)),
            conversation.opens(syn),
            conversation.leaves_as(node, syn, Outcome::Masqueraded),
            passes(
                At::UplinkIngress,
                &numbered("A", 77, 5_001)(pod, node),
                Outcome::Contested,
            ),
            conversation.asks(syn, Outcome::Translated),
            dropped(At::UplinkEgress, &syn(client, pod), Outcome::PortsExhausted),
            conversation.asks(syn, Outcome::Translated),
            conversation.leaves_as(node, syn, Outcome::Masqueraded),
            conversation.comes_back_to(node, syn_ack),
            conversation.is_answered(syn_ack),
            Step::Flows(4),
        ],
    }
}

/// The stack keeps the client's SYNs back, for a neighbour that does not answer, say, and then lets one go.
fn long_on_the_way(n: Names) -> Case {
    let (client, node) = (n.outside(40_000), n.node(61_000));
    let conversation = conversation(n, client);
    let again = || [Step::Age(40), conversation.asks(syn, Outcome::Translated)];
    let mut steps = vec![Step::Setup(setup(n).ports(61_000, 1)), conversation.opens(syn)];
    steps.extend(again());
    steps.extend(again());
    steps.extend([
        conversation.leaves_as(node, syn, Outcome::Masqueraded),
        Step::Flows(4),
        conversation.comes_back_to(node, syn_ack),
        conversation.is_answered(syn_ack),
    ]);
    Case {
        name: "a client's SYN that leaves the node a minute after its first is masqueraded",
        steps,
    }
}

/// A flow's first pair is gone, its second is there and over.
fn half_gone(n: Names) -> Case {
    let (client, node) = (n.outside(40_000), n.node(61_000));
    let (vip, pod) = (n.vip(1, 80), n.pod(2, 8080));
    let evict = |hook, src, dst| Step::Evict(hook, Protocol::Udp, src, dst);
    let mut steps = vec![Step::Setup(setup(n).ports(61_000, 1))];
    steps.extend(leaves(n, client, node));
    steps.extend([
        evict(Hook::Ingress, client, vip),
        evict(Hook::Egress, pod, client),
        Step::Age(35),
        Step::Flows(2),
    ]);
    steps.extend(leaves(n, client, node));
    steps.push(Step::Flows(4));
    steps.extend(comes_back(n, client, node));
    Case {
        name: "a flow whose tuple has an old masquerade gets a masquerade of its own",
        steps,
    }
}

/// The pod's FIN was lost between the hooks, so that the second pair is closed and the first is not.
fn half_closed(n: Names, seconds: u64) -> Case {
    let (client, node) = (n.outside(40_000), n.node(61_000));
    let conversation = conversation(n, client);
    let reopens = numbered("S", 50_000, 0);
    let accepts = numbered("SA", 1, 50_001);
    let mut steps = vec![Step::Setup(setup(n).ports(61_000, 1))];
    steps.extend([
        conversation.opens(syn),
        conversation.leaves_as(node, syn, Outcome::Masqueraded),
    ]);
    steps.extend(established(conversation, node));
    steps.extend([
        conversation.asks(fin, Outcome::Translated),
        conversation.leaves_as(node, fin, Outcome::Translated),
        conversation.comes_back_to(node, fin_back),
        conversation.leaves_as(node, last_ack, Outcome::Translated),
        Step::Age(seconds),
        conversation.asks(&reopens, Outcome::Translated),
        conversation.leaves_as(node, &reopens, Outcome::Masqueraded),
        conversation.comes_back_to(node, &accepts),
        conversation.is_answered(&accepts),
    ]);
    Case {
        name: match seconds {
            0 => "a SYN on a closed masquerade is masqueraded again, though its Service's flow is open",
            _ => {
                "a SYN on an expired masquerade is masqueraded again, though its Service's flow has not expired"
            }
        },
        steps,
    }
}

fn of_a_socket(n: Names, protocol: Protocol) -> Case {
    let (client, pod) = (n.outside(61_778), n.pod(2, 8080));
    let packet: fn(SocketAddr, SocketAddr) -> Packet = match protocol {
        Protocol::Udp => udp,
        _ => syn,
    };
    let others: Vec<_> = [61_777, 61_779]
        .map(|port| packet(n.node(port), pod).bytes())
        .to_vec();
    Case {
        name: "a port that a socket of the node uses is not used for masquerade [34]",
        steps: vec![
            Step::Setup(setup(n).ports(61_777, 3).socket(protocol, 61_778)),
            conversation(n, client).opens(packet),
            send(
                At::UplinkEgress,
                &packet(client, pod),
                Outcome::Masqueraded,
                Out::OneOf(others),
            ),
        ],
    }
}

fn lost(n: Names) -> Case {
    let (client, node) = (n.outside(61_234), n.node(61_234));
    let pod = n.pod(2, 8080);
    let mut steps = vec![Step::Setup(setup(n))];
    steps.extend(leaves(n, client, node));
    steps.extend(comes_back(n, client, node));
    let evict = |hook, src, dst| Step::Evict(hook, Protocol::Udp, src, dst);
    // Each of the four is put back by the next packet of its partner; a second passes for that.
    for gone in [evict(Hook::Egress, pod, client), evict(Hook::Ingress, pod, node)] {
        steps.extend([gone, Step::Flows(3), Step::Age(2)]);
        steps.extend(leaves_again(n, client, node));
        steps.push(Step::Flows(4));
        steps.extend(comes_back(n, client, node));
    }
    steps.extend([evict(Hook::Egress, client, pod), Step::Flows(3), Step::Age(2)]);
    steps.extend(comes_back(n, client, node));
    steps.push(Step::Flows(4));
    steps.extend(leaves_again(n, client, node));
    Case {
        name: "a masqueraded flow whose entry was evicted gets it back, with the same port [33]",
        steps,
    }
}

/// Both halves of the second pair are gone: the flow goes on, by any port.
fn lost_for_good(n: Names) -> Case {
    let (client, node) = (n.outside(40_000), n.node(61_000));
    let pod = n.pod(2, 8080);
    let evict = |hook, src, dst| Step::Evict(hook, Protocol::Udp, src, dst);
    let mut steps = vec![Step::Setup(setup(n).ports(61_000, 1))];
    steps.extend(leaves(n, client, node));
    steps.extend([
        evict(Hook::Egress, client, pod),
        evict(Hook::Ingress, pod, node),
        Step::Age(2),
        conversation(n, client).asks(udp, Outcome::Translated),
        conversation(n, client).leaves_as(node, udp, Outcome::Masqueraded),
        Step::Flows(4),
    ]);
    steps.extend(comes_back(n, client, node));
    Case {
        name: "a masqueraded flow whose port was evicted gets another port [33]",
        steps,
    }
}

/// The entry that was lost waits for the client's packet, as the pod's comes.
fn lost_on_the_way(n: Names) -> Case {
    let (client, node) = (n.outside(40_000), n.node(61_000));
    let conversation = conversation(n, client);
    let mut steps = vec![Step::Setup(setup(n).ports(61_000, 1))];
    steps.extend(leaves(n, client, node));
    steps.extend(comes_back(n, client, node));
    steps.extend([
        Step::Evict(Hook::Egress, Protocol::Udp, client, conversation.pod),
        Step::Age(2),
        conversation.asks(udp, Outcome::Translated),
    ]);
    steps.extend(comes_back(n, client, node));
    steps.push(conversation.leaves_as(node, udp, Outcome::Masqueraded));
    steps.extend(comes_back(n, client, node));
    steps.push(Step::Flows(4));
    Case {
        name: "replies are translated even while their masquerade waits for the client's next packet",
        steps,
    }
}

fn lost_to_another(n: Names) -> Case {
    let [first, second] = [0, 1].map(|number| n.outsider(number, 61_000));
    let (node, pod) = (n.node(61_000), n.pod(2, 8080));
    let others = (61_001..61_008).map(|port| udp(n.node(port), pod).bytes());
    let mut steps = vec![Step::Setup(setup(n).ports(61_000, 8))];
    steps.extend(leaves(n, first, node));
    steps.push(Step::Evict(Hook::Ingress, Protocol::Udp, pod, node));
    steps.extend(leaves(n, second, node));
    steps.extend([
        Step::Age(2),
        conversation(n, first).asks(udp, Outcome::Translated),
        send(
            At::UplinkEgress,
            &udp(first, pod),
            Outcome::Masqueraded,
            Out::OneOf(others.collect()),
        ),
        Step::Flows(8),
    ]);
    steps.extend(comes_back(n, second, node));
    Case {
        name: "a masqueraded flow whose port another flow took gets another port",
        steps,
    }
}

/// A client's second flow to the pod took over the first one's replies, and with them its masquerade.
fn shared(n: Names) -> Case {
    let (client, node) = (n.outside(61_000), n.node(61_000));
    let first = conversation(n, client);
    let second = Conversation::from_outside(client, n.vip(2, 80), first.pod);
    let elsewhere = (61_001..61_008).map(|port| udp(n.outside(port), first.pod).bytes());
    let mut steps = vec![Step::Setup(
        setup(n)
            .service(second.called, Protocol::Udp, &[first.pod])
            .ports(61_000, 8),
    )];
    steps.extend(leaves(n, client, node));
    steps.extend([
        Step::Evict(Hook::Egress, Protocol::Udp, first.pod, client),
        second.opens(udp),
        second.leaves_as(node, udp, Outcome::Translated),
        Step::Age(2),
        second.asks(udp, Outcome::Translated),
        send(
            At::UplinkIngress,
            &udp(client, first.called),
            Outcome::Moved,
            Out::OneOf(elsewhere.collect()),
        ),
        second.comes_back_to(node, udp),
        second.is_answered(udp),
        second.leaves_as(node, udp, Outcome::Translated),
    ]);
    Case {
        name: "the end of a flow leaves the masquerade to the flow that took its reply tuple",
        steps,
    }
}

fn not_the_nodes_own(n: Names) -> Case {
    let (client, node) = (n.outside(40_000), n.node(61_000));
    let pod = n.pod(2, 8080);
    let mut steps = vec![Step::Setup(setup(n).ports(61_000, 1))];
    steps.extend(leaves(n, client, node));
    steps.push(passes(
        At::UplinkIngress,
        &udp(pod, n.node(45_000)),
        Outcome::NotOurs,
    ));
    steps.push(passes(
        At::UplinkEgress,
        &udp(n.node(45_000), pod),
        Outcome::NotOurs,
    ));
    Case {
        name: "the node's own traffic to the same backend is left alone",
        steps,
    }
}
