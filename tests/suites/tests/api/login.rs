// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the agent shows who it is.

use apiserver::kubeconfig::Login;
use apiserver::{Access, Cluster, Resource, User, Verb};

use crate::agent::Agent;
use crate::fixture;
use crate::objects::{served, vip};
use crate::tables::Tables;

#[tokio::test]
async fn a_token_and_a_client_certificate_serve_alike_with_the_role_of_kube_proxy() {
    let cluster = Cluster::start().unwrap();
    cluster.put_all(served("web", 1, &["10.0.0.1"])).unwrap();
    for kubeconfig in [
        cluster.token_kubeconfig(User::Agent).unwrap(),
        cluster.certificate_kubeconfig(User::Agent).unwrap(),
    ] {
        let agent = Agent::start(&kubeconfig, Tables::default()).await;
        agent.serves(&vip(1), &["10.0.0.1"]).await;
    }
}

#[tokio::test]
async fn an_agent_with_an_unknown_token_writes_nothing() {
    let cluster = Cluster::start().unwrap();
    let Some(fixture) = fixture(&cluster, "a stranger") else {
        return;
    };
    fixture.put_all(served("web", 1, &["10.0.0.1"])).unwrap();
    let text = fixture.kubeconfig_text(&Login::Token("guessed".into()));
    let agent = Agent::start(
        &fixture.write_kubeconfig("guessed", &text).unwrap(),
        Tables::default(),
    )
    .await;
    agent
        .until("every kind refused", |_| fixture.unauthorized() >= 3)
        .await;
    assert!(agent.tables.untouched());
    assert_eq!(agent.status().awaited, ["services", "endpointslices", "node"]);
}

#[tokio::test]
async fn an_agent_that_loses_its_rights_keeps_what_it_knows() {
    let cluster = Cluster::start().unwrap();
    let Some(fixture) = fixture(&cluster, "rights that are taken away") else {
        return;
    };
    fixture.put_all(served("web", 1, &["10.0.0.1"])).unwrap();
    let agent = Agent::start(&fixture.token_kubeconfig(User::Agent).unwrap(), Tables::default()).await;
    agent.serves(&vip(1), &["10.0.0.1"]).await;
    agent
        .until("watches", |_| fixture.open_watches(Resource::EndpointSlices) == 1)
        .await;
    agent.tables.take_writes();

    fixture.grant(Access::Only([].into()));
    let watched = fixture.count(Verb::Watch, Resource::EndpointSlices);
    cluster.break_watches();
    agent
        .until("a refusal", |_| {
            fixture.count(Verb::Watch, Resource::EndpointSlices) > watched
        })
        .await;
    assert!(agent.tables.untouched());

    fixture.put_all(served("web", 1, &["10.0.0.2"])).unwrap();
    fixture.grant(Access::node_proxier());
    agent.serves(&vip(1), &["10.0.0.2"]).await;
}
