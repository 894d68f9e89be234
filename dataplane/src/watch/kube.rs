// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Kubernetes API.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event as Watch, watcher};
use kube::{Api, Client, Config, Resource};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::guarded::Guarded;
use super::watched::Watched;
use super::{Batch, Closed, Sender, send};
use crate::causes::Causes;
use crate::index::parse::{Parser, name_of};
use crate::index::{Change, Parsed};
use crate::metrics::Metrics;
use crate::model::{NamespacedName, Reason};

/// The pace of requests to the API server.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long the server keeps one watch open. A connection that died without a word is noticed that late, and
    /// every node asks three times in it.
    pub watch_seconds: u32,
    /// Objects per answer to a list.
    pub page: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            watch_seconds: 120,
            page: 500,
        }
    }
}

/// No answer at all for that long, neither to a list nor on a watch, is a dead connection. Longer than any watch.
const SILENCE: Duration = Duration::from_secs(130);
/// A watch that works may have nothing to report; one that fails reports that after each attempt and each pause
/// between two (30 s and some jitter).
const RECOVERED_AFTER: Duration = Duration::from_secs(SILENCE.as_secs() + 60);
/// Until a kind is asked for again that the API server does not have: it may be upgraded.
const ABSENT_FOR: Duration = Duration::from_secs(300);
/// Between an event that could not be read and the list that makes good for it.
const RELIST_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(
        "cannot use kubeconfig {path}: {}: give a file that `kubectl --kubeconfig` can use",
        Causes(source)
    )]
    Kubeconfig {
        path: PathBuf,
        source: Box<kube::config::KubeconfigError>,
    },
    #[error("cannot use the pod's service account: {}: run in a pod, or give --kubeconfig or --manifests", Causes(.0))]
    InCluster(#[from] kube::config::InClusterError),
    #[error(
        "cannot make a client for {url}: {}: check the server and its certificates in the kubeconfig",
        Causes(source)
    )]
    Client { url: String, source: Box<kube::Error> },
}

/// A client by a kubeconfig, or by the account of the pod that this runs in. Nothing is sent yet.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, ConnectError> {
    let mut config = match kubeconfig {
        Some(path) => from_file(path).await.map_err(|source| ConnectError::Kubeconfig {
            path: path.to_owned(),
            source: Box::new(source),
        })?,
        None => Config::incluster()?,
    };
    config.read_timeout = Some(SILENCE);
    let url = config.cluster_url.to_string();
    Client::try_from(config).map_err(|source| ConnectError::Client {
        url,
        source: Box::new(source),
    })
}

async fn from_file(path: &Path) -> Result<Config, kube::config::KubeconfigError> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await
}

/// Watches every kind, forever: a watch that fails is retried, and the last known state stays in force
/// meanwhile. Returns when the agent is gone.
pub async fn run(client: Client, pace: Pace, parser: Parser, sender: Sender, metrics: Metrics) {
    let paced = watcher::Config::default()
        .page_size(pace.page)
        .timeout(pace.watch_seconds);
    let selected = paced.clone().labels(&parser.selector());
    let own_node = paced
        .clone()
        .fields(&format!("metadata.name={}", parser.node_name()));
    info!(node = parser.node_name(), "watching the Kubernetes API");
    let sink = Sink {
        parser,
        sender,
        metrics,
    };
    tokio::join!(
        sink.watch::<Service>(&client, &selected),
        sink.watch::<EndpointSlice>(&client, &selected),
        sink.watch::<Node>(&client, &own_node),
        sink.watch::<ServiceCIDR>(&client, &paced),
    );
}

struct Sink {
    parser: Parser,
    sender: Sender,
    metrics: Metrics,
}

/// Why a stream of events came to its end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    AgentGone,
    /// Events could not be read or are no longer there, so changes may have been missed.
    EventLost,
    /// There is no such kind there, or none for us; which is not needed.
    Absent,
}

impl Sink {
    async fn watch<K: Watched>(&self, client: &Client, config: &watcher::Config) {
        loop {
            let api = Api::<Guarded<K>>::all(client.clone());
            match self.follow(watcher(api, config.clone())).await {
                End::AgentGone => return,
                End::EventLost => sleep(RELIST_AFTER).await,
                End::Absent => sleep(ABSENT_FOR).await,
            }
        }
    }

    async fn follow<K: Watched>(
        &self,
        stream: impl Stream<Item = watcher::Result<Watch<Guarded<K>>>>,
    ) -> End {
        let mut stream = pin!(stream.default_backoff());
        let mut list = BTreeMap::new();
        loop {
            let change = match timeout(RECOVERED_AFTER, stream.next()).await {
                Ok(Some(Ok(event))) => self.change(event, &mut list),
                Ok(Some(Err(failure))) if K::OPTIONAL && is_absent(&failure) => {
                    info!(kind = K::KIND.as_str(), %failure, "optional resource not available; continuing without it");
                    return End::Absent;
                }
                Ok(Some(Err(failure))) => {
                    self.report::<K>(&failure);
                    if is_lost_event(&failure) {
                        return End::EventLost;
                    }
                    None
                }
                Ok(None) => return End::EventLost,
                Err(_) => {
                    self.metrics.watch_works(K::KIND);
                    None
                }
            };
            let Some(change) = change else { continue };
            if let Err(Closed) = send(&self.sender, Batch::now(vec![K::event(change)])).await {
                return End::AgentGone;
            }
        }
    }

    /// A list that is still coming in shows nothing: half of it would look as if the rest were gone.
    fn change<K: Watched>(
        &self,
        event: Watch<Guarded<K>>,
        list: &mut BTreeMap<NamespacedName, Parsed<K::Model>>,
    ) -> Option<Change<K::Model>> {
        // The intention to list is not yet an answer.
        if !matches!(event, Watch::Init) {
            self.metrics.watch_event(K::KIND);
        }
        match event {
            Watch::Init => {
                list.clear();
                None
            }
            Watch::InitApply(object) => {
                list.insert(name_of(object.meta(), K::NAMESPACED), self.see(&object));
                None
            }
            Watch::InitDone => Some(Change::Reset(std::mem::take(list))),
            Watch::Apply(object) => Some(Change::Apply(
                name_of(object.meta(), K::NAMESPACED),
                self.see(&object),
            )),
            Watch::Delete(object) => Some(Change::Delete(name_of(object.meta(), K::NAMESPACED))),
        }
    }

    fn see<K: Watched>(&self, object: &Guarded<K>) -> Parsed<K::Model> {
        match object {
            Guarded::Good(object) => object.parse(&self.parser),
            Guarded::Odd { why, .. } => Parsed::refused(Reason::Unreadable(why.clone())),
        }
    }

    fn report<K: Watched>(&self, failure: &watcher::Error) {
        if self.metrics.watch_failed(K::KIND) {
            warn!(kind = K::KIND.as_str(), %failure, "watch failed: the last known state stays in force");
        } else {
            debug!(kind = K::KIND.as_str(), %failure, "watch still fails");
        }
    }
}

/// The server knows no such kind (404), or does not let us have it (403).
fn is_absent(failure: &watcher::Error) -> bool {
    match failure {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => matches!(status.code, 403 | 404),
        _ => false,
    }
}

/// Only a new list shows what happened: a line of a watch is no event, or the server has forgotten where the watch is
/// to begin and says so by refusing it. (As an *event* of the watch, 410 is the watcher's own business. A connection
/// that breaks between two lines loses nothing.)
fn is_lost_event(failure: &watcher::Error) -> bool {
    match failure {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 410,
        watcher::Error::WatchFailed(kube::Error::ReadEvents(_)) => false,
        watcher::Error::WatchFailed(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use kube::core::Status;
    use prometheus_client::registry::Registry;
    use serde_json::json;

    use super::super::{Receiver, channel};
    use super::*;
    use crate::index::Event;
    use crate::index::testing::{NODE, object, service};

    type Streamed = watcher::Result<Watch<Guarded<Service>>>;

    fn web(cluster_ip: &str) -> Guarded<Service> {
        object(service("web", cluster_ip))
    }

    fn odd() -> Guarded<Service> {
        object(json!({ "metadata": { "name": "odd", "namespace": "default" }, "spec": { "ports": 7 } }))
    }

    async fn events(stream: Vec<Streamed>) -> (End, Vec<Event>) {
        let (sender, receiver) = channel();
        let metrics = Metrics::register(&mut Registry::default());
        let sink = Sink {
            parser: Parser::new(NODE),
            sender,
            metrics,
        };
        let end = sink.follow(stream::iter(stream)).await;
        drop(sink);
        (end, drain(receiver).await)
    }

    async fn drain(mut receiver: Receiver) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(batch) = receiver.recv().await {
            events.extend(batch.events);
        }
        events
    }

    #[tokio::test]
    async fn a_list_counts_when_it_is_complete_and_not_before() {
        let half = vec![Ok(Watch::Init), Ok(Watch::InitApply(web("10.96.0.1")))];
        assert_eq!(events(half).await.1, []);
        let whole = vec![
            Ok(Watch::Init),
            Ok(Watch::InitApply(web("10.96.0.1"))),
            Ok(Watch::Init),
            Ok(Watch::InitApply(odd())),
            Ok(Watch::InitDone),
        ];
        let reported = events(whole).await.1;
        let [Event::Services(Change::Reset(list))] = &reported[..] else {
            panic!("{reported:?}")
        };
        assert_eq!(list.len(), 1, "events before the list began again do not count");
        assert!(matches!(
            list.values().next().unwrap().reasons[..],
            [Reason::Unreadable(_)]
        ));
    }

    #[tokio::test]
    async fn an_odd_object_is_refused_by_name_between_others() {
        let stream = vec![
            Ok(Watch::Apply(odd())),
            Ok(Watch::Apply(web("10.96.0.1"))),
            Ok(Watch::Delete(odd())),
        ];
        let reported = events(stream).await.1;
        let [
            Event::Services(Change::Apply(name, seen)),
            _,
            Event::Services(Change::Delete(gone)),
        ] = &reported[..]
        else {
            panic!("{reported:?}")
        };
        assert_eq!((&*name.name, name), ("odd", gone));
        assert!(seen.model.is_none() && seen.reasons.len() == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_watch_goes_on_and_a_lost_event_ends_it() {
        let gone = watcher::Error::WatchError(Box::new(Status {
            code: 410,
            ..Status::default()
        }));
        let goes_on = vec![Err(gone), Ok(Watch::Apply(web("10.96.0.1")))];
        assert_eq!(events(goes_on).await.1.len(), 1);
        let unreadable = serde_json::from_str::<u8>("{").unwrap_err();
        let lost = watcher::Error::WatchFailed(kube::Error::SerdeError(unreadable));
        let ends = vec![Err(lost), Ok(Watch::Apply(web("10.96.0.1")))];
        assert_eq!(events(ends).await, (End::EventLost, vec![]));
        let refused = kube::Error::Api(Box::new(Status {
            code: 410,
            ..Status::default()
        }));
        let ends = vec![Err(watcher::Error::WatchStartFailed(refused))];
        assert_eq!(events(ends).await, (End::EventLost, vec![]));
    }
}
