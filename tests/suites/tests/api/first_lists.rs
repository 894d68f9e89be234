// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the start to the first write.

use std::collections::BTreeSet;

use apiserver::{Cluster, Fault, Resource, Rule, User, Verb};
use dataplane::plan::Op;

use crate::agent::Agent;
use crate::objects::{served, service, slice, vip};
use crate::tables::Tables;
use crate::{bench, fixture};

const BROKEN: Fault = Fault::Answer {
    code: 500,
    retry_after: None,
};

async fn start(cluster: &Cluster) -> Agent {
    Agent::start(&cluster.token_kubeconfig(User::Agent).unwrap(), Tables::default()).await
}

#[tokio::test]
async fn an_empty_cluster_makes_the_agent_ready() {
    let (_cluster, agent) = bench().await;
    agent.ready().await;
}

#[tokio::test]
async fn nothing_is_written_while_the_list_of_any_kind_is_missing() {
    for (resource, name) in [
        (Resource::Services, "services"),
        (Resource::EndpointSlices, "endpointslices"),
        (Resource::Nodes, "node"),
    ] {
        let cluster = Cluster::start().unwrap();
        let Some(fixture) = fixture(&cluster, "a list that fails") else {
            return;
        };
        fixture.put_all(served("web", 1, &["10.0.0.1"])).unwrap();
        fixture.fail(Rule::always(BROKEN).on(Verb::List).of(resource));
        let agent = start(&cluster).await;
        agent.until(name, |agent| agent.status().awaited == [name]).await;
        // Changes that arrive meanwhile wait as well.
        fixture.put_all(served("late", 2, &["10.0.0.2"])).unwrap();
        agent
            .until("another failure", |_| fixture.count(Verb::List, resource) > 1)
            .await;
        assert!(agent.tables.untouched(), "{name}");
        fixture.heal();
        agent.serves(&vip(1), &["10.0.0.1"]).await;
        agent.serves(&vip(2), &["10.0.0.2"]).await;
    }
}

#[tokio::test]
async fn a_frontend_first_appears_with_all_its_backends() {
    let cluster = Cluster::start().unwrap();
    for n in 1..50 {
        let name = format!("svc-{n}");
        let two = [format!("10.0.0.{n}"), format!("10.0.1.{n}")];
        cluster.put(service(&name, n)).unwrap();
        cluster
            .put(slice(&format!("{name}-a"), &name, &[&two[0]]))
            .unwrap();
        cluster
            .put(slice(&format!("{name}-b"), &name, &[&two[1]]))
            .unwrap();
    }
    let agent = start(&cluster).await;
    agent.ready().await;
    let mut seen = BTreeSet::new();
    for op in agent.tables.take_writes() {
        let Op::PutFrontend { key, value } = op else {
            continue;
        };
        // A real server has Services of its own.
        if key.addr.to_string().starts_with("10.96.1.") {
            assert_eq!(value.internal.set.size, 2, "{key}");
            assert!(seen.insert(key), "{key} is written once");
        }
    }
    assert_eq!(seen.len(), 49);
}

#[tokio::test]
async fn a_list_in_pages_is_complete() {
    let cluster = Cluster::start().unwrap();
    let Some(fixture) = fixture(&cluster, "thousands of objects, one by one") else {
        return;
    };
    let bulk = apiserver::bulk::Bulk {
        services: 1200,
        endpoints: 1,
        nodes: 1,
    };
    fixture.seed(bulk).unwrap();
    let agent = start(&cluster).await;
    agent.ready().await;
    assert_eq!(agent.tables.served().len(), 1200);
    assert!(agent.tables.served().values().all(|backends| backends.len() == 1));
    assert_eq!(fixture.count(Verb::List, Resource::Services), 3, "pages of 500");
}

#[tokio::test]
async fn a_list_that_expires_between_two_pages_starts_again() {
    let cluster = Cluster::start().unwrap();
    let Some(fixture) = fixture(&cluster, "a continue token that expires") else {
        return;
    };
    let bulk = apiserver::bulk::Bulk {
        services: 600,
        endpoints: 1,
        nodes: 1,
    };
    fixture.seed(bulk).unwrap();
    let gone = Fault::Answer {
        code: 410,
        retry_after: None,
    };
    fixture.fail(
        Rule::always(gone)
            .on(Verb::List)
            .of(Resource::EndpointSlices)
            .after(1)
            .times(1),
    );
    let agent = start(&cluster).await;
    agent.ready().await;
    assert!(agent.tables.served().values().all(|backends| backends.len() == 1));
    assert_eq!(fixture.count(Verb::List, Resource::EndpointSlices), 4);
}

#[tokio::test]
async fn a_list_that_breaks_off_is_no_list() {
    let cluster = Cluster::start().unwrap();
    let Some(fixture) = fixture(&cluster, "a list that breaks off") else {
        return;
    };
    let bulk = apiserver::bulk::Bulk {
        services: 100,
        endpoints: 1,
        nodes: 1,
    };
    fixture.seed(bulk).unwrap();
    fixture.fail(Rule::always(Fault::CutList).on(Verb::List).times(2));
    let agent = start(&cluster).await;
    agent.ready().await;
    assert!(agent.tables.served().values().all(|backends| backends.len() == 1));
    assert_eq!(agent.tables.served().len(), 100);
}

#[tokio::test]
async fn a_server_that_refuses_at_first_is_asked_again() {
    for code in [403, 429, 500, 503] {
        let cluster = Cluster::start().unwrap();
        let Some(fixture) = fixture(&cluster, "refusals") else {
            return;
        };
        fixture.put_all(served("web", 1, &["10.0.0.1"])).unwrap();
        fixture.fail(
            Rule::always(Fault::Answer {
                code,
                retry_after: Some(1),
            })
            .times(3),
        );
        let agent = start(&cluster).await;
        agent.serves(&vip(1), &["10.0.0.1"]).await;
        let requests = fixture.requests();
        let refused = requests.iter().filter(|request| request.code == code).count();
        assert_eq!(refused, 3, "{code}: {requests:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let cluster = Cluster::start().unwrap();
    cluster.put_all(served("web", 1, &["10.0.0.1"])).unwrap();
    cluster.refuse_connections();
    let agent = start(&cluster).await;
    let failed = r#"shunt_watch_failures_total{kind="Service"}"#;
    agent.until("a failure", |agent| agent.metric(failed) > 0.0).await;
    assert!(agent.tables.untouched());
    cluster.admit_connections();
    agent.serves(&vip(1), &["10.0.0.1"]).await;
}
