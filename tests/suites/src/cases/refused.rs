// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets to a VIP that nobody serves.

use dataplane::model::Protocol;
use dataplane_common::Outcome;

use super::{Case, Step, dropped, passes, refused};
use crate::packet::{tcp, udp};
use crate::setup::{At, Names, Setup};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![no_endpoints(n), unknown_port(n), policy(n), owned(n)]
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
