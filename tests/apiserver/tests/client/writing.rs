// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes through the API: the Events of an agent.

use apiserver::Resource;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::runtime::events::{EventType, Recorder, Reporter};
use serde_json::json;

use super::{client, fixture, service};

#[tokio::test]
async fn an_event_is_created_and_one_that_happens_again_is_patched() {
    let fixture = fixture();
    let client = client(&fixture).await;
    let recorder = Recorder::new(
        client.clone(),
        Reporter {
            controller: "shunt".into(),
            instance: None,
        },
    );
    fixture
        .put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}))
        .unwrap();
    let nodes: Api<Node> = Api::all(client.clone());
    let reference = kube::Resource::object_ref(&nodes.get("n1").await.unwrap(), &());
    let event = kube::runtime::events::Event {
        type_: EventType::Warning,
        reason: "MapFull".into(),
        note: Some("no room".into()),
        action: "Program".into(),
        secondary: None,
    };
    for _ in 0..2 {
        recorder.publish(&event, &reference).await.unwrap();
    }
    let events = fixture.all(Resource::Events);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["reason"], "MapFull");
    assert_eq!(events[0]["series"]["count"], 2);
}

#[test]
fn objects_of_the_test_are_stored_unchecked() {
    let fixture = fixture();
    let mut odd = service("odd", "x");
    odd["spec"]["ports"] = "eighty".into();
    fixture.put(odd).unwrap();
    assert_eq!(fixture.all(Resource::Services)[0]["spec"]["ports"], "eighty");
}
