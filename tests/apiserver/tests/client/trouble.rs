// SPDX-License-Identifier: MIT OR Apache-2.0
//! Failures on demand, one by one.

use std::time::{Duration, Instant};

use apiserver::{Fault, Garble, Resource, Rule, Verb};
use futures::TryStreamExt as _;
use kube::api::{ListParams, WatchEvent, WatchParams};

use super::{code, fixture, service, services, until};

#[tokio::test]
async fn any_status_with_retry_after_and_then_it_is_over() {
    let fixture = fixture();
    let services = services(&fixture).await;
    for wanted in [403, 429, 500, 503] {
        let fault = Fault::Answer {
            code: wanted,
            retry_after: Some(2),
        };
        fixture.fail(Rule::always(fault).on(Verb::List).of(Resource::Services).times(1));
        let kube::Error::Api(status) = services.list(&ListParams::default()).await.unwrap_err() else {
            panic!("no Status")
        };
        assert_eq!(status.code, wanted);
        let seconds = status.details.map(|details| details.retry_after_seconds);
        assert_eq!(
            seconds,
            (wanted != 403).then_some(2),
            "a 403 does not pass by waiting"
        );
        services.list(&ListParams::default()).await.unwrap();
    }
    assert_eq!(fixture.count(Verb::List, Resource::Services), 8);
    assert_eq!(
        fixture
            .requests()
            .iter()
            .filter(|request| request.code != 200)
            .count(),
        4
    );
}

#[tokio::test]
async fn a_lasting_failure_ends_when_healed() {
    let fixture = fixture();
    let services = services(&fixture).await;
    fixture.fail(Rule::always(Fault::Answer {
        code: 500,
        retry_after: None,
    }));
    for _ in 0..3 {
        assert_eq!(code(services.list(&ListParams::default()).await), 500);
    }
    fixture.heal();
    services.list(&ListParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_slow_list_is_late() {
    let fixture = fixture();
    let services = services(&fixture).await;
    fixture.fail(Rule::always(Fault::Delay { millis: 200 }).on(Verb::List).times(1));
    let begun = Instant::now();
    services.list(&ListParams::default()).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_hang_up_and_a_cut_list_are_errors_of_the_connection() {
    let fixture = fixture();
    fixture
        .put_all(["a", "b"].map(|name| service(name, "x")))
        .unwrap();
    let services = services(&fixture).await;
    for fault in [Fault::Hangup, Fault::CutList] {
        fixture.fail(Rule::always(fault.clone()).on(Verb::List).times(1));
        let failed = services.list(&ListParams::default()).await.unwrap_err();
        assert!(!matches!(failed, kube::Error::Api(_)), "{fault:?}: {failed}");
        services.list(&ListParams::default()).await.unwrap();
    }
}

#[tokio::test]
async fn gone_comes_as_a_status_or_as_an_event() {
    let fixture = fixture();
    let services = services(&fixture).await;
    let start = fixture.revision().to_string();
    let fault = Fault::Answer {
        code: 410,
        retry_after: None,
    };
    fixture.fail(Rule::always(fault).on(Verb::Watch).times(1));
    let refused = services.watch(&WatchParams::default(), &start).await;
    assert_eq!(code(refused.map(|_| ())), 410);

    fixture.fail(Rule::always(Fault::GoneEvent).times(1));
    let mut events = Box::pin(services.watch(&WatchParams::default(), &start).await.unwrap());
    match events.try_next().await.unwrap() {
        Some(WatchEvent::Error(status)) => assert_eq!(status.code, 410),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_spoiled_event_is_an_error_and_the_next_one_is_whole() {
    let fixture = fixture();
    let services = services(&fixture).await;
    for how in [Garble::NotJson, Garble::NotAnEvent] {
        let start = fixture.revision().to_string();
        let mut events = Box::pin(services.watch(&WatchParams::default(), &start).await.unwrap());
        fixture.fail(Rule::always(Fault::Garble(how)).of(Resource::Services).times(1));
        fixture.put(service("lost", &format!("{how:?}"))).unwrap();
        let spoiled = events.try_next().await;
        assert!(spoiled.is_err(), "{how:?}: {spoiled:?}");
        fixture.put(service("whole", &format!("{how:?}"))).unwrap();
        let whole = events.try_next().await;
        assert!(
            matches!(&whole, Ok(Some(WatchEvent::Added(_) | WatchEvent::Modified(_)))),
            "{how:?}: {whole:?}"
        );
    }
}

#[tokio::test]
async fn half_an_event_is_the_end() {
    let fixture = fixture();
    let services = services(&fixture).await;
    let start = fixture.revision().to_string();
    let mut events = Box::pin(services.watch(&WatchParams::default(), &start).await.unwrap());
    fixture.fail(Rule::always(Fault::Garble(Garble::Half)).times(1));
    fixture.put(service("half", "x")).unwrap();
    let end = events.try_next().await;
    assert!(matches!(end, Err(_) | Ok(None)), "{end:?}");
    until("no watch", || fixture.open_watches(Resource::Services) == 0).await;
}

#[tokio::test]
async fn an_object_of_the_wrong_shape_spoils_a_typed_list() {
    let fixture = fixture();
    let mut odd = service("odd", "x");
    odd["spec"]["ports"] = "eighty".into();
    fixture.put(odd).unwrap();
    let failed = services(&fixture)
        .await
        .list(&ListParams::default())
        .await
        .unwrap_err();
    assert!(matches!(failed, kube::Error::SerdeError(_)), "{failed}");
}
