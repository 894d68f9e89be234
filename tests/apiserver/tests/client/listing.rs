// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists: selectors, pages, versions.

use apiserver::bulk::Bulk;
use apiserver::{Resource, Verb};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{ListParams, VersionMatch};

use super::{client, code, fixture, key, names, service, services};

#[tokio::test]
async fn labels_and_fields_select() {
    let fixture = fixture();
    fixture
        .put_all([service("a", "x"), service("b", "y"), service("c", "x")])
        .unwrap();
    let services = services(&fixture).await;
    let select = |labels: &str, fields: &str| ListParams::default().labels(labels).fields(fields);
    let list = async |params| names(services.list(&params).await.unwrap());
    assert_eq!(list(select("app=x", "")).await, ["a", "c"]);
    assert_eq!(list(select("app in (y),!other", "")).await, ["b"]);
    assert_eq!(list(select("app", "metadata.name!=b")).await, ["a", "c"]);
    assert!(list(select("", "spec.clusterIP=None")).await.is_empty());
    assert_eq!(code(services.list(&select("app in x", "")).await), 400);
    assert_eq!(code(services.list(&select("", "spec.selector=x")).await), 400);
}

#[tokio::test]
async fn a_namespace_narrows_a_list() {
    let fixture = fixture();
    let mut elsewhere = service("a", "x");
    elsewhere["metadata"]["namespace"] = "shop".into();
    fixture.put_all([service("a", "x"), elsewhere]).unwrap();
    let all = services(&fixture).await;
    let shop: Api<k8s_openapi::api::core::v1::Service> = Api::namespaced(client(&fixture).await, "shop");
    assert_eq!(all.list(&ListParams::default()).await.unwrap().items.len(), 2);
    assert_eq!(shop.list(&ListParams::default()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn pages_show_one_revision_and_say_how_much_follows() {
    let fixture = fixture();
    fixture
        .put_all(["a", "b", "c", "d", "e"].map(|name| service(name, "x")))
        .unwrap();
    let services = services(&fixture).await;
    let mut params = ListParams::default().limit(2);
    let first = services.list(&params).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    fixture.delete(&key("d"));
    fixture.put(service("z", "x")).unwrap();

    let mut seen = names(first.items);
    let mut next = first.metadata.continue_;
    while let Some(token) = next.take().filter(|token| !token.is_empty()) {
        params = params.continue_token(&token);
        let page = services.list(&params).await.unwrap();
        assert_eq!(page.metadata.resource_version, first.metadata.resource_version);
        next = page.metadata.continue_;
        seen.extend(names(page.items));
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    assert_eq!(fixture.count(Verb::List, Resource::Services), 3);
}

#[tokio::test]
async fn a_page_after_a_compaction_is_gone() {
    let fixture = fixture();
    fixture
        .put_all(["a", "b", "c"].map(|name| service(name, "x")))
        .unwrap();
    let services = services(&fixture).await;
    let params = ListParams::default().limit(1);
    let token = services.list(&params).await.unwrap().metadata.continue_.unwrap();
    fixture.put(service("d", "x")).unwrap();
    fixture.compact();
    assert_eq!(code(services.list(&params.continue_token(&token)).await), 410);
}

#[tokio::test]
async fn versions_are_matched() {
    let fixture = fixture();
    let then = fixture.put(service("a", "x")).unwrap().to_string();
    fixture.put(service("b", "x")).unwrap();
    let services = services(&fixture).await;
    let at = |version: &str, matching| ListParams::default().at(version).matching(matching);
    let exact = services.list(&at(&then, VersionMatch::Exact)).await.unwrap();
    assert_eq!(exact.metadata.resource_version, Some(then.clone()));
    assert_eq!(names(exact), ["a"]);
    assert_eq!(
        names(
            services
                .list(&at(&then, VersionMatch::NotOlderThan))
                .await
                .unwrap()
        ),
        ["a", "b"]
    );
    assert_eq!(
        names(services.list(&ListParams::default().match_any()).await.unwrap()),
        ["a", "b"]
    );
    assert_eq!(
        code(services.list(&at("1000", VersionMatch::NotOlderThan)).await),
        504
    );
    fixture.compact();
    assert_eq!(code(services.list(&at(&then, VersionMatch::Exact)).await), 410);
}

#[tokio::test]
async fn a_large_cluster_is_listed_whole() {
    let fixture = fixture();
    let bulk = Bulk {
        services: 300,
        endpoints: 10,
        nodes: 2,
    };
    fixture.seed(bulk).unwrap();
    let slices: Api<EndpointSlice> = Api::all(client(&fixture).await);
    let all = slices.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(all.len(), 300);
    assert_eq!(all[7].endpoints.as_ref().unwrap().len(), 10);
    assert_eq!(
        services(&fixture)
            .await
            .list(&ListParams::default().limit(100))
            .await
            .unwrap()
            .items
            .len(),
        100
    );
}

#[tokio::test]
async fn cluster_scoped_objects_have_no_namespace() {
    let fixture = fixture();
    let node = serde_json::json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
    fixture.put(node).unwrap();
    let nodes: Api<Node> = Api::all(client(&fixture).await);
    assert_eq!(nodes.get("n1").await.unwrap().metadata.namespace, None);
    assert_eq!(code(nodes.get("n2").await), 404);
}
