// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes through the API, and what may not be written.

use apiserver::Resource;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::events::{EventType, Recorder, Reporter};
use serde_json::json;

use super::{client, code, fixture, key, service};

fn typed(name: &str) -> Service {
    serde_json::from_value(service(name, "x")).unwrap()
}

#[tokio::test]
async fn an_object_is_made_replaced_patched_and_deleted() {
    let fixture = fixture();
    let services: Api<Service> = Api::namespaced(client(&fixture).await, "default");
    let made = services
        .create(&PostParams::default(), &typed("web"))
        .await
        .unwrap();
    assert_eq!(
        code(services.create(&PostParams::default(), &typed("web")).await),
        409
    );

    let mut changed = made.clone();
    changed
        .metadata
        .labels
        .get_or_insert_default()
        .insert("app".into(), "y".into());
    services
        .replace("web", &PostParams::default(), &changed)
        .await
        .unwrap();
    assert_eq!(
        code(services.replace("web", &PostParams::default(), &changed).await),
        409
    );

    let patch = json!({"spec": {"sessionAffinity": "ClientIP"}});
    let patched = services
        .patch("web", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    assert_eq!(
        patched.spec.unwrap().session_affinity.as_deref(),
        Some("ClientIP")
    );
    assert_eq!(patched.metadata.uid, made.metadata.uid);

    services.delete("web", &DeleteParams::default()).await.unwrap();
    assert_eq!(code(services.get("web").await), 404);
    assert_eq!(fixture.get(&key("web")), None);
}

#[tokio::test]
async fn server_side_apply_makes_and_merges() {
    let fixture = fixture();
    let services: Api<Service> = Api::namespaced(client(&fixture).await, "default");
    let params = PatchParams::apply("tests").force();
    services
        .patch("web", &params, &Patch::Apply(service("web", "x")))
        .await
        .unwrap();
    let label =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "labels": {"more": "y"}}});
    let merged = services
        .patch("web", &params, &Patch::Apply(label))
        .await
        .unwrap();
    assert_eq!(merged.metadata.labels.unwrap().len(), 2);
}

#[tokio::test]
async fn what_breaks_the_schema_is_refused_by_the_api_and_taken_from_the_test() {
    let fixture = fixture();
    let services: Api<Service> = Api::namespaced(client(&fixture).await, "default");
    let mut odd = service("odd", "x");
    odd["spec"]["ports"] = "eighty".into();
    let apply = Patch::Apply(odd.clone());
    assert_eq!(
        code(
            services
                .patch("odd", &PatchParams::apply("tests").force(), &apply)
                .await
        ),
        422
    );
    fixture.put(odd).unwrap();
    assert_eq!(fixture.get(&key("odd")).unwrap()["spec"]["ports"], "eighty");
}

#[tokio::test]
async fn events_are_recorded() {
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
    recorder.publish(&event, &reference).await.unwrap();
    let events: Api<Event> = Api::all(client);
    let found = events.list(&kube::api::ListParams::default()).await.unwrap();
    assert_eq!(found.items[0].reason.as_deref(), Some("MapFull"));
    assert_eq!(fixture.all(Resource::EventsV1).len(), 1);
}
