// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent as `shunt agent` wires it, but for the kernel.

use std::path::Path;
use std::time::Duration;

use dataplane::admin::{Ready, Status};
use dataplane::agent::{Reports, run};
use dataplane::events::EventSender;
use dataplane::index::parse::Parser;
use dataplane::index::{Event, Settings};
use dataplane::metrics::Metrics;
use dataplane::watch::kube::{self, Pace};
use dataplane::watch::{Batch, channel};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::objects::NODE;
use crate::tables::Tables;

/// Longer than any wait here should take; backoff after failures is up to 30 s.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Agent {
    pub(crate) tables: Tables,
    registry: Registry,
    ready: Ready,
    status: watch::Receiver<Status>,
    stop: oneshot::Sender<()>,
    agent: JoinHandle<Tables>,
    watches: JoinHandle<()>,
}

impl Agent {
    /// Starts watching; returns at once.
    pub(crate) async fn start(kubeconfig: &Path, tables: Tables) -> Self {
        let (sender, receiver) = channel();
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let reports = Reports::new(metrics.clone(), EventSender::default());
        let (ready, status) = (reports.ready.clone(), reports.status.subscribe());
        // The node's own addresses come from the kernel, which is not part of this.
        sender
            .send(Batch::now(vec![Event::NodeAddresses([].into())]))
            .await
            .unwrap();
        let client = kube::connect(Some(kubeconfig)).await.unwrap();
        let watches = tokio::spawn(kube::run(
            client,
            Pace::default(),
            Parser::new(NODE),
            sender,
            metrics,
        ));
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let agent = tokio::spawn(run(
            receiver,
            tables.clone(),
            Settings::default(),
            reports,
            shutdown,
        ));
        Self {
            tables,
            registry,
            ready,
            status,
            stop,
            agent,
            watches,
        }
    }

    /// Stops as at SIGTERM; the tables stay.
    pub(crate) async fn stop(self) -> Tables {
        self.stop.send(()).unwrap();
        let tables = self.agent.await.unwrap();
        self.watches.abort();
        tables
    }

    /// What a frontend leads to; `None` if there is none.
    pub(crate) fn backends(&self, frontend: &str) -> Option<Vec<String>> {
        self.tables.served().remove(frontend)
    }

    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// The value of a metric, named with its labels as it is printed; 0 before it is first counted.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until the first lists are in force.
    pub(crate) async fn ready(&self) {
        self.until("ready", |agent| agent.ready.pending().is_empty())
            .await;
    }

    /// Waits until a frontend leads to just these backends: addresses, port 8080.
    pub(crate) async fn serves(&self, frontend: &str, addresses: &[&str]) {
        let wanted: Vec<_> = addresses
            .iter()
            .map(|address| format!("{address}:8080"))
            .collect();
        let what = format!("{frontend} leads to {wanted:?}");
        self.until(&what, |agent| agent.backends(frontend).as_ref() == Some(&wanted))
            .await;
    }

    /// Waits until a frontend is gone.
    pub(crate) async fn forgets(&self, frontend: &str) {
        self.until(&format!("{frontend} is gone"), |agent| {
            agent.backends(frontend).is_none()
        })
        .await;
    }

    /// Waits until something holds; shows all there is if it does not come.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let (served, status) = (self.tables.served(), self.status());
            panic!("never came: {what}\nserved: {served:#?}\nstatus: {status:#?}");
        }
    }
}
