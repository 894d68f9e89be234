// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who is let in, and what for.

use apiserver::kubeconfig::Login;
use apiserver::pki::Authority;
use apiserver::{Access, Resource, User, Verb};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::ListParams;

use super::{client, client_from, code, fixture, service};

async fn list(path: &std::path::Path) -> Result<usize, kube::Error> {
    let services: Api<Service> = Api::all(client_from(path).await);
    services
        .list(&ListParams::default())
        .await
        .map(|list| list.items.len())
}

#[tokio::test]
async fn a_token_and_a_client_certificate_let_a_client_in() {
    let fixture = fixture();
    fixture.put(service("web", "x")).unwrap();
    for user in [User::Admin, User::Agent] {
        assert_eq!(list(&fixture.token_kubeconfig(user).unwrap()).await.unwrap(), 1);
        assert_eq!(
            list(&fixture.certificate_kubeconfig(user).unwrap())
                .await
                .unwrap(),
            1
        );
    }
    let users: Vec<_> = fixture
        .requests()
        .into_iter()
        .map(|request| request.user)
        .collect();
    assert_eq!(users[0], users[1]);
    assert_ne!(users[0], users[2]);
    assert_eq!(fixture.unauthorized(), 0);
}

#[tokio::test]
async fn unknown_and_missing_logins_are_unauthorized() {
    let fixture = fixture();
    let stranger = Authority::new()
        .unwrap()
        .client("system:admin", "system:masters")
        .unwrap();
    let logins = [
        Login::Nobody,
        Login::Token("guessed".into()),
        Login::Certificate(stranger),
    ];
    for login in logins {
        let path = fixture
            .write_kubeconfig("stranger", &fixture.kubeconfig_text(&login))
            .unwrap();
        assert_eq!(code(list(&path).await), 401, "{login:?}");
    }
    assert_eq!(fixture.unauthorized(), 3);
    assert_eq!(fixture.count(Verb::List, Resource::Services), 0);
}

#[tokio::test]
async fn a_token_that_was_replaced_is_unauthorized() {
    let fixture = fixture();
    let path = fixture.token_kubeconfig(User::Agent).unwrap();
    list(&path).await.unwrap();
    fixture.change_token(User::Agent, "new");
    assert_eq!(code(list(&path).await), 401);
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_authority_does_not_connect() {
    let (mine, other) = (fixture(), fixture());
    let text = mine.kubeconfig_text(&Login::Token("any".into()));
    let misled = text.replace(&mine.address().to_string(), &other.address().to_string());
    let path = mine.write_kubeconfig("misled", &misled).unwrap();
    let refused = list(&path).await.unwrap_err();
    assert!(!matches!(refused, kube::Error::Api(_)), "{refused}");
    assert_eq!(other.unauthorized(), 0);
}

#[tokio::test]
async fn the_agent_may_be_held_to_the_role_of_kube_proxy() {
    let fixture = fixture();
    fixture.grant(Access::node_proxier());
    let agent = client(&fixture).await;
    let services: Api<Service> = Api::all(agent.clone());
    services.list(&ListParams::default()).await.unwrap();
    let services: Api<Service> = Api::default_namespaced(agent);
    assert_eq!(code(services.get("web").await), 403);
}
