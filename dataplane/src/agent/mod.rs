// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one task that owns all state: it receives events, waits until they pause, and brings the kernel in step.

mod backoff;
mod sync;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch as value;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{info, warn};

use crate::admin::{Heartbeat, Ready, RefusedObject, Status, Task};
use crate::events::EventSender;
use crate::health::{Checks, Health};
use crate::index::{Index, News, Settings};
use crate::metrics::Metrics;
use crate::plan::{Maps, Planner};
use crate::watch::{Batch, Receiver};
use backoff::Backoff;

/// Events that come closer together than this are one change: the objects of one rollout step arrive within a
/// millisecond of each other.
const QUIET: Duration = Duration::from_millis(2);
/// But a change never waits longer than this for a pause.
const PATIENCE: Duration = Duration::from_millis(50);

/// The most events whose time to the kernel is measured: there are many while writes fail.
const MEASURED: usize = 4096;

/// Where the agent reports its state.
#[derive(Clone, Debug)]
pub struct Reports {
    pub metrics: Metrics,
    pub ready: Ready,
    pub heartbeat: Heartbeat,
    pub status: value::Sender<Status>,
    pub health: Health,
    pub checks: value::Sender<Checks>,
    /// The Node object's addresses.
    pub node_addresses: value::Sender<Vec<IpAddr>>,
    pub kube_events: EventSender,
}

impl Reports {
    /// Nothing reported yet. Readers subscribe to status and checks.
    pub fn new(metrics: Metrics, kube_events: EventSender) -> Self {
        Self {
            metrics,
            ready: Ready::default(),
            heartbeat: Heartbeat::default(),
            status: value::Sender::default(),
            health: Health::default(),
            checks: value::Sender::default(),
            node_addresses: value::Sender::default(),
            kube_events,
        }
    }
}

/// An agent that runs until `shutdown`, or until no sender of events is left. The kernel's state stays as it is
/// then. Not ready from this call on, whenever it is polled.
pub fn run<M: Maps>(
    events: Receiver,
    maps: M,
    settings: Settings,
    reports: Reports,
    shutdown: impl Future<Output = ()>,
) -> impl Future<Output = M> {
    Agent::new(maps, settings, reports).run(events, shutdown)
}

struct Agent<M> {
    index: Index,
    /// None before the kernel was read for the first time.
    planner: Option<Planner>,
    maps: M,
    reports: Reports,
    /// The reason for the next sync.
    change: Option<Change>,
    /// When the events came that the kernel does not know yet.
    waiting: Vec<Instant>,
    /// When to read the kernel (again) and to plan everything.
    resync_at: Option<Instant>,
    backoff: Backoff,
    failures: Vec<String>,
    was_in_step: bool,
    lists: Option<Task>,
    /// Held while the kernel does not hold all it should.
    out_of_step: Option<Task>,
}

/// Events that were taken in since the last sync.
#[derive(Clone, Copy)]
struct Change {
    first: Instant,
    last: Instant,
}

impl<M: Maps> Agent<M> {
    fn new(maps: M, settings: Settings, reports: Reports) -> Self {
        reports.metrics.in_step.set(0);
        let lists = Some(reports.ready.register_task("first lists of all kinds"));
        let out_of_step = Some(reports.ready.register_task("kernel in step"));
        let agent = Self {
            index: Index::new(settings),
            planner: None,
            maps,
            reports,
            change: None,
            waiting: Vec::new(),
            resync_at: Some(Instant::now()),
            backoff: Backoff::default(),
            failures: Vec::new(),
            was_in_step: false,
            lists,
            out_of_step,
        };
        agent.publish();
        agent
    }

    async fn run(mut self, mut events: Receiver, shutdown: impl Future<Output = ()>) -> M {
        let mut shutdown = pin!(shutdown);
        let mut beat = interval(Heartbeat::EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.reports.heartbeat.beat();
            let due = self.due();
            let wake = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            // Polled first: a stream of events without a pause must not delay a sync that is due.
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                () = wake => self.sync().await,
                batch = events.recv() => match batch {
                    Some(batch) => self.take_in(batch),
                    None => break,
                },
                _ = beat.tick() => {}
            }
        }
        info!("agent stops; the kernel programs go on");
        self.maps
    }

    /// When the next sync starts.
    fn due(&self) -> Option<Instant> {
        if !self.index.is_complete() {
            return None;
        }
        let change = self
            .change
            .map(|change| (change.last + QUIET).min(change.first + PATIENCE));
        [change, self.resync_at].into_iter().flatten().min()
    }

    fn take_in(&mut self, batch: Batch) {
        let mut changed = false;
        for event in batch.events {
            changed |= self.index.apply(event);
        }
        if self.lists.is_some() && self.index.is_complete() {
            info!("all first lists received");
            self.lists = None;
        }
        self.reports.node_addresses.send_if_modified(|known| {
            let addresses = self.index.own_addresses();
            let changed = known.as_slice() != addresses;
            if changed {
                *known = addresses.to_vec();
            }
            changed
        });
        self.reports
            .health
            .set_node_eligible(!self.index.node_is_leaving());
        if changed {
            self.reports.health.queued();
            let now = Instant::now();
            let first = self.change.map_or(now, |change| change.first);
            self.change = Some(Change { first, last: now });
            if self.waiting.len() < MEASURED {
                self.waiting.push(batch.received);
            }
        }
        if !changed || !self.index.is_complete() {
            // No sync will follow that does it.
            self.report_refusals();
            self.publish();
        }
    }

    fn report_refusals(&mut self) {
        for news in self.index.take_news() {
            match news {
                News::Refused(it) => {
                    warn!(object = %it.object, reason = %it.reason, "refused");
                    self.reports.kube_events.record_refused(&it);
                }
                News::Withdrawn(it) => info!(object = %it.object, reason = %it.reason, "no longer refused"),
            }
        }
        let count = self.index.refusals().len();
        self.reports
            .metrics
            .refusals
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn publish(&self) {
        let refusals = self
            .index
            .refusals()
            .iter()
            .map(|(object, reason)| RefusedObject {
                kind: object.kind.as_str().to_owned(),
                namespace: object.namespace.to_string(),
                name: object.name.to_string(),
                reason: reason.to_string(),
            });
        let status = Status {
            awaited: self
                .index
                .awaited()
                .map(|source| source.as_str().to_owned())
                .collect(),
            in_step: self.out_of_step.is_none(),
            failures: self.failures.clone(),
            refusals: refusals.collect(),
        };
        self.reports.status.send_if_modified(|published| {
            let changed = *published != status;
            *published = status;
            changed
        });
    }
}
