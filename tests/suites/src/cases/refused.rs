// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets to a VIP that nobody serves.

use std::net::SocketAddr;

use dataplane::model::{Family, Protocol};
use dataplane_common::Outcome;

use super::{Case, Out, Step, dropped, passes, raw, refused};
use crate::packet::{tcp, udp};
use crate::packet_variants::Icmp;
use crate::setup::{At, Names, Setup};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![
        no_endpoints(n),
        unknown_port(n),
        policy(n),
        owned(n),
        odd_sources(n),
    ]
}

fn no_endpoints(n: Names) -> Case {
    let (client, vip) = (n.client(40_000), n.vip(1, 80));
    Case {
        name: "a Service without endpoints refuses at once [10, 11]",
        steps: vec![
            Step::Setup(
                Setup::default()
                    .service(vip, Protocol::Tcp, &[])
                    .service(vip, Protocol::Udp, &[]),
            ),
            refused(
                At::PodIngress,
                &tcp("S", client, vip),
                Outcome::RejectedNoEndpoint,
            ),
            refused(At::PodIngress, &udp(client, vip), Outcome::RejectedNoEndpoint),
            Step::Flows(0),
        ],
    }
}

fn unknown_port(n: Names) -> Case {
    let (client, vip) = (n.client(40_000), n.vip(1, 80));
    let other = n.vip(1, 81);
    Case {
        name: "a port that a VIP does not have is refused, never routed on [7]",
        steps: vec![
            Step::Setup(Setup::default().service(vip, Protocol::Tcp, &[n.pod(1, 80)])),
            refused(
                At::PodIngress,
                &tcp("S", client, other),
                Outcome::RejectedUnknownPort,
            ),
            refused(At::PodIngress, &udp(client, vip), Outcome::RejectedUnknownPort),
            passes(At::PodIngress, &tcp("S", client, n.vip(9, 80)), Outcome::NotOurs),
        ],
    }
}

fn policy(n: Names) -> Case {
    let (client, vip) = (n.client(40_000), n.vip(1, 80));
    Case {
        name: "packets are dropped silently if the policy leaves no endpoint [36, 38]",
        steps: vec![
            Step::Setup(
                Setup::default()
                    .service(vip, Protocol::Tcp, &[n.pod(1, 80)])
                    .policy_drops(vip, Protocol::Tcp),
            ),
            dropped(At::PodIngress, &tcp("S", client, vip), Outcome::PolicyDropped),
            Step::Flows(0),
        ],
    }
}

fn owned(n: Names) -> Case {
    let (client, vip) = (n.client(40_000), n.vip(1, 53));
    Case {
        name: "a VIP that is bound on the node is left to the node's own sockets",
        steps: vec![
            Step::Setup(
                Setup::default()
                    .service(vip, Protocol::Udp, &[n.pod(1, 53)])
                    .owned(vip.ip()),
            ),
            passes(At::PodIngress, &udp(client, vip), Outcome::OwnAddress),
        ],
    }
}

fn odd_sources(n: Names) -> Case {
    let (vip, empty) = (n.vip(1, 80), n.vip(2, 80));
    let texts: &[&str] = match n.family {
        Family::V4 => &[
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ],
        Family::V6 => &["::", "::1", "ff02::1", "ff0e::9"],
    };
    let mut steps = vec![Step::Setup(
        Setup::default()
            .service(vip, Protocol::Udp, &[n.pod(1, 80)])
            .service(vip, Protocol::Tcp, &[n.pod(1, 80)])
            .service(empty, Protocol::Udp, &[])
            .service(empty, Protocol::Tcp, &[]),
    )];
    let places = [At::PodIngress, At::UplinkIngress];
    let mut passes_from = |source: SocketAddr, to: SocketAddr| {
        for at in places {
            for packet in [udp(source, to), tcp("S", source, to)] {
                steps.push(passes(at, &packet, Outcome::OddSource));
            }
            let ping = Icmp::EchoRequest.message(source.ip(), to.ip(), &udp(source, to).bytes(), 64);
            steps.push(raw(at, ping, Outcome::OddSource, Out::Untouched));
        }
    };
    for to in [vip, empty, n.vip(1, 81)] {
        for text in texts {
            passes_from(SocketAddr::new(text.parse().expect("an address"), 40_000), to);
        }
        if to != vip {
            passes_from(to, to);
        }
    }
    steps.push(Step::Flows(0));
    Case {
        name: "what no single host can have sent is neither answered nor given to a backend",
        steps,
    }
}
