// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent's own metrics.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::model::Kind;
use crate::plan::Op;

/// Cheap to clone: all clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// From a watch event's arrival to the last op it led to.
    pub network_programming: Histogram,
    /// The same from the change in the cluster on, in kube-proxy's name and buckets: dashboards and the
    /// scalability tests' SLI read it.
    pub kubeproxy_network_programming: Histogram,
    pub sync_duration: Histogram,
    pub last_sync: Gauge<f64, std::sync::atomic::AtomicU64>,
    pub in_step: Gauge,
    pub compiles: Counter,
    ops: Family<OpLabel, Counter>,
    op_failures: Family<MapLabel, Counter>,
    pub ops_held_back: Counter,
    pub refusals: Gauge,
    pub services: Gauge,
    pub backends: Gauge,
    pub frontends: Gauge,
    watch_events: Family<KindLabel, Counter>,
    watch_failures: Family<KindLabel, Counter>,
    watch_failing: Family<KindLabel, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OpLabel {
    op: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MapLabel {
    map: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            network_programming: Histogram::new(exponential_buckets(0.000_5, 2.0, 16)),
            kubeproxy_network_programming: Histogram::new(kubeproxy_buckets()),
            sync_duration: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            last_sync: Gauge::default(),
            in_step: Gauge::default(),
            compiles: Counter::default(),
            ops: Family::default(),
            op_failures: Family::default(),
            ops_held_back: Counter::default(),
            refusals: Gauge::default(),
            services: Gauge::default(),
            backends: Gauge::default(),
            frontends: Gauge::default(),
            watch_events: Family::default(),
            watch_failures: Family::default(),
            watch_failing: Family::default(),
        };
        for op in Op::KINDS {
            drop(metrics.ops.get_or_create(&OpLabel { op }));
        }
        metrics.describe_sync(registry.sub_registry_with_prefix("shunt"));
        metrics.describe_watch(registry.sub_registry_with_prefix("shunt_watch"));
        registry.register(
            "kubeproxy_network_programming_duration_seconds",
            "Time from a change of endpoints in the cluster to the kernel serving it, named as kube-proxy's",
            metrics.kubeproxy_network_programming.clone(),
        );
        metrics
    }

    pub fn op_applied(&self, op: &Op) {
        self.ops.get_or_create(&OpLabel { op: op.kind() }).inc();
    }

    pub fn op_failed(&self, map: &'static str) {
        self.op_failures.get_or_create(&MapLabel { map }).inc();
    }

    pub fn sync_took(&self, took: Duration) {
        self.sync_duration.observe(took.as_secs_f64());
    }

    pub fn is_in_step(&self) {
        self.in_step.set(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_sync.set(now.as_secs_f64());
    }

    pub fn watch_event(&self, kind: Kind) {
        self.watch_events
            .get_or_create(&KindLabel { kind: kind.as_str() })
            .inc();
        self.watch_works(kind);
    }

    pub fn watch_works(&self, kind: Kind) {
        self.watch_failing
            .get_or_create(&KindLabel { kind: kind.as_str() })
            .set(0);
    }

    /// True for the first failure in a row.
    pub fn watch_failed(&self, kind: Kind) -> bool {
        self.watch_failures
            .get_or_create(&KindLabel { kind: kind.as_str() })
            .inc();
        self.watch_failing
            .get_or_create(&KindLabel { kind: kind.as_str() })
            .set(1)
            == 0
    }

    fn describe_sync(&self, registry: &mut Registry) {
        registry.register(
            "network_programming_duration_seconds",
            "Time from a watch event's arrival to the last kernel write it led to",
            self.network_programming.clone(),
        );
        registry.register(
            "sync_duration_seconds",
            "Time of one sync: compile, plan, write",
            self.sync_duration.clone(),
        );
        registry.register(
            "last_sync_timestamp_seconds",
            "When the kernel was last brought in step",
            self.last_sync.clone(),
        );
        registry.register(
            "in_step",
            "1 while the kernel holds all it should, 0 before the first sync and after a failed write",
            self.in_step.clone(),
        );
        registry.register("compiles", "Services compiled", self.compiles.clone());
        registry.register("ops", "Kernel writes by kind", self.ops.clone());
        registry.register(
            "op_failures",
            "Kernel writes that failed, by map",
            self.op_failures.clone(),
        );
        registry.register(
            "ops_held_back",
            "Kernel writes not tried because a write they depend on failed",
            self.ops_held_back.clone(),
        );
        registry.register(
            "refusals",
            "Reasons why objects, or parts of them, are not served: see the log or the admin port's /status",
            self.refusals.clone(),
        );
        registry.register("services", "Service ports in the kernel", self.services.clone());
        registry.register("backends", "Backends in the kernel", self.backends.clone());
        registry.register("frontends", "Frontends in the kernel", self.frontends.clone());
    }

    fn describe_watch(&self, registry: &mut Registry) {
        registry.register("events", "Events by kind of object", self.watch_events.clone());
        registry.register(
            "failures",
            "Failed lists and watches by kind",
            self.watch_failures.clone(),
        );
        registry.register(
            "failing",
            "1 while the last attempt to list or watch the kind failed; the last known state stays in force",
            self.watch_failing.clone(),
        );
    }
}

fn kubeproxy_buckets() -> impl Iterator<Item = f64> {
    let tens = (60..120).step_by(5).chain((120..=300).step_by(30));
    [0.25, 0.5].into_iter().chain((1..60).chain(tens).map(f64::from))
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::plan::ServiceId;

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn every_kind_of_op_is_there_from_the_start() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.op_applied(&Op::DeleteService { id: ServiceId(1) });
        let text = text(&registry);
        assert!(
            text.contains("shunt_ops_total{op=\"delete_service\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("shunt_ops_total{op=\"put_set\"} 0\n"), "{text}");
    }

    #[test]
    fn the_network_programming_histograms_have_their_names_and_buckets() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.network_programming.observe(0.003);
        let text = text(&registry);
        for line in [
            "shunt_network_programming_duration_seconds_bucket{le=\"0.0005\"} 0\n",
            "shunt_network_programming_duration_seconds_bucket{le=\"0.004\"} 1\n",
            "kubeproxy_network_programming_duration_seconds_bucket{le=\"0.25\"} 0\n",
            "kubeproxy_network_programming_duration_seconds_bucket{le=\"300.0\"} 0\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn a_watch_fails_for_the_first_time_until_an_event_comes() {
        let metrics = Metrics::register(&mut Registry::default());
        assert!(metrics.watch_failed(Kind::Service));
        assert!(!metrics.watch_failed(Kind::Service));
        metrics.watch_event(Kind::Service);
        assert!(metrics.watch_failed(Kind::Service));
    }
}
