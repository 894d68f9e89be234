// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Kubernetes API.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, Event as Watch};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client, Config, Resource};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::guarded::Guarded;
use super::watched::Watched;
use super::{Batch, Closed, Sender, send};
use crate::index::door::{Door, SELECTOR, name_of};
use crate::index::{Change, Seen};
use crate::metrics::Metrics;
use crate::model::{NamespacedName, Reason};

/// How long the server keeps one watch open. A connection that died without a word is noticed that late, and
/// every node asks three times in it.
const WATCH_SECONDS: u32 = 120;
/// No answer at all for longer than that, neither to a list nor on a watch, is a dead connection.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);
/// A watch that works may have nothing to tell; one that fails tells so after each attempt and each pause
/// between two (30 s and some jitter).
const RECOVERED_AFTER: Duration = Duration::from_secs(SILENCE.as_secs() + 60);
const PAGE: u32 = 500;

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot use kubeconfig {path}: {source}: give a file that `kubectl --kubeconfig` can use")]
    Kubeconfig {
        path: PathBuf,
        source: Box<kube::config::KubeconfigError>,
    },
    #[error("cannot use the pod's own account: {0}: run in a pod, or give --kubeconfig or --manifests")]
    InCluster(#[from] kube::config::InClusterError),
    #[error("cannot make a client for {url}: {source}")]
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

/// Watches everything there is to watch, for ever: what fails is tried again, and what was known stays in force
/// meanwhile. Returns when the agent is gone.
pub async fn run(client: Client, door: Door, sender: Sender, metrics: Metrics) {
    let selected = || {
        watcher::Config::default()
            .labels(SELECTOR)
            .page_size(PAGE)
            .timeout(WATCH_SECONDS)
    };
    let own_node = format!("metadata.name={}", door.node_name());
    let node = watcher::Config::default()
        .fields(&own_node)
        .timeout(WATCH_SECONDS);
    let sink = Sink {
        door,
        sender,
        metrics,
    };
    info!(node = sink.door.node_name(), "watching the Kubernetes API");
    tokio::join!(
        sink.follow(watch(Api::<Guarded<Service>>::all(client.clone()), selected())),
        sink.follow(watch(
            Api::<Guarded<EndpointSlice>>::all(client.clone()),
            selected()
        )),
        sink.follow(watch(Api::<Guarded<Node>>::all(client), node)),
    );
}

struct Sink {
    door: Door,
    sender: Sender,
    metrics: Metrics,
}

impl Sink {
    async fn follow<K: Watched>(&self, stream: impl Stream<Item = watcher::Result<Watch<Guarded<K>>>>) {
        let mut stream = pin!(stream.default_backoff());
        let mut list = BTreeMap::new();
        loop {
            let event = match timeout(RECOVERED_AFTER, stream.next()).await {
                Ok(Some(event)) => event,
                Ok(None) => return,
                Err(_) => {
                    self.metrics.watch_works(K::KIND);
                    continue;
                }
            };
            let change = match event {
                Ok(event) => {
                    // The intention to list is not yet an answer.
                    if !matches!(event, Watch::Init) {
                        self.metrics.watch_event(K::KIND);
                    }
                    self.change(event, &mut list)
                }
                Err(failure) => {
                    self.report::<K>(&failure);
                    None
                }
            };
            let Some(change) = change else { continue };
            if let Err(Closed) = send(&self.sender, Batch::now(vec![K::event(change)])).await {
                return;
            }
        }
    }

    /// A list that is still coming in shows nothing: half of it would look as if the rest were gone.
    fn change<K: Watched>(
        &self,
        event: Watch<Guarded<K>>,
        list: &mut BTreeMap<NamespacedName, Seen<K::Model>>,
    ) -> Option<Change<K::Model>> {
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

    fn see<K: Watched>(&self, object: &Guarded<K>) -> Seen<K::Model> {
        match object {
            Guarded::Good(object) => object.admit(&self.door),
            Guarded::Odd { why, .. } => Seen::refused(Reason::Unreadable(why.clone())),
        }
    }

    fn report<K: Watched>(&self, failure: &watcher::Error) {
        if self.metrics.watch_failed(K::KIND) {
            warn!(kind = K::KIND.as_str(), %failure, "watch failed: what is known stays in force");
        } else {
            debug!(kind = K::KIND.as_str(), %failure, "watch still fails");
        }
    }
}
