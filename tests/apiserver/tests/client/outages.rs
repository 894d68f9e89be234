// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server is away for a while.

use std::net::TcpStream;

use apiserver::Resource;
use futures::TryStreamExt as _;
use kube::api::{ListParams, WatchParams};

use super::{fixture, services, until};

#[tokio::test]
async fn connections_are_refused_and_then_taken_again_on_the_same_port() {
    let fixture = fixture();
    let services = services(&fixture).await;
    services.list(&ListParams::default()).await.unwrap();
    for _ in 0..3 {
        fixture.refuse_connections();
        let refused = TcpStream::connect(fixture.address()).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(services.list(&ListParams::default()).await.is_err());
        fixture.admit_connections();
        services.list(&ListParams::default()).await.unwrap();
    }
}

#[tokio::test]
async fn open_watches_break_when_connections_are_refused() {
    let fixture = fixture();
    let services = services(&fixture).await;
    let mut events = Box::pin(services.watch(&WatchParams::default(), "0").await.unwrap());
    until("a watch", || fixture.open_watches(Resource::Services) == 1).await;
    fixture.refuse_connections();
    let end = events.try_next().await;
    assert!(matches!(end, Err(_) | Ok(None)), "{end:?}");
    until("no watch", || fixture.open_watches(Resource::Services) == 0).await;
    // Twice is as good as once.
    fixture.refuse_connections();
    fixture.admit_connections();
    fixture.admit_connections();
}

#[tokio::test]
async fn a_stopped_fixture_is_gone() {
    let fixture = fixture();
    let address = fixture.address();
    drop(fixture);
    until("the port closed", || TcpStream::connect(address).is_err()).await;
}
