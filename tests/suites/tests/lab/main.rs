// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real agent and its kernel programs on a cluster of namespaces, judged from the pods.
//!
//! Every test makes its own clusters, so they run in any order and side by side.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test may fail as loudly as the test"
)]

mod agent;
mod all_paths;
mod answers;
mod background_clients;
mod bulk;
mod coexistence;
mod collisions;
mod endpoints;
mod fast_path;
mod foreign;
mod frames;
mod frontends;
mod health;
mod host_changes;
mod host_clients;
mod host_frontends;
mod host_scope;
mod lab_self_check;
mod links;
mod masquerade_source;
mod order;
mod path;
mod refusal;
mod return_path;
mod routing;
mod stacked;
mod status;
mod take_over;
mod untouched;

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
