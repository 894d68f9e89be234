// SPDX-License-Identifier: MIT OR Apache-2.0
//! kube's watcher against the fixture, both ways of getting the first list.

use apiserver::{Ending, Fixture, Resource, Settings, Verb};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Service;
use kube::runtime::watcher::{self, Event, watcher};

use super::{PATIENCE, fixture, key, service, services, until};

type Events = std::pin::Pin<Box<dyn futures::Stream<Item = Result<Event<Service>, watcher::Error>> + Send>>;

async fn watch(fixture: &Fixture, config: watcher::Config) -> Events {
    watcher(services(fixture).await, config).boxed()
}

async fn next(events: &mut Events) -> String {
    let event = tokio::time::timeout(PATIENCE, events.try_next())
        .await
        .expect("no event comes");
    let name = |s: Service| s.metadata.name.unwrap();
    match event {
        Ok(Some(Event::Init)) => "init".into(),
        Ok(Some(Event::InitApply(s))) => format!("init {}", name(s)),
        Ok(Some(Event::InitDone)) => "done".into(),
        Ok(Some(Event::Apply(s))) => format!("apply {}", name(s)),
        Ok(Some(Event::Delete(s))) => format!("delete {}", name(s)),
        Ok(None) => "end".into(),
        Err(why) => format!("error {}", std::any::type_name_of_val(&why)),
    }
}

async fn first_list(events: &mut Events) -> Vec<String> {
    assert_eq!(next(events).await, "init");
    let mut objects = Vec::new();
    loop {
        match next(events).await {
            event if event == "done" => return objects,
            event => objects.push(event),
        }
    }
}

#[tokio::test]
async fn list_and_watch_in_pages() {
    let fixture = fixture();
    fixture
        .put_all(["a", "b", "c"].map(|name| service(name, "x")))
        .unwrap();
    let mut events = watch(&fixture, watcher::Config::default().page_size(2)).await;
    assert_eq!(first_list(&mut events).await, ["init a", "init b", "init c"]);
    assert_eq!(fixture.count(Verb::List, Resource::Services), 2);
    fixture.put(service("d", "x")).unwrap();
    assert_eq!(next(&mut events).await, "apply d");
    fixture.delete(&key("a"));
    assert_eq!(next(&mut events).await, "delete a");
}

#[tokio::test]
async fn a_streaming_list_needs_no_list() {
    let fixture = fixture();
    fixture
        .put_all(["a", "b"].map(|name| service(name, "x")))
        .unwrap();
    let mut events = watch(&fixture, watcher::Config::default().streaming_lists()).await;
    assert_eq!(first_list(&mut events).await, ["init a", "init b"]);
    fixture.put(service("c", "x")).unwrap();
    assert_eq!(next(&mut events).await, "apply c");
    assert_eq!(fixture.count(Verb::List, Resource::Services), 0);
    assert_eq!(fixture.count(Verb::Watch, Resource::Services), 1);
}

#[tokio::test]
async fn an_empty_streaming_list_is_done_too() {
    let fixture = fixture();
    let mut events = watch(&fixture, watcher::Config::default().streaming_lists()).await;
    assert!(first_list(&mut events).await.is_empty());
}

#[tokio::test]
async fn a_server_without_streaming_lists_refuses_them() {
    let fixture = Fixture::start(Settings {
        streaming_lists: false,
        ..Settings::default()
    })
    .unwrap();
    let mut events = watch(&fixture, watcher::Config::default().streaming_lists()).await;
    match events.try_next().await {
        Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))) => assert_eq!(status.code, 422),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_broken_watch_goes_on_without_a_new_list() {
    let fixture = fixture();
    let mut events = watch(&fixture, watcher::Config::default()).await;
    first_list(&mut events).await;
    fixture.put(service("a", "x")).unwrap();
    assert_eq!(next(&mut events).await, "apply a");
    fixture.end_watches(None, Ending::Abort);
    fixture.put(service("b", "x")).unwrap();
    // kube takes a chunked body that breaks off for the end of a long watch: no error.
    assert_eq!(next(&mut events).await, "apply b");
    assert_eq!(fixture.count(Verb::Watch, Resource::Services), 2);
    assert_eq!(fixture.count(Verb::List, Resource::Services), 1);
}

#[tokio::test]
async fn a_watch_that_fell_out_of_history_lists_again() {
    let fixture = fixture();
    fixture
        .put_all(["a", "b"].map(|name| service(name, "x")))
        .unwrap();
    let mut events = watch(&fixture, watcher::Config::default()).await;
    first_list(&mut events).await;
    // The watch opens while the watcher is polled.
    tokio::select! {
        event = events.next() => panic!("{event:?}"),
        () = until("a watch", || fixture.open_watches(Resource::Services) == 1) => {}
    }
    fixture.refuse_connections();
    fixture.delete(&key("a"));
    fixture.compact();
    fixture.admit_connections();
    while !next(&mut events).await.starts_with("init") {}
    assert_eq!(next(&mut events).await, "init b");
    assert_eq!(next(&mut events).await, "done");
    assert_eq!(fixture.count(Verb::List, Resource::Services), 2);
}
