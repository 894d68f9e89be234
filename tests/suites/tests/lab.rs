// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real agent and its kernel programs on a cluster of namespaces, judged from the pods.
//!
//! Every test makes its own clusters, so they run in any order and side by side.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test may fail as loudly as the test"
)]

#[path = "lab/agent.rs"]
mod agent;
#[path = "lab/beside.rs"]
mod beside;
#[path = "lab/bulk.rs"]
mod bulk;
#[path = "lab/collisions.rs"]
mod collisions;
#[path = "lab/direct.rs"]
mod direct;
#[path = "lab/endpoints.rs"]
mod endpoints;
#[path = "lab/frontends.rs"]
mod frontends;
#[path = "lab/health.rs"]
mod health;
#[path = "lab/host_changes.rs"]
mod host_changes;
#[path = "lab/host_clients.rs"]
mod host_clients;
#[path = "lab/host_frontends.rs"]
mod host_frontends;
#[path = "lab/host_scope.rs"]
mod host_scope;
#[path = "lab/links.rs"]
mod links;
#[path = "lab/path.rs"]
mod path;
#[path = "lab/plain.rs"]
mod plain;
#[path = "lab/refusal.rs"]
mod refusal;
#[path = "lab/routing.rs"]
mod routing;
#[path = "lab/status.rs"]
mod status;
#[path = "lab/steady.rs"]
mod steady;
#[path = "lab/take_over.rs"]
mod take_over;
#[path = "lab/untouched.rs"]
mod untouched;
#[path = "lab/ways.rs"]
mod ways;

use lab::agent::AgentOptions;
use lab::service::{Endpoint, ServiceSpec};
use lab::{Lab, Pod, Service, Wiring};

/// One cluster of each wiring, agents ready. A failed test prints the last one named, and its state.
fn clusters() -> impl Iterator<Item = Lab> {
    clusters_with(&[])
}

/// The same; the agents have these arguments.
fn clusters_with(arguments: &[&str]) -> impl Iterator<Item = Lab> {
    let options = AgentOptions::saying(arguments);
    Wiring::ALL.into_iter().map(move |wiring| {
        println!("on {wiring} wiring");
        let lab = Lab::new(wiring).unwrap();
        lab.start_agents_with(&options).unwrap();
        lab
    })
}

/// A pod on node `n` that answers on port 8080.
fn echo_pod(lab: &Lab, n: usize, name: &str) -> Pod {
    let pod = lab.node(n).pod(name).unwrap();
    pod.serve_echo(8080).unwrap();
    pod
}

/// A Service, port 80 of TCP and UDP, that leads to port 8080 of these pods, in force on return.
fn service(lab: &Lab, name: &str, pods: &[&Pod]) -> Service {
    let service = lab.service(ServiceSpec::new(name).tcp_and_udp(80, 8080)).unwrap();
    lead(
        lab,
        &service,
        &pods.iter().map(|pod| pod.ready()).collect::<Vec<_>>(),
    );
    service
}

/// Replaces the endpoints, in force on return.
fn lead(lab: &Lab, service: &Service, endpoints: &[Endpoint]) {
    service.lead_to(endpoints).unwrap();
    lab.settle().unwrap();
}

/// How many packets node `n` has counted with this outcome.
fn counted(lab: &Lab, n: usize, outcome: &str) -> u64 {
    let metrics = lab.agent(n, |agent| agent.metrics()).unwrap();
    let label = format!("outcome=\"{outcome}\"");
    let samples = metrics.lines().filter(|line| line.contains(&label));
    let counts = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    counts.sum()
}
