// SPDX-License-Identifier: MIT OR Apache-2.0
//! A new agent on the tables of the old one.

use apiserver::{Resource, User};

use crate::agent::Agent;
use crate::objects::{served, service_key, slice, vip};
use crate::{bench, fixture};

#[tokio::test]
async fn a_new_agent_that_finds_everything_in_order_writes_nothing() {
    let (cluster, agent) = bench().await;
    for n in 1..40 {
        cluster
            .put_all(served(
                &format!("svc-{n}"),
                n,
                &[&format!("10.0.0.{n}"), "10.0.1.1"],
            ))
            .unwrap();
    }
    agent.serves(&vip(39), &["10.0.0.39", "10.0.1.1"]).await;
    let tables = agent.stop().await;
    let before = tables.served();
    tables.take_writes();

    let agent = Agent::start(&cluster.token_kubeconfig(User::Agent).unwrap(), tables).await;
    agent.ready().await;
    let writes: Vec<_> = agent
        .tables
        .take_writes()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(writes.is_empty(), "{writes:#?}");
    assert_eq!(agent.tables.served(), before);
    cluster.put(slice("svc-1-1", "svc-1", &["10.0.0.99"])).unwrap();
    agent.serves(&vip(1), &["10.0.0.99"]).await;
}

#[tokio::test]
async fn a_new_agent_changes_what_changed_while_there_was_none() {
    let (cluster, agent) = bench().await;
    for n in 1..5 {
        cluster
            .put_all(served(&format!("svc-{n}"), n, &[&format!("10.0.0.{n}")]))
            .unwrap();
        agent.serves(&vip(n), &[&format!("10.0.0.{n}")]).await;
    }
    let tables = agent.stop().await;
    tables.take_writes();
    cluster.delete(&service_key("svc-1")).unwrap();
    cluster.put(slice("svc-2-1", "svc-2", &["10.0.0.22"])).unwrap();
    cluster.put_all(served("svc-9", 9, &["10.0.0.9"])).unwrap();

    let agent = Agent::start(&cluster.token_kubeconfig(User::Agent).unwrap(), tables).await;
    agent.ready().await;
    assert_eq!(agent.backends(&vip(1)), None);
    assert_eq!(agent.backends(&vip(2)), Some(vec!["10.0.0.22:8080".to_owned()]));
    assert_eq!(agent.backends(&vip(9)), Some(vec!["10.0.0.9:8080".to_owned()]));
    for op in agent.tables.take_writes() {
        let text = op.to_string();
        assert!(!text.contains("svc-3") && !text.contains("10.0.0.3:"), "{text}");
    }
}

#[tokio::test]
async fn a_new_agent_leaves_the_tables_alone_while_the_server_is_away() {
    let (cluster, agent) = bench().await;
    cluster.put_all(served("web", 1, &["10.0.0.1"])).unwrap();
    agent.serves(&vip(1), &["10.0.0.1"]).await;
    let tables = agent.stop().await;
    tables.take_writes();
    cluster.refuse_connections();
    let agent = Agent::start(&cluster.token_kubeconfig(User::Agent).unwrap(), tables).await;
    agent
        .until("a failure", |agent| {
            agent.metric(r#"shunt_watch_failures_total{kind="Service"}"#) > 0.0
        })
        .await;
    assert!(agent.tables.untouched());
    assert_eq!(agent.backends(&vip(1)), Some(vec!["10.0.0.1:8080".to_owned()]));
    cluster.admit_connections();
    agent.ready().await;
    assert!(agent.tables.untouched());
}

#[tokio::test]
async fn a_stopped_agent_leaves_no_watch_behind() {
    let (cluster, agent) = bench().await;
    let Some(fixture) = fixture(&cluster, "counting its watches") else {
        return;
    };
    agent.ready().await;
    let watches = || {
        Resource::ALL
            .map(|kind| fixture.open_watches(kind))
            .iter()
            .sum::<u64>()
    };
    agent.until("watches", |_| watches() == 4).await;
    agent.stop().await;
    while watches() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
