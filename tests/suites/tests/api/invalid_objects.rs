// SPDX-License-Identifier: MIT OR Apache-2.0
//! Invalid objects, which no API server should send. The agent refuses each one and serves the others.

use apiserver::{Cluster, User};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::objects::{served, service, service_key, slice, slice_key, vip};
use crate::tables::Tables;
use crate::{bench, fixture};

fn odd_service() -> Value {
    let mut odd = service("odd", 9);
    odd["spec"]["ports"] = "eighty".into();
    odd
}

fn odd_slice() -> Value {
    let mut odd = slice("odd-1", "web", &[]);
    odd["endpoints"] = 7.into();
    odd
}

fn odd_labels() -> Value {
    let mut odd = service("labels", 8);
    odd["metadata"]["labels"] = json!(["not", "a", "map"]);
    odd
}

fn refused(agent: &Agent) -> Vec<String> {
    agent
        .status()
        .refusals
        .into_iter()
        .map(|it| format!("{} {}", it.kind, it.name))
        .collect()
}

const ALL: [&str; 3] = ["EndpointSlice odd-1", "Service labels", "Service odd"];

fn all_are_refused(agent: &Agent) -> bool {
    let mut refused = refused(agent);
    refused.sort();
    refused == ALL
}

#[tokio::test]
async fn invalid_objects_in_the_first_list_are_refused_and_the_others_are_served() {
    let cluster = Cluster::start().unwrap();
    let Some(fixture) = fixture(&cluster, "objects of the wrong shape") else {
        return;
    };
    fixture
        .put_all([odd_service(), odd_slice(), odd_labels()])
        .unwrap();
    fixture.put_all(served("web", 1, &["10.0.0.1"])).unwrap();
    let agent = Agent::start(&fixture.token_kubeconfig(User::Agent).unwrap(), Tables::default()).await;
    agent.serves(&vip(1), &["10.0.0.1"]).await;
    agent.until("all refused", all_are_refused).await;
    assert_eq!(agent.tables.served().len(), 1);
}

#[tokio::test]
async fn invalid_objects_in_a_watch_are_refused_until_they_are_corrected_or_deleted() {
    let (cluster, agent) = bench().await;
    let Some(fixture) = fixture(&cluster, "objects of the wrong shape") else {
        return;
    };
    agent.ready().await;
    for odd in [odd_service(), odd_slice(), odd_labels()] {
        fixture.put(odd).unwrap();
    }
    fixture.put_all(served("web", 1, &["10.0.0.1"])).unwrap();
    agent.serves(&vip(1), &["10.0.0.1"]).await;
    agent.until("all refused", all_are_refused).await;

    fixture.put(service("odd", 9)).unwrap();
    agent.serves(&vip(9), &[]).await;
    fixture.delete(&slice_key("odd-1"));
    fixture.delete(&service_key("labels"));
    agent
        .until("nothing refused", |agent| refused(agent).is_empty())
        .await;
    let lists = fixture.count(apiserver::Verb::List, apiserver::Resource::Services);
    assert_eq!(lists, 1, "no odd object costs a new list");
}

#[tokio::test]
async fn invalid_values_are_refused_one_by_one() {
    let (cluster, agent) = bench().await;
    let Some(fixture) = fixture(&cluster, "values that it would check") else {
        return;
    };
    agent.ready().await;
    let mut bad_ip = service("bad-ip", 2);
    bad_ip["spec"]["clusterIP"] = "10.96.1.999".into();
    bad_ip["spec"]["clusterIPs"] = json!(["10.96.1.999"]);
    let mut port_zero = service("port-zero", 3);
    port_zero["spec"]["ports"][0]["port"] = 0.into();
    fixture.put_all([bad_ip, port_zero]).unwrap();
    fixture
        .put_all(served(
            "web",
            1,
            &["10.0.0.1", "not-an-ip", "127.0.0.1", "224.0.0.1"],
        ))
        .unwrap();
    agent.serves(&vip(1), &["10.0.0.1"]).await;
    agent
        .until("three refused", |agent| {
            let refused = refused(agent);
            ["Service bad-ip", "Service port-zero", "EndpointSlice web-1"]
                .iter()
                .all(|object| refused.iter().any(|it| it == object))
        })
        .await;
}

#[tokio::test]
async fn the_older_of_two_services_with_one_address_is_served() {
    let (cluster, agent) = bench().await;
    let Some(fixture) = fixture(&cluster, "one cluster IP twice") else {
        return;
    };
    agent.ready().await;
    let created = |mut object: Value, at: &str| {
        object["metadata"]["creationTimestamp"] = at.into();
        object
    };
    let mut young = served("young", 1, &["10.0.0.2"]);
    young[0] = created(young[0].take(), "2026-02-01T00:00:00Z");
    fixture.put_all(young).unwrap();
    agent.serves(&vip(1), &["10.0.0.2"]).await;
    let mut old = served("old", 1, &["10.0.0.1"]);
    old[0] = created(old[0].take(), "2026-01-01T00:00:00Z");
    fixture.put_all(old).unwrap();
    agent.serves(&vip(1), &["10.0.0.1"]).await;
    assert_eq!(refused(&agent), ["Service young"]);
    fixture.delete(&service_key("old"));
    agent.serves(&vip(1), &["10.0.0.2"]).await;
    assert!(refused(&agent).is_empty());
}

#[tokio::test]
async fn the_agents_own_way_to_the_api_server_is_never_emptied() {
    let (cluster, agent) = bench().await;
    let Some(fixture) = fixture(&cluster, "writing its default/kubernetes") else {
        return;
    };
    agent.ready().await;
    let kubernetes = |addresses: &[&str]| {
        let mut objects = served("kubernetes", 1, addresses);
        for object in &mut objects {
            object["metadata"]["namespace"] = "default".into();
        }
        objects
    };
    fixture.put_all(kubernetes(&["10.0.0.1"])).unwrap();
    agent.serves(&vip(1), &["10.0.0.1"]).await;
    fixture.put_all(kubernetes(&[])).unwrap();
    fixture.put_all(served("web", 2, &["10.0.0.2"])).unwrap();
    agent.serves(&vip(2), &["10.0.0.2"]).await;
    agent.serves(&vip(1), &["10.0.0.1"]).await;
    fixture.put_all(kubernetes(&["10.0.0.3"])).unwrap();
    agent.serves(&vip(1), &["10.0.0.3"]).await;
}
