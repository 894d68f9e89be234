// SPDX-License-Identifier: MIT OR Apache-2.0
//! The fixture as the plain kube client sees it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may fail loudly"
)]

mod history;
mod listing;
mod login;
mod network;
mod outages;
mod streaming;
mod trouble;
mod watching;
mod writing;

use std::path::Path;
use std::time::Duration;

use apiserver::{Fixture, Key, Resource, Settings, User};
use k8s_openapi::api::core::v1::Service;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

/// Far longer than anything here takes: only a hanging test meets it.
const PATIENCE: Duration = Duration::from_secs(30);

fn fixture() -> Fixture {
    Fixture::start(Settings::default()).unwrap()
}

/// A client without retries of its own: the fixture counts requests.
async fn client_from(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.default_retry = false;
    config.proxy_url = None;
    Client::try_from(config).unwrap()
}

async fn client(fixture: &Fixture) -> Client {
    client_from(&fixture.token_kubeconfig(User::Agent).unwrap()).await
}

async fn services(fixture: &Fixture) -> Api<Service> {
    Api::all(client(fixture).await)
}

fn service(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 80}]},
    })
}

fn key(name: &str) -> Key {
    Key::new(Resource::Services, "default", name)
}

fn names(list: impl IntoIterator<Item = Service>) -> Vec<String> {
    list.into_iter()
        .filter_map(|service| service.metadata.name)
        .collect()
}

/// The HTTP status of a refusal.
fn code<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> u16 {
    match result.unwrap_err() {
        kube::Error::Api(status) => status.code,
        other => panic!("not a Status: {other}"),
    }
}

/// Waits until something holds; fails if it does not come.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, wait).await.is_ok(),
        "never came: {what}"
    );
}
