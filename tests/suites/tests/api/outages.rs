// SPDX-License-Identifier: MIT OR Apache-2.0
//! Watches that fail. What is known stays in force, and nothing is missed in the end.

use std::time::Duration;

use apiserver::{Cluster, Ending, Fault, Fixture, Garble, Resource, Rule, Verb};

use crate::agent::Agent;
use crate::objects::{HEADLESS, labelled, served, service, service_key, slice, vip};
use crate::{bench, fixture};

const WATCHED: [Resource; 3] = [Resource::Services, Resource::EndpointSlices, Resource::Nodes];

/// Longer than the agent lets a watch be silent.
const SILENCE: Duration = Duration::from_secs(128);

/// A bench with one Service, and all watches open.
async fn watching() -> (Cluster, Agent) {
    let (cluster, agent) = bench().await;
    cluster.put_all(served("web", 1, &["10.0.0.1"])).unwrap();
    agent.serves(&vip(1), &["10.0.0.1"]).await;
    if let Some(fixture) = cluster.fixture() {
        all_watch(fixture, &agent).await;
    }
    agent.tables.take_writes();
    (cluster, agent)
}

async fn all_watch(fixture: &Fixture, agent: &Agent) {
    agent
        .until("all watches", |_| {
            WATCHED.iter().all(|kind| fixture.open_watches(*kind) == 1)
        })
        .await;
}

fn lists(fixture: &Fixture) -> [u64; 3] {
    WATCHED.map(|kind| fixture.count(Verb::List, kind))
}

/// Lets this test's clock run ahead; the server's does not.
async fn skip(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_broken_watch_goes_on_where_it_was() {
    let (cluster, agent) = watching().await;
    for last in 2..5 {
        cluster.break_watches();
        let address = format!("10.0.0.{last}");
        cluster.put(slice("web-1", "web", &[&address])).unwrap();
        agent.serves(&vip(1), &[&address]).await;
    }
    if let Some(fixture) = cluster.fixture() {
        assert_eq!(lists(fixture), [1; 3], "no watch needed a new list");
    }
}

#[tokio::test]
async fn a_watch_that_the_server_ends_is_opened_again() {
    let (cluster, agent) = watching().await;
    let Some(fixture) = fixture(&cluster, "ending watches in good order") else {
        return;
    };
    fixture.end_watches(None, Ending::Clean);
    fixture.put(slice("web-1", "web", &["10.0.0.2"])).unwrap();
    agent.serves(&vip(1), &["10.0.0.2"]).await;
    all_watch(fixture, &agent).await;
    assert_eq!(lists(fixture), [1; 3]);
}

#[tokio::test]
async fn while_the_server_is_away_nothing_changes_and_then_everything_arrives() {
    let (cluster, agent) = watching().await;
    cluster.refuse_connections();
    cluster.put_all(served("new", 2, &["10.0.0.2"])).unwrap();
    cluster.delete(&service_key("web")).unwrap();
    let failed = r#"shunt_watch_failures_total{kind="Service"}"#;
    agent
        .until("two failures", |agent| agent.metric(failed) >= 2.0)
        .await;
    assert!(agent.tables.untouched());
    cluster.admit_connections();
    agent.serves(&vip(2), &["10.0.0.2"]).await;
    agent.forgets(&vip(1)).await;
    agent
        .until("the watch works", |agent| {
            agent.metric(r#"shunt_watch_failing{kind="Service"}"#) == 0.0
        })
        .await;
}

#[tokio::test]
async fn a_new_list_after_410_removes_what_vanished_meanwhile() {
    let (cluster, agent) = watching().await;
    let Some(fixture) = fixture(&cluster, "compaction on demand") else {
        return;
    };
    fixture.put_all(served("stays", 2, &["10.0.0.2"])).unwrap();
    agent.serves(&vip(2), &["10.0.0.2"]).await;

    fixture.refuse_connections();
    fixture.delete(&service_key("web"));
    fixture.put(slice("stays-1", "stays", &["10.0.0.3"])).unwrap();
    fixture.put_all(served("new", 3, &["10.0.0.4"])).unwrap();
    fixture.compact();
    agent.tables.take_writes();
    fixture.admit_connections();

    agent.forgets(&vip(1)).await;
    agent.serves(&vip(2), &["10.0.0.3"]).await;
    agent.serves(&vip(3), &["10.0.0.4"]).await;
    assert_eq!(lists(fixture)[..2], [2, 2]);
}

#[tokio::test]
async fn a_new_list_with_nothing_new_writes_nothing() {
    let (cluster, agent) = watching().await;
    let Some(fixture) = fixture(&cluster, "410 on demand") else {
        return;
    };
    list_again_after(fixture, &agent, &Fault::GoneEvent).await;
}

#[tokio::test]
async fn a_watch_that_is_answered_with_410_lists_again() {
    let (cluster, agent) = watching().await;
    let Some(fixture) = fixture(&cluster, "410 on demand") else {
        return;
    };
    let gone = Fault::Answer {
        code: 410,
        retry_after: None,
    };
    list_again_after(fixture, &agent, &gone).await;
}

async fn list_again_after(fixture: &Fixture, agent: &Agent, fault: &Fault) {
    let before = lists(fixture);
    for kind in WATCHED {
        fixture.fail(Rule::always(fault.clone()).on(Verb::Watch).of(kind).times(1));
    }
    fixture.end_watches(None, Ending::Clean);
    agent
        .until("new lists", |_| lists(fixture) == before.map(|count| count + 1))
        .await;
    all_watch(fixture, agent).await;
    fixture.put_all(served("other", 2, &["10.0.0.2"])).unwrap();
    agent.serves(&vip(2), &["10.0.0.2"]).await;
    for op in agent.tables.take_writes() {
        assert!(!op.to_string().contains("10.96.1.1:"), "{op}");
    }
}

#[tokio::test]
async fn a_watch_that_falls_silent_is_given_up_and_opened_again() {
    let (cluster, agent) = watching().await;
    // Once an event has come through a watch, the agent is waiting for the next one.
    cluster.put_all(served("probe", 2, &["10.0.0.9"])).unwrap();
    agent.serves(&vip(2), &["10.0.0.9"]).await;
    cluster.stall_watches();
    cluster.put(slice("web-1", "web", &["10.0.0.2"])).unwrap();
    skip(SILENCE).await;
    agent.serves(&vip(1), &["10.0.0.2"]).await;
}

#[tokio::test]
async fn bookmarks_spare_a_new_list_after_a_quiet_time() {
    let (cluster, agent) = watching().await;
    let Some(fixture) = fixture(&cluster, "bookmarks and compaction on demand") else {
        return;
    };
    for n in 2..20 {
        // Nothing that any of the watches sees.
        fixture.put(labelled(service("hidden", n), HEADLESS, "")).unwrap();
    }
    let sent = WATCHED.map(|kind| fixture.bookmarks(kind));
    fixture.send_bookmarks(None);
    agent
        .until("bookmarks", |_| {
            WATCHED
                .iter()
                .zip(sent)
                .all(|(kind, sent)| fixture.bookmarks(*kind) > sent)
        })
        .await;
    fixture.compact();
    fixture.end_watches(None, Ending::Clean);
    fixture.put(slice("web-1", "web", &["10.0.0.2"])).unwrap();
    agent.serves(&vip(1), &["10.0.0.2"]).await;
    all_watch(fixture, &agent).await;
    assert_eq!(lists(fixture), [1; 3]);
}

#[tokio::test]
async fn an_event_that_cannot_be_read_loses_no_change() {
    for how in [Garble::Half, Garble::NotJson, Garble::NotAnEvent] {
        let (cluster, agent) = watching().await;
        let Some(fixture) = fixture(&cluster, "garbled events") else {
            return;
        };
        fixture.fail(
            Rule::always(Fault::Garble(how))
                .of(Resource::EndpointSlices)
                .times(1),
        );
        fixture.put(slice("web-1", "web", &["10.0.0.2"])).unwrap();
        // Other objects go on meanwhile.
        fixture.put_all(served("other", 2, &["10.0.0.3"])).unwrap();
        agent.serves(&vip(2), &["10.0.0.3"]).await;
        agent.serves(&vip(1), &["10.0.0.2"]).await;
    }
}

#[tokio::test]
async fn a_watch_that_is_refused_is_tried_again() {
    for code in [403, 429, 500, 503] {
        let (cluster, agent) = watching().await;
        let Some(fixture) = fixture(&cluster, "refusals") else {
            return;
        };
        let refusal = Fault::Answer {
            code,
            retry_after: Some(1),
        };
        fixture.fail(
            Rule::always(refusal)
                .on(Verb::Watch)
                .of(Resource::EndpointSlices)
                .times(2),
        );
        fixture.end_watches(None, Ending::Clean);
        fixture.put(slice("web-1", "web", &["10.0.0.2"])).unwrap();
        agent.serves(&vip(1), &["10.0.0.2"]).await;
        assert_eq!(lists(fixture), [1; 3], "{code}");
    }
}
