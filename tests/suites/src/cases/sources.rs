// SPDX-License-Identifier: MIT OR Apache-2.0
//! What depends on where a client is: source ranges, and the settings of the node.

use dataplane::model::{Detect, Protocol};
use dataplane_common::Outcome;

use super::{Case, Out, Step, becomes, dropped, passes, raw, refused};
use crate::packet::{Chunk, sctp, tcp, udp};
use crate::packet_variants::{Icmp, of_protocol};
use crate::setup::{At, Names, Setup};

const TCP: Protocol = Protocol::Tcp;

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![
        ranges(n),
        ranges_before_endpoints(n),
        refuse_external(n),
        masquerade_all(n),
        masquerade_external(n),
        detect_range(n),
        detect_nobody(n),
        internal_local(n),
        unallocated(n),
        untranslated(n),
        other_protocols(n),
    ]
}

fn ranges(n: Names) -> Case {
    let (vip, balancer, pod) = (n.vip(1, 80), n.lent(1, 80), n.pod(1, 8080));
    let (outside, client) = (n.outside(40_000), n.client(40_000));
    let setup = Setup::default()
        .service(vip, TCP, &[pod])
        .node_port(vip, TCP, 30_080)
        .load_balancer(vip, TCP, balancer)
        .own(n.node(0).ip(), true);
    let wide = [n.range("0.0.0.0/0", "::/0")];
    let outsiders = [
        n.range("203.0.113.0/24", "2001:db8::/48"),
        n.range("192.0.2.1/32", "2001:db8:9::1/128"),
    ];
    let goes = |at, packet| becomes(at, packet, Outcome::NewFlow, packet.src, pod);
    let (from_outside, from_pod) = (tcp("S", outside, balancer), tcp("S", client, balancer));
    Case {
        name: "source ranges apply to the load balancer's address only, and to pods as to others [42]",
        steps: vec![
            Step::Setup(setup.clone().source_ranges(vip, TCP, &outsiders)),
            goes(At::UplinkIngress, &from_outside),
            dropped(At::PodIngress, &from_pod, Outcome::SourceDropped),
            goes(At::PodIngress, &tcp("S", n.client(40_001), n.node(30_080))),
            goes(At::PodIngress, &tcp("S", n.client(40_002), vip)),
            Step::Setup(setup.clone().source_ranges(vip, TCP, &outsiders[1..])),
            dropped(
                At::UplinkIngress,
                &tcp("S", n.outside(40_001), balancer),
                Outcome::SourceDropped,
            ),
            Step::Setup(setup.source_ranges(vip, TCP, &wide)),
            goes(At::PodIngress, &from_pod),
        ],
    }
}

fn ranges_before_endpoints(n: Names) -> Case {
    let (vip, balancer) = (n.vip(1, 80), n.lent(1, 80));
    let setup = Setup::default()
        .service(vip, TCP, &[])
        .load_balancer(vip, TCP, balancer)
        .source_ranges(vip, TCP, &[n.range("203.0.113.0/24", "2001:db8::/64")]);
    Case {
        name: "a client outside the source ranges gets no answer, even if there are no endpoints [42]",
        steps: vec![
            Step::Setup(setup),
            dropped(
                At::PodIngress,
                &tcp("S", n.client(40_000), balancer),
                Outcome::SourceDropped,
            ),
            refused(
                At::UplinkIngress,
                &tcp("S", n.outside(40_000), balancer),
                Outcome::RejectedNoEndpoint,
            ),
        ],
    }
}

fn refuse_external(n: Names) -> Case {
    let (vip, pod) = (n.vip(1, 80), n.pod(1, 8080));
    let (outside, client) = (n.outside(40_000), n.client(40_000));
    let setup = Setup::default()
        .service(vip, TCP, &[pod])
        .node_port(vip, TCP, 30_080)
        .own(n.node(0).ip(), true)
        .refusing_external();
    Case {
        name: "a node refuses ClusterIPs to clients outside if it is configured to [41]",
        steps: vec![
            Step::Setup(setup),
            refused(
                At::UplinkIngress,
                &tcp("S", outside, vip),
                Outcome::RejectedExternal,
            ),
            becomes(
                At::PodIngress,
                &tcp("S", client, vip),
                Outcome::NewFlow,
                client,
                pod,
            ),
            becomes(
                At::UplinkIngress,
                &tcp("S", outside, n.node(30_080)),
                Outcome::NewFlow,
                outside,
                pod,
            ),
        ],
    }
}

fn masquerade_external(n: Names) -> Case {
    let (vip, pod, client) = (n.vip(1, 80), n.pod(1, 8080), n.outside(61_234));
    let setup = Setup::default().service(vip, TCP, &[pod]);
    let setup = setup
        .node_port(vip, TCP, 30_080)
        .own(n.node(0).ip(), true)
        .masquerading_external();
    let port = n.node(30_080);
    Case {
        name: "with masquerade-external a client outside is masqueraded if its backend is on this node too, and no pod is [103]",
        steps: vec![
            Step::Setup(setup),
            becomes(
                At::UplinkIngress,
                &tcp("S", client, port),
                Outcome::NewFlow,
                client,
                pod,
            ),
            becomes(
                At::PodEgress,
                &tcp("S", client, pod),
                Outcome::Masqueraded,
                n.node(61_234),
                pod,
            ),
            becomes(
                At::PodIngress,
                &tcp("SA", pod, n.node(61_234)).numbers(9_000, 1_001),
                Outcome::Translated,
                pod,
                client,
            ),
            Step::Flows(4),
            becomes(
                At::PodIngress,
                &tcp("S", n.client(40_001), vip),
                Outcome::NewFlow,
                n.client(40_001),
                pod,
            ),
            Step::Flows(6),
        ],
    }
}

fn masquerade_all(n: Names) -> Case {
    let (vip, pod, client) = (n.vip(1, 80), n.pod(1, 8080), n.client(61_234));
    let (node, setup) = (n.node(61_234), Setup::default().service(vip, TCP, &[pod]));
    let setup = setup
        .node_port(vip, TCP, 30_080)
        .own(n.node(0).ip(), true)
        .masquerading_all();
    Case {
        name: "with masquerade-all a node masquerades every flow to a ClusterIP, and no other",
        steps: vec![
            Step::Setup(setup),
            becomes(
                At::PodIngress,
                &tcp("S", client, vip),
                Outcome::NewFlow,
                client,
                pod,
            ),
            becomes(
                At::PodEgress,
                &tcp("S", client, pod),
                Outcome::Masqueraded,
                node,
                pod,
            ),
            becomes(
                At::PodIngress,
                &tcp("SA", pod, node).numbers(9_000, 1_001),
                Outcome::Translated,
                pod,
                client,
            ),
            becomes(
                At::PodEgress,
                &tcp("SA", pod, client).numbers(9_000, 1_001),
                Outcome::Translated,
                vip,
                client,
            ),
            Step::Flows(4),
            becomes(
                At::PodIngress,
                &tcp("S", n.client(40_001), n.node(30_080)),
                Outcome::NewFlow,
                n.client(40_001),
                pod,
            ),
            Step::Flows(6),
        ],
    }
}

/// A ClusterIP and a NodePort for clients outside, with one backend on another node.
fn remote(n: Names) -> Setup {
    let vip = n.vip(1, 80);
    Setup::default()
        .service(vip, TCP, &[n.pod(2, 8080)])
        .node_port(vip, TCP, 30_080)
        .own(n.node(0).ip(), true)
}

fn detect_range(n: Names) -> Case {
    let (vip, node, pod) = (n.vip(1, 80), n.node(30_080), n.pod(2, 8080));
    let range = n.range("203.0.113.0/24", "2001:db8::/64");
    let (inside, outside) = (n.outside(40_000), n.lent(7, 40_000));
    let goes = |client, to| {
        becomes(
            At::UplinkIngress,
            &tcp("S", client, to),
            Outcome::NewFlow,
            client,
            pod,
        )
    };
    Case {
        name: "a ClusterIP's clients in the pod range keep their address if pods are detected by address",
        steps: vec![
            Step::Setup(
                remote(n)
                    .detect(n.family, Detect::Range(range))
                    .refusing_external(),
            ),
            goes(inside, vip),
            Step::Flows(2),
            refused(
                At::UplinkIngress,
                &tcp("S", outside, vip),
                Outcome::RejectedExternal,
            ),
            // Any other frontend's reply must find its way back.
            goes(n.outside(40_001), node),
            Step::Flows(5),
            Step::Setup(remote(n).detect(n.family, Detect::Range(range))),
            goes(outside, vip),
            Step::Flows(8),
        ],
    }
}

fn detect_nobody(n: Names) -> Case {
    let (vip, node, pod) = (n.vip(1, 80), n.node(30_080), n.pod(2, 8080));
    let client = |port| n.outside(port);
    let goes = |client, to| {
        becomes(
            At::UplinkIngress,
            &tcp("S", client, to),
            Outcome::NewFlow,
            client,
            pod,
        )
    };
    Case {
        name: "no client of a ClusterIP is masqueraded if pods are not detected",
        steps: vec![
            Step::Setup(remote(n).detect(n.family, Detect::Nobody)),
            goes(client(40_000), vip),
            Step::Flows(2),
            goes(client(40_001), node),
            Step::Flows(5),
        ],
    }
}

fn internal_local(n: Names) -> Case {
    let (vip, here, elsewhere) = (n.vip(1, 80), n.pod(1, 8080), n.pod(2, 8080));
    let setup = |pods: &[_]| Setup::default().service(vip, TCP, pods).internal_local(vip, TCP);
    let mut steps = vec![Step::Setup(setup(&[here, elsewhere]))];
    for port in 40_000..40_004 {
        for (at, client) in [
            (At::PodIngress, n.client(port)),
            (At::UplinkIngress, n.outside(port)),
        ] {
            steps.push(becomes(
                at,
                &tcp("S", client, vip),
                Outcome::NewFlow,
                client,
                here,
            ));
        }
    }
    steps.push(Step::Setup(setup(&[elsewhere])));
    steps.push(dropped(
        At::PodIngress,
        &tcp("S", n.client(41_000), vip),
        Outcome::PolicyDropped,
    ));
    Case {
        name: "the internal policy Local applies to all clients of a ClusterIP [38]",
        steps,
    }
}

fn unallocated(n: Names) -> Case {
    let (client, vip) = (n.client(40_000), n.vip(1, 80));
    let nobody = n.vip(9, 80);
    let setup = Setup::default()
        .service(vip, TCP, &[n.pod(1, 8080)])
        .cluster_ips_from(n.range("10.100.0.0/16", "fd00:10:100::/112"))
        .cluster_ips_from(n.range("10.96.0.0/16", "fd00:10:96::/112"));
    let ping = Icmp::EchoRequest.message(client.ip(), nobody.ip(), &udp(client, nobody).bytes(), 48);
    Case {
        name: "packets to an address of the ServiceCIDRs that no Service has do not leave the node",
        steps: vec![
            Step::Setup(setup),
            passes(At::PodIngress, &tcp("S", client, nobody), Outcome::NotOurs),
            dropped(
                At::UplinkEgress,
                &tcp("S", client, nobody),
                Outcome::UnallocatedDropped,
            ),
            dropped(
                At::UplinkEgress,
                &udp(client, nobody),
                Outcome::UnallocatedDropped,
            ),
            raw(At::UplinkEgress, ping, Outcome::UnallocatedDropped, Out::Dropped),
            // A connection that is under way was let through before, and has an owner.
            passes(At::UplinkEgress, &tcp("A", client, nobody), Outcome::NotOurs),
            passes(At::UplinkEgress, &udp(client, n.outside(53)), Outcome::NotOurs),
            passes(At::PodEgress, &udp(nobody, client), Outcome::NotOurs),
        ],
    }
}

fn other_protocols(n: Names) -> Case {
    let (client, vip, balancer) = (n.client(1).ip(), n.vip(1, 80), n.lent(1, 80));
    let setup = Setup::default()
        .service(vip, TCP, &[n.pod(1, 8080)])
        .load_balancer(vip, TCP, balancer);
    let about = udp(n.client(1), vip).bytes();
    let echo = |to| Icmp::EchoRequest.message(client, to, &about, 48);
    let redirect = Icmp::Redirect.message(client, vip.ip(), &about, 48);
    let other = |to| of_protocol(client, to, 253, &[3; 30]);
    let answered = |packet: Vec<u8>| {
        let out = Out::Packet(crate::packet::unreachable(&packet));
        raw(At::PodIngress, packet, Outcome::RejectedProtocol, out)
    };
    let untouched = |packet| raw(At::PodIngress, packet, Outcome::NotOurs, Out::Untouched);
    Case {
        name: "ping, and every protocol that Services do not support, is refused at a ClusterIP and passes elsewhere [8]",
        steps: vec![
            Step::Setup(setup),
            answered(echo(vip.ip())),
            answered(other(vip.ip())),
            raw(At::PodIngress, redirect, Outcome::StrayIcmp, Out::Dropped),
            untouched(echo(balancer.ip())),
            untouched(other(balancer.ip())),
            untouched(other(n.pod(1, 1).ip())),
        ],
    }
}

/// No program met these at ingress: the node's own, or a pod's before there was one on its device.
fn untranslated(n: Names) -> Case {
    let (client, vip) = (n.client(40_000), n.vip(1, 80));
    let ping = Icmp::EchoRequest.message(client.ip(), vip.ip(), &udp(client, vip).bytes(), 48);
    let cut = {
        let mut frame = udp(client, vip).bytes();
        frame.truncate(frame.len() - 10);
        frame
    };
    let setup = Setup::default()
        .service(vip, TCP, &[n.pod(1, 8080)])
        .load_balancer(vip, TCP, n.lent(1, 80));
    let ranges = [
        None,
        Some(n.range("10.96.0.0/16", "fd00:10:96::/112")),
        Some(n.range("10.100.0.0/16", "fd00:10:100::/112")),
    ];
    let mut steps = Vec::new();
    for range in ranges {
        let setup = match range {
            Some(range) => setup.clone().cluster_ips_from(range),
            None => setup.clone(),
        };
        let is_judged = range.is_none_or(|range| range.contains(&vip.ip()));
        let frames = [
            tcp("S", client, vip).bytes(),
            udp(client, vip).bytes(),
            sctp(Chunk::Init, (0, 5), client, vip).bytes(),
            ping.clone(),
        ];
        steps.push(Step::Setup(setup.clone()));
        for frame in &frames {
            steps.push(match is_judged {
                true => raw(
                    At::UplinkEgress,
                    frame.clone(),
                    Outcome::UntranslatedDropped,
                    Out::Dropped,
                ),
                false => raw(At::UplinkEgress, frame.clone(), Outcome::NotOurs, Out::Untouched),
            });
            steps.push(raw(
                At::PodEgress,
                frame.clone(),
                Outcome::NotOurs,
                Out::Untouched,
            ));
        }
        let outcome = match is_judged {
            true => Outcome::UntranslatedDropped,
            false => Outcome::Malformed,
        };
        let out = if is_judged { Out::Dropped } else { Out::Untouched };
        steps.push(raw(At::UplinkEgress, cut.clone(), outcome, out));
        steps.push(passes(
            At::UplinkEgress,
            &udp(client, n.lent(1, 80)),
            Outcome::NotOurs,
        ));
        steps.push(Step::Setup(setup.clone().taking_over()));
        for frame in &frames {
            steps.push(raw(
                At::UplinkEgress,
                frame.clone(),
                Outcome::NotOurs,
                Out::Untouched,
            ));
        }
        steps.push(Step::Setup(setup.owned(vip.ip())));
        for frame in frames {
            steps.push(raw(At::UplinkEgress, frame, Outcome::NotOurs, Out::Untouched));
        }
    }
    Case {
        name: "what is sent to a ClusterIP does not leave the node by an uplink as it is, but while taking over",
        steps,
    }
}
