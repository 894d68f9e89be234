// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Kubernetes API as the source of events, against the API server fixture: what the index knows in the end,
//! whatever goes wrong on the way.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::time::Duration;

use apiserver::{Ending, Fault, Fixture, Garble, Key, Resource, Rule, Settings, User, Verb, Which};
use dataplane::index::parse::Parser;
use dataplane::index::{Change, Event, Index};
use dataplane::metrics::Metrics;
use dataplane::model::ServiceName;
use dataplane::watch::kube::{Pace, connect, run};
use dataplane::watch::{Receiver, channel};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A server, the source that follows it, and the index it feeds.
struct Bench {
    server: Fixture,
    receiver: Receiver,
    source: JoinHandle<()>,
    index: Index,
    registry: Registry,
    resets: usize,
}

impl Bench {
    async fn start(objects: Vec<Value>) -> Self {
        Self::prepared(objects, |_| {}).await
    }

    /// `prepare` may break the server before anybody asks it.
    async fn prepared(objects: Vec<Value>, prepare: impl FnOnce(&Fixture)) -> Self {
        let server = Fixture::start(Settings::default()).unwrap();
        server.put_all(objects).unwrap();
        prepare(&server);
        let client = connect(Some(&server.token_kubeconfig(User::Agent).unwrap()))
            .await
            .unwrap();
        let (sender, receiver) = channel();
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let pace = Pace {
            watch_seconds: 1,
            ..Pace::default()
        };
        let source = tokio::spawn(run(client, pace, Parser::new("node-a"), sender, metrics));
        let mut index = Index::new(dataplane::index::Settings::default());
        index.apply(Event::NodeAddresses([].into()));
        Self {
            server,
            receiver,
            source,
            index,
            registry,
            resets: 0,
        }
    }

    /// Takes events in until this holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&mut Index) -> bool) {
        let follow = async {
            while !holds(&mut self.index) {
                let batch = self.receiver.recv().await.unwrap();
                for event in batch.events {
                    self.resets += usize::from(is_reset(&event));
                    self.index.apply(event);
                }
            }
        };
        let done = timeout(Duration::from_secs(60), follow).await.is_ok();
        assert!(done, "waited in vain for: {what}; {:#?}", self.index);
    }

    async fn until_complete(&mut self) {
        self.until("first lists", |index| index.is_complete()).await;
    }

    /// Waits until `default/NAME` sends its clients to so many backends; none: it has no frontend.
    async fn until_serves(&mut self, name: &str, backends: Option<usize>) {
        self.until(&format!("{name} with {backends:?}"), |index| {
            serves(index, name) == backends
        })
        .await;
    }

    fn metric(&self, name: &str) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.source.abort();
    }
}

fn is_reset(event: &Event) -> bool {
    matches!(
        event,
        Event::Services(Change::Reset(_)) | Event::Slices(Change::Reset(_)) | Event::Nodes(Change::Reset(_))
    )
}

fn serves(index: &mut Index, name: &str) -> Option<usize> {
    let compiled = index.compile(&ServiceName::new("default", name));
    let frontend = compiled
        .ports
        .into_values()
        .flat_map(|port| port.frontends.into_values())
        .next()?;
    Some(frontend.internal.members.len())
}

fn service(name: &str, cluster_ip: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": "default" },
        "spec": { "clusterIP": cluster_ip, "clusterIPs": [cluster_ip], "ports": [{ "port": 80 }] },
    })
}

fn slice(service: &str, backends: usize) -> Value {
    let endpoints: Vec<_> = (1..=backends)
        .map(|it| json!({ "addresses": [format!("10.0.0.{it}")] }))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": service, "namespace": "default", "labels": { "kubernetes.io/service-name": service },
        },
        "addressType": "IPv4", "ports": [{ "name": "", "port": 8080 }], "endpoints": endpoints,
    })
}

fn web(backends: usize) -> Vec<Value> {
    vec![service("web", "10.96.0.1"), slice("web", backends)]
}

fn services(name: &str) -> Key {
    Key::new(Resource::Services, "default", name)
}

#[tokio::test]
async fn what_is_there_and_what_changes_is_followed() {
    let mut bench = Bench::start(web(1)).await;
    bench.until_complete().await;
    bench.until_serves("web", Some(1)).await;
    bench.server.put(slice("web", 3)).unwrap();
    bench.until_serves("web", Some(3)).await;
    bench
        .server
        .put_all([service("dns", "10.96.0.10"), slice("dns", 2)])
        .unwrap();
    bench.until_serves("dns", Some(2)).await;
    bench.server.delete(&services("web"));
    bench.until_serves("web", None).await;
    assert_eq!(bench.resets, 3);
}

#[tokio::test]
async fn a_list_of_many_pages_is_one_list() {
    let count = 1100;
    let objects = (0..count).map(|it| {
        service(
            &format!("s-{it}"),
            &format!("10.96.{}.{}", it / 250, 1 + it % 250),
        )
    });
    let slow = |server: &Fixture| {
        let second_page = Rule::always(Fault::Delay { millis: 300 })
            .on(Verb::List)
            .of(Resource::Services)
            .after(1);
        server.fail(second_page);
    };
    let mut bench = Bench::prepared(objects.collect(), slow).await;
    bench.until_complete().await;
    let known = (0..count)
        .filter(|it| serves(&mut bench.index, &format!("s-{it}")).is_some())
        .count();
    assert_eq!((known, bench.resets), (count, 3));
    assert!(bench.server.count(Verb::List, Resource::Services) >= 3);
}

#[tokio::test]
async fn a_service_that_gets_another_proxys_name_is_let_go_at_once() {
    let mut bench = Bench::start(web(1)).await;
    bench.until_complete().await;
    let mut labelled = service("web", "10.96.0.1");
    labelled["metadata"]["labels"] = json!({ "service.kubernetes.io/service-proxy-name": "" });
    bench.server.put(labelled).unwrap();
    bench.until_serves("web", None).await;
    bench.server.put(service("web", "10.96.0.1")).unwrap();
    bench.until_serves("web", Some(1)).await;
}

#[tokio::test]
async fn a_past_that_is_forgotten_is_listed_anew() {
    let mut bench = Bench::start(web(1)).await;
    bench.until_complete().await;
    bench
        .server
        .fail(Rule::always(Fault::GoneEvent).on(Verb::Watch).times(1));
    bench.server.end_watches(None, Ending::Abort);
    bench.server.put(slice("web", 2)).unwrap();
    bench.server.delete(&services("web"));
    bench.server.put(service("other", "10.96.0.2")).unwrap();
    bench.server.compact();
    bench.until_serves("other", Some(0)).await;
    bench.until_serves("web", None).await;
    assert!(bench.resets > 3);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_refused_and_the_watch_goes_on() {
    let odd = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "odd" }, "spec": { "ports": 7 } });
    let mut bench = Bench::start([web(1), vec![odd.clone()]].concat()).await;
    bench.until_complete().await;
    let refusals = |index: &Index| {
        index
            .refusals()
            .iter()
            .map(|(object, _)| object.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(refusals(&bench.index), ["Service default/odd"]);
    bench.server.delete(&services("odd"));
    bench
        .until("odd forgotten", |index| index.refusals().is_empty())
        .await;
    bench.server.put(odd).unwrap();
    bench.server.put(slice("web", 2)).unwrap();
    bench
        .until("odd refused again", |index| {
            refusals(index) == ["Service default/odd"]
        })
        .await;
    bench.until_serves("web", Some(2)).await;
    assert_eq!(bench.resets, 3, "no watch was begun anew");
}

#[tokio::test]
async fn an_event_that_is_garbled_on_its_way_is_made_good_for() {
    let mut bench = Bench::start(web(1)).await;
    bench.until_complete().await;
    for (backends, how) in [(2, Garble::NotJson), (3, Garble::NotAnEvent), (4, Garble::Half)] {
        let rule = Rule::always(Fault::Garble(how))
            .on(Verb::Watch)
            .of(Resource::EndpointSlices)
            .times(1);
        bench.server.fail(rule);
        bench
            .server
            .end_watches(Some(Resource::EndpointSlices), Ending::Clean);
        bench.server.put(slice("web", backends)).unwrap();
        bench.until_serves("web", Some(backends)).await;
    }
}

#[tokio::test]
async fn a_watch_that_falls_silent_is_begun_anew() {
    let mut bench = Bench::start(web(1)).await;
    bench.until_complete().await;
    bench.server.stall_watches(None, Which::Open);
    bench.server.put(slice("web", 2)).unwrap();
    bench.until_serves("web", Some(2)).await;
    assert_eq!(bench.resets, 3, "what was known still counted");
}

#[tokio::test]
async fn a_server_that_is_away_leaves_the_last_state_and_shows_in_the_metrics() {
    let mut bench = Bench::start(web(1)).await;
    bench.until_complete().await;
    bench.server.refuse_connections();
    bench.server.put(slice("web", 2)).unwrap();
    let failing = "shunt_watch_failing{kind=\"EndpointSlice\"}";
    let patience = async {
        while bench.metric(failing) != "1" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(30), patience).await.unwrap();
    assert_eq!(serves(&mut bench.index, "web"), Some(1));
    bench.server.admit_connections();
    bench.until_serves("web", Some(2)).await;
    assert_eq!(bench.metric(failing), "0");
}

#[tokio::test]
async fn a_server_that_answers_with_errors_at_first_is_asked_again() {
    let mut bench = Bench::prepared(web(1), |server| {
        server.fail(
            Rule::always(Fault::Answer {
                code: 500,
                retry_after: None,
            })
            .on(Verb::List)
            .times(3),
        );
        server.fail(Rule::always(Fault::CutList).on(Verb::List).times(1));
        server.fail(Rule::always(Fault::Hangup).on(Verb::Watch).times(2));
    })
    .await;
    bench.until_complete().await;
    bench.server.put(slice("web", 2)).unwrap();
    bench.until_serves("web", Some(2)).await;
}

#[tokio::test]
async fn only_the_own_node_is_asked_for() {
    let node = |name: &str, zone: &str| {
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": { "topology.kubernetes.io/zone": zone } },
        })
    };
    let mut hinted = slice("web", 2);
    hinted["endpoints"][0]["hints"] = json!({ "forZones": [{ "name": "a" }] });
    hinted["endpoints"][1]["hints"] = json!({ "forZones": [{ "name": "b" }] });
    let objects = vec![
        service("web", "10.96.0.1"),
        hinted,
        node("node-a", "a"),
        node("node-b", "c"),
    ];
    let mut bench = Bench::start(objects).await;
    bench.until_complete().await;
    assert_eq!(serves(&mut bench.index, "web"), Some(1));
    bench.server.put(node("node-a", "c")).unwrap();
    bench.until_serves("web", Some(2)).await;
}
