// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many Services.

use apiserver::bulk::Bulk;
use apiserver::{Cluster, User};
use dataplane::plan::Op;
use serde_json::Value;

use crate::agent::Agent;
use crate::fixture;
use crate::tables::Tables;

const BULK: Bulk = Bulk {
    services: 1000,
    endpoints: 10,
    nodes: 2,
};

fn frontend(index: u32) -> String {
    format!("{}:80/TCP", Bulk::cluster_ip(index))
}

/// The slice of a Service, its first endpoint replaced.
fn changed_slice(index: u32, address: &str) -> Value {
    let mut slice = BULK.slice(index);
    slice["endpoints"][0]["addresses"][0] = address.into();
    slice
}

#[tokio::test]
async fn one_slice_of_a_thousand_compiles_one_service_and_writes_only_its_entries() {
    let cluster = Cluster::start().unwrap();
    let Some(fixture) = fixture(&cluster, "thousands of objects, one by one") else {
        return;
    };
    fixture.seed(BULK).unwrap();
    let agent = Agent::start(&fixture.token_kubeconfig(User::Agent).unwrap(), Tables::default()).await;
    agent.ready().await;
    assert_eq!(agent.tables.served().len(), 1000);
    assert!(
        agent
            .tables
            .served()
            .values()
            .all(|backends| backends.len() == 10)
    );

    let compiled = agent.metric("shunt_compiles_total");
    agent.tables.take_writes();
    for (round, index) in [7, 500, 999].into_iter().enumerate() {
        let address = format!("10.255.0.{round}");
        fixture.put(changed_slice(index, &address)).unwrap();
        let wanted = format!("{address}:8080");
        let arrived = |agent: &Agent| agent.backends(&frontend(index)).unwrap().contains(&wanted);
        agent.until("the change", arrived).await;
        for op in agent.tables.take_writes() {
            if let Op::PutFrontend { key, .. } = op {
                assert_eq!(key.to_string(), frontend(index));
            }
        }
        // It is counted when the whole pass is over.
        let measured = "shunt_network_programming_duration_seconds_count";
        agent
            .until("the measurement", |agent| {
                agent.metric(measured) == (round + 1) as f64
            })
            .await;
    }
    assert_eq!(agent.metric("shunt_compiles_total"), compiled + 3.0);
    let took = agent.metric("shunt_network_programming_duration_seconds_sum") / 3.0 * 1000.0;
    println!("network_programming_duration at 1,000 Services: {took:.1} ms on average, in memory");
}

#[tokio::test]
async fn a_flood_of_changes_ends_in_the_last_state() {
    let cluster = Cluster::start().unwrap();
    let Some(fixture) = fixture(&cluster, "thousands of objects, one by one") else {
        return;
    };
    let bulk = Bulk {
        services: 200,
        ..BULK
    };
    fixture.seed(bulk).unwrap();
    let agent = Agent::start(&fixture.token_kubeconfig(User::Agent).unwrap(), Tables::default()).await;
    agent.ready().await;
    for round in 0..5 {
        for index in 0..200 {
            fixture
                .put(changed_slice(index, &format!("10.254.{round}.{index}")))
                .unwrap();
        }
        tokio::task::yield_now().await;
    }
    let last = |index: u32| format!("10.254.4.{index}:8080");
    let settled = |agent: &Agent| {
        let served = agent.tables.served();
        (0..200).all(|index| served[&frontend(index)].contains(&last(index)))
    };
    agent.until("the last state", settled).await;
    assert_eq!(
        agent.tables.served().values().map(Vec::len).sum::<usize>(),
        2000,
        "nothing is left over"
    );
}
