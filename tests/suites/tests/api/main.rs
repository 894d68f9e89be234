// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent's real watches, index and loop against an API server; the kernel's tables are in memory, so it
//! needs no root.
//!
//! The server is the fixture, which can be made to fail. With `KUBE_APISERVER` and `ETCD` set it is the real
//! one, and tests of what only the fixture can do are skipped loudly.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

mod agent;
mod bulk;
mod changes;
mod chaos;
mod first_lists;
mod invalid_objects;
mod login;
mod objects;
mod outages;
mod restart;
mod tables;

use apiserver::{Cluster, Fixture, User};

use agent::Agent;
use tables::Tables;

/// An API server and an agent that watches it.
async fn bench() -> (Cluster, Agent) {
    let cluster = Cluster::start().unwrap();
    let agent = Agent::start(&cluster.token_kubeconfig(User::Agent).unwrap(), Tables::default()).await;
    (cluster, agent)
}

/// The fixture; on a real server `None`, and a word about it.
fn fixture<'a>(cluster: &'a Cluster, why: &str) -> Option<&'a Fixture> {
    if cluster.fixture().is_none() {
        eprintln!("SKIPPED on a real API server: {why}");
    }
    cluster.fixture()
}
