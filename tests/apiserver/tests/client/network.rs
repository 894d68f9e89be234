// SPDX-License-Identifier: MIT OR Apache-2.0
//! The proxy that stands between clients and a server that cannot be made to fail.

use apiserver::proxy::Proxy;
use apiserver::{Fixture, Resource, User};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};

use super::{PATIENCE, client_from, fixture, service, until};

async fn behind_a_proxy(fixture: &Fixture) -> (Proxy, Api<Service>) {
    let proxy = Proxy::start(fixture.address()).await.unwrap();
    let direct = std::fs::read_to_string(fixture.token_kubeconfig(User::Agent).unwrap()).unwrap();
    let detour = direct.replace(&fixture.address().to_string(), &proxy.address().to_string());
    let path = fixture.write_kubeconfig("detour", &detour).unwrap();
    let services = Api::all(client_from(&path).await);
    (proxy, services)
}

#[tokio::test]
async fn it_passes_everything_on() {
    let fixture = fixture();
    let (_proxy, services) = behind_a_proxy(&fixture).await;
    fixture.put(service("web", "x")).unwrap();
    assert_eq!(
        services.list(&ListParams::default()).await.unwrap().items.len(),
        1
    );
}

#[tokio::test]
async fn it_breaks_open_connections_and_takes_new_ones() {
    let fixture = fixture();
    let (proxy, services) = behind_a_proxy(&fixture).await;
    let mut events = Box::pin(services.watch(&WatchParams::default(), "0").await.unwrap());
    proxy.break_connections();
    let end = tokio::time::timeout(PATIENCE, events.try_next())
        .await
        .expect("no end comes");
    assert!(matches!(end, Err(_) | Ok(None)), "{end:?}");
    until("no watch", || fixture.open_watches(Resource::Services) == 0).await;
    services.list(&ListParams::default()).await.unwrap();
}

#[tokio::test]
async fn it_refuses_until_it_admits() {
    let fixture = fixture();
    let (proxy, services) = behind_a_proxy(&fixture).await;
    proxy.refuse_connections();
    assert!(services.list(&ListParams::default()).await.is_err());
    proxy.admit_connections();
    services.list(&ListParams::default()).await.unwrap();
}

#[tokio::test]
async fn it_stalls_open_connections_and_no_later_ones() {
    let fixture = fixture();
    let (proxy, services) = behind_a_proxy(&fixture).await;
    let start = fixture.revision().to_string();
    let mut stalled = Box::pin(services.watch(&WatchParams::default(), &start).await.unwrap());
    proxy.stall_connections();
    let mut later = Box::pin(services.watch(&WatchParams::default(), &start).await.unwrap());
    fixture.put(service("web", "x")).unwrap();
    let event = tokio::time::timeout(PATIENCE, later.try_next())
        .await
        .expect("no event comes");
    assert!(matches!(event, Ok(Some(WatchEvent::Added(_)))), "{event:?}");
    assert!(futures::poll!(stalled.try_next()).is_pending());
}
