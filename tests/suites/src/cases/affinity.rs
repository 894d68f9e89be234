// SPDX-License-Identifier: MIT OR Apache-2.0
//! ClientIP session affinity.

use std::net::SocketAddr;

use dataplane::model::{FrontendKind, Protocol, TrafficPolicy};
use dataplane_common::Outcome;

use super::{Case, Out, Step, becomes, send};
use crate::packet::tcp;
use crate::setup::{At, Names, Setup};

const TCP: Protocol = Protocol::Tcp;

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![sticks(n), expires(n), follows_the_set(n), keeps_to_policy(n)]
}

/// Eight backends, one of them alone to begin with, at a ClusterIP, a NodePort and a load balancer's address.
fn setup(n: Names, backends: &[SocketAddr]) -> Setup {
    let vip = n.vip(1, 80);
    Setup::default()
        .service(vip, TCP, backends)
        .node_port(vip, TCP, 30_080)
        .load_balancer(vip, TCP, n.lent(1, 80))
        .own(n.node(0).ip(), true)
        .affinity(vip, TCP, 100)
}

fn pods(n: Names) -> Vec<SocketAddr> {
    (1..16).map(|number| n.pod(number, 8080)).collect()
}

/// A SYN from this port of a pod, which is to go to this backend.
fn goes(n: Names, port: u16, to: SocketAddr, backend: SocketAddr) -> Step {
    let client = n.client(port);
    becomes(
        At::PodIngress,
        &tcp("S", client, to),
        Outcome::NewFlow,
        client,
        backend,
    )
}

/// SYNs of which not all can go to the one backend.
fn some_other(
    n: Names,
    to: SocketAddr,
    from: impl Iterator<Item = u16>,
    backends: &[SocketAddr],
) -> Vec<Step> {
    from.map(|port| {
        let client = n.client(port);
        let wanted = backends.iter().map(|pod| tcp("S", client, *pod).bytes());
        send(
            At::PodIngress,
            &tcp("S", client, to),
            Outcome::NewFlow,
            Out::OneOf(wanted.collect()),
        )
    })
    .collect()
}

fn sticks(n: Names) -> Case {
    let (vip, first) = (n.vip(1, 80), n.pod(3, 8080));
    let mut steps = vec![
        Step::Setup(setup(n, &[first])),
        goes(n, 40_000, vip, first),
        Step::Setup(setup(n, &[first]).endpoints(vip, TCP, &pods(n))),
    ];
    for port in 40_001..40_020 {
        let to = [vip, n.node(30_080), n.lent(1, 80)][port as usize % 3];
        steps.push(goes(n, port, to, first));
    }
    Case {
        name: "a client with affinity keeps its backend at all frontends of a Service port [48]",
        steps,
    }
}

fn expires(n: Names) -> Case {
    let (vip, first) = (n.vip(1, 80), n.pod(3, 8080));
    let others: Vec<_> = pods(n).into_iter().filter(|pod| *pod != first).collect();
    let mut steps = vec![
        Step::Setup(setup(n, &[first])),
        goes(n, 40_000, vip, first),
        Step::Setup(setup(n, &[first]).endpoints(vip, TCP, &pods(n))),
        Step::Age(80),
        goes(n, 40_001, vip, first),
        // Each new connection begins the time anew.
        Step::Age(80),
        goes(n, 40_002, vip, first),
    ];
    // Which one comes next is the hash's to say: of these ports, none says the first.
    steps.push(Step::Age(110));
    steps.extend(some_other(n, vip, 40_003..40_004, &others));
    Case {
        name: "affinity ends when its timeout has passed since the last new connection [49]",
        steps,
    }
}

fn follows_the_set(n: Names) -> Case {
    let (vip, first, second) = (n.vip(1, 80), n.pod(3, 8080), n.pod(5, 8080));
    let before = setup(n, &[first]);
    Case {
        name: "affinity to a removed backend is replaced for good [49]",
        steps: vec![
            Step::Setup(before.clone()),
            goes(n, 40_000, vip, first),
            Step::Setup(before.clone().endpoints(vip, TCP, &[second])),
            goes(n, 40_001, vip, second),
            Step::Setup(before.endpoints(vip, TCP, &[first, second])),
            goes(n, 40_002, vip, second),
            goes(n, 40_003, n.node(30_080), second),
            goes(n, 40_004, vip, second),
            goes(n, 40_005, vip, second),
        ],
    }
}

fn keeps_to_policy(n: Names) -> Case {
    let (vip, balancer) = (n.vip(1, 80), n.lent(1, 80));
    let (here, elsewhere) = (n.pod(1, 8080), n.pod(2, 8080));
    let setup = |backends: &[SocketAddr]| {
        Setup::default()
            .service(vip, TCP, backends)
            .frontend(
                vip,
                TCP,
                (FrontendKind::LoadBalancer, balancer),
                TrafficPolicy::Local,
            )
            .affinity(vip, TCP, 100)
    };
    let outside = |port, to, backend| {
        let client = n.outside(port);
        becomes(
            At::UplinkIngress,
            &tcp("S", client, to),
            Outcome::NewFlow,
            client,
            backend,
        )
    };
    Case {
        name: "affinity never overrides a policy Local, and keeps the policy's choice [48]",
        steps: vec![
            Step::Setup(setup(&[elsewhere])),
            outside(40_000, vip, elsewhere),
            Step::Setup(setup(&[elsewhere]).endpoints(vip, TCP, &[here, elsewhere])),
            outside(40_001, vip, elsewhere),
            outside(40_002, balancer, here),
            outside(40_003, vip, here),
            outside(40_004, vip, here),
            outside(40_005, vip, here),
        ],
    }
}
