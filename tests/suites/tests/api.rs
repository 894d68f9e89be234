// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent's real watches, index and loop against an API server; the kernel's tables are in memory, so it
//! needs no root.
//!
//! The server is the fixture, which can be made to fail. With `KUBE_APISERVER` and `ETCD` set it is the real
//! one, and tests of what only the fixture can do are skipped loudly.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

#[path = "api/agent.rs"]
mod agent;
#[path = "api/bulk.rs"]
mod bulk;
#[path = "api/changes.rs"]
mod changes;
#[path = "api/chaos.rs"]
mod chaos;
#[path = "api/first_lists.rs"]
mod first_lists;
#[path = "api/login.rs"]
mod login;
#[path = "api/objects.rs"]
mod objects;
#[path = "api/odd.rs"]
mod odd;
#[path = "api/outages.rs"]
mod outages;
#[path = "api/restart.rs"]
mod restart;
#[path = "api/tables.rs"]
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
