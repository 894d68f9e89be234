// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes while everything works.

use serde_json::{Value, json};

use crate::bench;
use crate::objects::{
    HEADLESS, NAMESPACE, PROXY_NAME, labelled, served, service, service_key, slice, slice_key, vip,
};

#[tokio::test]
async fn services_and_endpoints_come_change_and_go() {
    let (cluster, agent) = bench().await;
    agent.ready().await;
    cluster.put(service("web", 1)).unwrap();
    agent.serves(&vip(1), &[]).await;
    cluster.put(slice("web-1", "web", &["10.0.0.1"])).unwrap();
    agent.serves(&vip(1), &["10.0.0.1"]).await;
    cluster
        .put(slice("web-2", "web", &["10.0.0.2", "10.0.0.3"]))
        .unwrap();
    agent.serves(&vip(1), &["10.0.0.1", "10.0.0.2", "10.0.0.3"]).await;
    cluster.put(slice("web-2", "web", &["10.0.0.3"])).unwrap();
    agent.serves(&vip(1), &["10.0.0.1", "10.0.0.3"]).await;
    cluster.delete(&slice_key("web-1")).unwrap();
    agent.serves(&vip(1), &["10.0.0.3"]).await;
    cluster.delete(&service_key("web")).unwrap();
    agent.forgets(&vip(1)).await;
    assert!(
        agent
            .tables
            .served()
            .keys()
            .all(|frontend| !frontend.starts_with("10.96.1."))
    );
}

#[tokio::test]
async fn endpoints_that_come_before_their_service_are_kept_for_it() {
    let (cluster, agent) = bench().await;
    agent.ready().await;
    cluster.put(slice("web-1", "web", &["10.0.0.1"])).unwrap();
    cluster.put(service("web", 1)).unwrap();
    agent.serves(&vip(1), &["10.0.0.1"]).await;
}

#[tokio::test]
async fn a_label_that_hides_a_live_service_removes_it_and_taking_it_off_brings_it_back() {
    let (cluster, agent) = bench().await;
    agent.ready().await;
    for (label, value) in [(PROXY_NAME, "other"), (PROXY_NAME, ""), (HEADLESS, "")] {
        cluster.put_all(served("web", 1, &["10.0.0.1"])).unwrap();
        agent.serves(&vip(1), &["10.0.0.1"]).await;
        cluster.put(labelled(service("web", 1), label, value)).unwrap();
        agent.forgets(&vip(1)).await;
        cluster.put(service("web", 1)).unwrap();
        agent.serves(&vip(1), &["10.0.0.1"]).await;
    }
}

#[tokio::test]
async fn a_label_that_hides_a_live_slice_removes_its_endpoints() {
    let (cluster, agent) = bench().await;
    agent.ready().await;
    for label in [PROXY_NAME, HEADLESS] {
        cluster.put_all(served("web", 1, &["10.0.0.1"])).unwrap();
        agent.serves(&vip(1), &["10.0.0.1"]).await;
        cluster
            .put(labelled(slice("web-1", "web", &["10.0.0.1"]), label, ""))
            .unwrap();
        agent.serves(&vip(1), &[]).await;
    }
}

#[tokio::test]
async fn a_slice_that_changes_its_service_takes_its_endpoints_along() {
    let (cluster, agent) = bench().await;
    agent.ready().await;
    cluster.put_all(served("blue", 1, &["10.0.0.1"])).unwrap();
    cluster.put(service("green", 2)).unwrap();
    agent.serves(&vip(1), &["10.0.0.1"]).await;
    cluster.put(slice("blue-1", "green", &["10.0.0.1"])).unwrap();
    agent.serves(&vip(2), &["10.0.0.1"]).await;
    agent.serves(&vip(1), &[]).await;
}

#[tokio::test]
async fn namespaces_do_not_mix() {
    let (cluster, agent) = bench().await;
    agent.ready().await;
    let elsewhere = |mut object: Value| {
        object["metadata"]["namespace"] = "elsewhere".into();
        object
    };
    cluster.put_all(served("web", 1, &["10.0.0.1"])).unwrap();
    cluster.put(elsewhere(service("web", 2))).unwrap();
    cluster
        .put(elsewhere(slice("web-1", "web", &["10.0.0.2"])))
        .unwrap();
    agent.serves(&vip(1), &["10.0.0.1"]).await;
    agent.serves(&vip(2), &["10.0.0.2"]).await;
}

#[tokio::test]
async fn headless_and_external_name_services_are_not_served() {
    let (cluster, agent) = bench().await;
    agent.ready().await;
    let mut headless = service("headless", 1);
    headless["spec"]["clusterIP"] = "None".into();
    headless["spec"]["clusterIPs"] = json!(["None"]);
    let external = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "external", "namespace": NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": "example.org"},
    });
    let before = agent.tables.served().len();
    cluster.put_all([headless, external]).unwrap();
    cluster.put_all(served("web", 3, &["10.0.0.1"])).unwrap();
    agent.serves(&vip(3), &["10.0.0.1"]).await;
    assert_eq!(agent.tables.served().len(), before + 1);
}

#[tokio::test]
async fn a_service_of_both_families_has_a_frontend_in_each() {
    let (cluster, agent) = bench().await;
    agent.ready().await;
    let mut dual = service("dual", 1);
    dual["spec"]["clusterIPs"] = json!(["10.96.1.1", "fd00:10:96::1:1"]);
    dual["spec"]["ipFamilies"] = json!(["IPv4", "IPv6"]);
    dual["spec"]["ipFamilyPolicy"] = "RequireDualStack".into();
    let mut slice6 = slice("dual-6", "dual", &["fd00:10:244::1"]);
    slice6["addressType"] = "IPv6".into();
    cluster
        .put_all([dual, slice("dual-4", "dual", &["10.0.0.1"]), slice6])
        .unwrap();
    agent.serves(&vip(1), &["10.0.0.1"]).await;
    agent
        .serves("[fd00:10:96::1:1]:80/TCP", &["[fd00:10:244::1]"])
        .await;
}
