// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plain watches: what is told, in what order, and how a watch ends.

use std::time::Duration;

use apiserver::{Ending, Fixture, Resource, Settings, Which};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http_body_util::BodyExt as _;
use hyper::Request;
use k8s_openapi::api::core::v1::Service;
use kube::api::{WatchEvent, WatchParams};
use kube::client::Body;

use super::{PATIENCE, client, fixture, key, service, services, until};

type Events = std::pin::Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<Service>>> + Send>>;

async fn watch(fixture: &Fixture, params: &WatchParams, version: &str) -> Events {
    services(fixture)
        .await
        .watch(params, version)
        .await
        .unwrap()
        .boxed()
}

fn told(event: WatchEvent<Service>) -> String {
    let name = |s: Service| s.metadata.name.unwrap();
    match event {
        WatchEvent::Added(s) => format!("ADDED {}", name(s)),
        WatchEvent::Modified(s) => format!("MODIFIED {}", name(s)),
        WatchEvent::Deleted(s) => format!("DELETED {}", name(s)),
        WatchEvent::Bookmark(mark) => format!("BOOKMARK {}", mark.metadata.resource_version),
        WatchEvent::Error(status) => format!("ERROR {}", status.code),
    }
}

async fn next(events: &mut Events) -> String {
    let event = tokio::time::timeout(PATIENCE, events.try_next())
        .await
        .expect("no event comes");
    event.unwrap().map_or("end".into(), told)
}

#[tokio::test]
async fn changes_after_the_version_arrive_in_order() {
    let fixture = fixture();
    let start = fixture.put(service("old", "x")).unwrap().to_string();
    fixture.put(service("a", "x")).unwrap();
    let mut events = watch(&fixture, &WatchParams::default(), &start).await;
    assert_eq!(next(&mut events).await, "ADDED a");
    fixture.put(service("a", "y")).unwrap();
    assert_eq!(next(&mut events).await, "MODIFIED a");
    fixture.delete(&key("a"));
    assert_eq!(next(&mut events).await, "DELETED a");
}

#[tokio::test]
async fn without_a_version_the_present_comes_first() {
    let fixture = fixture();
    fixture.put_all([service("a", "x"), service("b", "x")]).unwrap();
    let mut events = watch(&fixture, &WatchParams::default(), "0").await;
    assert_eq!(
        [next(&mut events).await, next(&mut events).await],
        ["ADDED a", "ADDED b"]
    );
}

#[tokio::test]
async fn an_object_that_leaves_the_selection_arrives_as_deleted() {
    let fixture = fixture();
    let start = fixture.put(service("a", "x")).unwrap().to_string();
    let params = WatchParams::default()
        .labels("app=x")
        .fields("spec.clusterIP!=None");
    let mut events = watch(&fixture, &params, &start).await;
    fixture.put(service("a", "other")).unwrap();
    assert_eq!(next(&mut events).await, "DELETED a");
    fixture.put(service("a", "x")).unwrap();
    assert_eq!(next(&mut events).await, "ADDED a");
    let mut headless = service("a", "x");
    headless["spec"]["clusterIP"] = "None".into();
    fixture.put(headless).unwrap();
    assert_eq!(next(&mut events).await, "DELETED a");
}

#[tokio::test]
async fn bookmarks_move_the_version_for_those_who_take_them() {
    let fixture = fixture();
    let start = fixture.revision().to_string();
    let mut takes = watch(&fixture, &WatchParams::default().labels("app=x"), &start).await;
    let mut refuses = watch(&fixture, &WatchParams::default().disable_bookmarks(), &start).await;
    until("both watches", || fixture.open_watches(Resource::Services) == 2).await;
    let other = fixture.put(service("other", "y")).unwrap();
    assert_eq!(next(&mut refuses).await, "ADDED other");
    fixture.send_bookmarks(None);
    assert_eq!(next(&mut takes).await, format!("BOOKMARK {other}"));
    fixture.put(service("mine", "x")).unwrap();
    assert_eq!(next(&mut refuses).await, "ADDED mine");
}

#[tokio::test]
async fn bookmarks_come_by_themselves() {
    let fixture = Fixture::start(Settings {
        bookmark_every: Duration::from_millis(20),
        ..Settings::default()
    })
    .unwrap();
    let start = fixture.revision().to_string();
    let mut events = watch(&fixture, &WatchParams::default(), &start).await;
    assert_eq!(next(&mut events).await, format!("BOOKMARK {start}"));
}

#[tokio::test]
async fn a_watch_ends_at_its_timeout_with_a_bookmark() {
    let fixture = fixture();
    let start = fixture.revision().to_string();
    let mut events = watch(&fixture, &WatchParams::default().timeout(1), &start).await;
    assert_eq!(next(&mut events).await, format!("BOOKMARK {start}"));
    assert_eq!(next(&mut events).await, "end");
    until("no watch", || fixture.open_watches(Resource::Services) == 0).await;
}

#[tokio::test]
async fn a_version_that_was_compacted_is_gone() {
    let fixture = fixture();
    let start = fixture.revision().to_string();
    fixture.put(service("a", "x")).unwrap();
    fixture.compact();
    let mut events = watch(&fixture, &WatchParams::default(), &start).await;
    assert_eq!(next(&mut events).await, "ERROR 410");
    assert_eq!(next(&mut events).await, "end");
}

#[tokio::test]
async fn watches_are_ended_cleanly_or_broken_off() {
    let fixture = fixture();
    let client = client(&fixture).await;
    // kube's own watch takes both for the end of a long watch, so look at the body.
    for (ending, whole) in [(Ending::Clean, true), (Ending::Abort, false)] {
        let request = Request::get("/api/v1/services?watch=true")
            .body(Body::empty())
            .unwrap();
        let body = client.send(request).await.unwrap().into_body();
        until("a watch", || fixture.open_watches(Resource::Services) == 1).await;
        fixture.end_watches(Some(Resource::Services), ending);
        assert_eq!(body.collect().await.is_ok(), whole, "{ending:?}");
        until("no watch", || fixture.open_watches(Resource::Services) == 0).await;
    }
}

#[tokio::test]
async fn a_stalled_watch_is_silent_and_catches_up() {
    let fixture = fixture();
    let start = fixture.revision().to_string();
    let mut stalled = watch(&fixture, &WatchParams::default(), &start).await;
    until("a watch", || fixture.open_watches(Resource::Services) == 1).await;
    fixture.stall_watches(None, Which::Open);
    let mut later = watch(&fixture, &WatchParams::default(), &start).await;
    fixture.put(service("a", "x")).unwrap();
    assert_eq!(next(&mut later).await, "ADDED a");
    assert!(futures::poll!(stalled.next()).is_pending());
    fixture.resume_watches(None);
    assert_eq!(next(&mut stalled).await, "ADDED a");
}

#[tokio::test]
async fn a_stalled_watch_that_was_overtaken_by_a_compaction_is_gone() {
    let fixture = fixture();
    let start = fixture.revision().to_string();
    let mut events = watch(&fixture, &WatchParams::default(), &start).await;
    until("a watch", || fixture.open_watches(Resource::Services) == 1).await;
    fixture.stall_watches(None, Which::All);
    fixture.put(service("a", "x")).unwrap();
    fixture.compact();
    fixture.resume_watches(None);
    assert_eq!(next(&mut events).await, "ERROR 410");
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed() {
    let fixture = fixture();
    let events = watch(&fixture, &WatchParams::default(), "0").await;
    until("a watch", || fixture.open_watches(Resource::Services) == 1).await;
    drop(events);
    until("no watch", || fixture.open_watches(Resource::Services) == 0).await;
}
