// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent against a kernel in memory: events in, tables out.

mod types;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{advance, sleep};

use super::*;
use crate::compile::HealthCheck;
use crate::index::testing::{NODE, applied, deleted, listed, node, service, slice};
use crate::index::{Event, Source};
use crate::model::NodeAddress;
use crate::plan::testing::{ChaosMaps, contents};
use crate::plan::{Bound, Capacity, KernelState, MapsError, MemoryMaps, Op};
use crate::watch::{Sender, channel};

/// A kernel that the test can look at, and break.
#[derive(Clone)]
struct SharedMaps(Arc<Mutex<Inside>>);

struct Inside {
    maps: ChaosMaps,
    writes: Vec<&'static str>,
    loads: u32,
    /// Ops for which this is true fail.
    broken: fn(&Op) -> bool,
    unreadable: bool,
}

impl SharedMaps {
    fn new(memory: MemoryMaps) -> Self {
        Self::failing_every(memory, u32::MAX)
    }

    fn failing_every(memory: MemoryMaps, fails_every: u32) -> Self {
        let maps = ChaosMaps::new(memory, fails_every);
        let inside = Inside {
            maps,
            writes: vec![],
            loads: 0,
            broken: |_| false,
            unreadable: false,
        };
        Self(Arc::new(Mutex::new(inside)))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inside) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    fn state(&self) -> KernelState {
        self.with(|inside| inside.maps.memory.state.clone())
    }

    /// Every frontend and how many backends it leads to.
    fn served(&self) -> Vec<(String, usize)> {
        let size =
            |it: &crate::plan::testing::FrontendContents| it.internal.as_ref().map_or(0, |it| it.len());
        contents(&self.state())
            .frontends
            .iter()
            .map(|(key, it)| (key.to_string(), size(it)))
            .collect()
    }

    fn take_writes(&self) -> Vec<&'static str> {
        self.with(|inside| std::mem::take(&mut inside.writes))
    }
}

impl Maps for SharedMaps {
    fn capacity(&self) -> Capacity {
        self.with(|inside| inside.maps.capacity())
    }

    fn load(&self) -> Result<KernelState, MapsError> {
        self.with(|inside| {
            inside.loads += 1;
            if inside.unreadable {
                return Err(Bound {
                    map: "services",
                    flag: "--none",
                    highest_id: 0,
                }
                .into());
            }
            inside.maps.load()
        })
    }

    fn apply(&mut self, op: &Op) -> Result<(), MapsError> {
        self.with(|inside| {
            inside.writes.push(op.kind());
            if (inside.broken)(op) {
                return Err(Bound {
                    map: "frontends4",
                    flag: "--max-frontends",
                    highest_id: 1,
                }
                .into());
            }
            inside.maps.apply(op)
        })
    }
}

/// An agent at work.
struct Bench {
    events: Sender,
    maps: SharedMaps,
    registry: Registry,
    ready: Ready,
    status: value::Receiver<Status>,
    health: Health,
    checks: value::Receiver<Checks>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<SharedMaps>,
}

impl Bench {
    fn start(maps: SharedMaps) -> Self {
        let (events, receiver) = channel();
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let (stop, stopped) = oneshot::channel();
        let reports = Reports::new(metrics, EventSender::default());
        let (ready, status) = (reports.ready.clone(), reports.status.subscribe());
        let (health, checks) = (reports.health.clone(), reports.checks.subscribe());
        let shutdown = async { drop(stopped.await) };
        let task = tokio::spawn(run(
            receiver,
            maps.clone(),
            Settings::default(),
            reports,
            shutdown,
        ));
        Self {
            events,
            maps,
            registry,
            ready,
            status,
            health,
            checks,
            stop,
            task,
        }
    }

    fn metric(&self, name: &str) -> f64 {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .parse()
            .unwrap()
    }

    async fn send(&self, events: Vec<Event>) {
        self.events.send(Batch::now(events)).await.unwrap();
    }

    /// Sends and waits until the agent has nothing more to do at once.
    async fn settle(&self, events: Vec<Event>) {
        self.send(events).await;
        sleep(PATIENCE).await;
    }

    async fn stop(self) -> SharedMaps {
        self.stop.send(()).unwrap();
        self.task.await.unwrap()
    }
}

fn web() -> Vec<Event> {
    listed(&[
        service("web", "10.96.0.1"),
        slice("web-1", "web", &["10.0.0.1", "10.0.0.2"]),
    ])
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_every_first_list_is_complete() {
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    for event in web() {
        assert_eq!(bench.maps.take_writes(), [""; 0]);
        assert_eq!(
            bench.ready.pending(),
            ["first lists of all kinds", "kernel in step"]
        );
        bench.settle(vec![event]).await;
    }
    assert_eq!(bench.maps.served(), [("10.96.0.1:80/TCP".into(), 2)]);
    assert_eq!(bench.ready.pending(), [""; 0]);
    assert!(bench.status.borrow().in_step);
}

#[tokio::test(start_paused = true)]
async fn status_says_which_lists_are_awaited() {
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    bench.settle(vec![Event::NodeAddresses([].into())]).await;
    let expected = Source::AWAITED[..3].iter().map(|source| source.as_str());
    assert!(
        bench.status.borrow().awaited.iter().eq(expected),
        "{:?}",
        bench.status.borrow()
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_with_nothing_changed_writes_nothing() {
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    bench.settle(web()).await;
    let maps = bench.stop().await;
    let before = maps.state();
    maps.take_writes();
    let restarted = Bench::start(maps.clone());
    restarted.settle(web()).await;
    assert_eq!(restarted.ready.pending(), [""; 0]);
    assert_eq!((maps.take_writes(), maps.state()), (vec![], before));
}

#[tokio::test(start_paused = true)]
async fn what_went_away_while_the_agent_was_stopped_is_removed_after_the_lists() {
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    bench.settle(web()).await;
    let maps = bench.stop().await;
    let restarted = Bench::start(maps.clone());
    let mut lists = listed(&[service("other", "10.96.0.2")]);
    let last = lists.pop().unwrap();
    restarted.settle(lists).await;
    assert_eq!(maps.served(), [("10.96.0.1:80/TCP".into(), 2)]);
    restarted.settle(vec![last]).await;
    assert_eq!(maps.served(), [("10.96.0.2:80/TCP".into(), 0)]);
    assert_eq!(maps.state().backends.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_slice_costs_one_compile_and_its_own_ops() {
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    let mut objects = Vec::new();
    for index in 0..200 {
        let name = format!("svc-{index}");
        objects.push(service(
            &name,
            &format!("10.96.{}.{}", index / 200, 1 + index % 200),
        ));
        objects.push(slice(
            &name,
            &name,
            &[&format!("10.0.{}.{}", index / 200, 1 + index % 200)],
        ));
    }
    bench.settle(listed(&objects)).await;
    assert_eq!(bench.metric("shunt_compiles_total"), 200.0);
    bench.maps.take_writes();
    bench
        .settle(vec![applied(&slice("svc-7", "svc-7", &["10.1.0.1"]))])
        .await;
    assert_eq!(bench.metric("shunt_compiles_total"), 201.0);
    assert_eq!(
        bench.maps.take_writes(),
        [
            "put_backend",
            "put_set",
            "put_frontend",
            "delete_set",
            "delete_backend"
        ]
    );
    assert_eq!(
        bench.metric("shunt_network_programming_duration_seconds_count"),
        1.0,
        "the first lists are not measured"
    );
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_one_pass() {
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    bench.settle(web()).await;
    bench.maps.take_writes();
    for last in 3..9 {
        bench
            .send(vec![applied(&slice(
                "web-1",
                "web",
                &[&format!("10.0.0.{last}")],
            ))])
            .await;
        sleep(QUIET / 2).await;
    }
    sleep(PATIENCE).await;
    assert_eq!(
        bench
            .maps
            .take_writes()
            .iter()
            .filter(|op| **op == "put_frontend")
            .count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn events_without_a_pause_wait_no_longer_than_patience() {
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    bench.settle(web()).await;
    bench.maps.take_writes();
    let start = Instant::now();
    while bench.maps.take_writes().is_empty() {
        let last = 3 + start.elapsed().as_millis() % 200;
        bench
            .send(vec![applied(&slice(
                "web-1",
                "web",
                &[&format!("10.0.0.{last}")],
            ))])
            .await;
        sleep(QUIET / 2).await;
    }
    assert!(start.elapsed() <= PATIENCE + QUIET, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_full_map_is_reported_and_leaves_other_services_alone() {
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    bench.settle(web()).await;
    let second_vip =
        |op: &Op| matches!(op, Op::PutFrontend { key, .. } if key.addr == IpAddr::from([10, 96, 0, 2]));
    bench.maps.with(|inside| inside.broken = second_vip);
    let other = service("other", "10.96.0.2");
    bench
        .settle(vec![
            applied(&other),
            applied(&slice("o-1", "other", &["10.0.0.9"])),
        ])
        .await;
    assert_eq!(bench.ready.pending(), ["kernel in step"]);
    let failures = bench.status.borrow().failures.clone();
    assert!(
        failures[0].contains("frontends4") && failures[0].contains("--max-frontends"),
        "{failures:?}"
    );
    bench
        .settle(vec![applied(&slice("web-1", "web", &["10.0.0.1"]))])
        .await;
    assert_eq!(
        bench.maps.served(),
        [("10.96.0.1:80/TCP".into(), 1)],
        "an endpoint change gets through"
    );
    bench.maps.with(|inside| inside.broken = |_| false);
    sleep(Duration::from_secs(31)).await;
    assert_eq!(
        bench.maps.served(),
        [("10.96.0.1:80/TCP".into(), 1), ("10.96.0.2:80/TCP".into(), 1)]
    );
    assert_eq!(bench.ready.pending(), [""; 0]);
    assert_eq!(bench.status.borrow().failures, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_event_by_event_does_not_put_the_retry_off() {
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    bench.settle(web()).await;
    bench
        .maps
        .with(|inside| inside.broken = |op| matches!(op, Op::PutSet { .. }));
    let loads = bench.maps.with(|inside| inside.loads);
    for round in 0..600_u32 {
        let address = format!("10.0.1.{}", 1 + round % 200);
        bench
            .settle(vec![applied(&slice("web-1", "web", &[&address]))])
            .await;
    }
    let retries = bench.maps.with(|inside| inside.loads) - loads;
    assert!((7..=9).contains(&retries), "{retries} in 30 s");
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_cannot_be_read_is_asked_again_and_again_with_pauses() {
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    bench.maps.with(|inside| inside.unreadable = true);
    bench.settle(web()).await;
    sleep(Duration::from_secs(60)).await;
    let loads = bench.maps.with(|inside| inside.loads);
    assert!((9..=11).contains(&loads), "{loads}");
    assert_eq!(bench.maps.take_writes(), [""; 0]);
    bench.maps.with(|inside| inside.unreadable = false);
    sleep(Duration::from_secs(31)).await;
    assert_eq!(bench.maps.served(), [("10.96.0.1:80/TCP".into(), 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_fails_now_and_then_ends_in_step() {
    let bench = Bench::start(SharedMaps::failing_every(MemoryMaps::default(), 3));
    bench.settle(web()).await;
    for last in 3..20 {
        bench
            .settle(vec![applied(&slice(
                "web-1",
                "web",
                &[&format!("10.0.0.{last}")],
            ))])
            .await;
    }
    bench.settle(vec![applied(&service("web", "10.96.0.7"))]).await;
    sleep(Duration::from_secs(300)).await;
    assert_eq!(bench.maps.served(), [("10.96.0.7:80/TCP".into(), 1)]);
    let state = bench.maps.state();
    assert_eq!(
        (state.sets.len(), state.backends.len(), state.services.len()),
        (1, 1, 1),
        "nothing is left over"
    );
    assert_eq!(bench.ready.pending(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_restricted_frontend_never_loses_its_last_range() {
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    let mut object = service("web", "10.96.0.1");
    object["spec"]["type"] = "LoadBalancer".into();
    object["spec"]["loadBalancerSourceRanges"] = json!(["192.0.2.0/24", "198.51.100.0/24"]);
    object["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.9" }] } });
    bench
        .settle(listed(&[object.clone(), slice("web-1", "web", &["10.244.0.1"])]))
        .await;
    let restricted = |state: &KernelState| state.frontends.values().filter(|it| it.is_restricted).count();
    assert_eq!(restricted(&bench.maps.state()), 1);

    bench
        .maps
        .with(|inside| inside.broken = |op| matches!(op, Op::PutFrontend { .. }));
    object["spec"]["loadBalancerSourceRanges"] = json!([]);
    bench.settle(vec![applied(&object)]).await;
    let state = bench.maps.state();
    assert_eq!(restricted(&state), 1, "the kernel does not know yet");
    assert_eq!(state.ranges.values().map(BTreeSet::len).sum::<usize>(), 1);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_in_status_and_metrics_until_they_are_withdrawn() {
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    bench.settle(web()).await;
    let rival = service("young", "10.96.0.1");
    bench.settle(vec![applied(&rival)]).await;
    assert_eq!(bench.metric("shunt_refusals"), 1.0);
    let refused = bench.status.borrow().refusals.clone();
    assert_eq!(refused[0].name, "young");
    assert!(refused[0].reason.contains("default/web:http/TCP"), "{refused:?}");
    bench.settle(vec![deleted(&rival)]).await;
    assert_eq!(bench.metric("shunt_refusals"), 0.0);
    assert_eq!(bench.status.borrow().refusals, []);
}

#[tokio::test(start_paused = true)]
async fn node_addresses_reach_the_kernel() {
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    bench.settle(web()).await;
    let vip_on_the_node = "10.96.0.1".parse().unwrap();
    bench
        .settle(vec![Event::NodeAddresses(
            [(vip_on_the_node, NodeAddress::default())].into(),
        )])
        .await;
    let addresses = bench.maps.state().addresses;
    let printed: Vec<_> = addresses
        .iter()
        .map(|(addr, flags)| format!("{addr} {flags}"))
        .collect();
    assert_eq!(printed, ["10.96.0.1 cluster IP and node"]);
}

#[tokio::test(start_paused = true)]
async fn the_agent_beats_while_it_idles() {
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    bench.settle(vec![]).await;
    advance(Heartbeat::DEAD_AFTER * 2).await;
    sleep(Heartbeat::EVERY * 2).await;
    assert!(!bench.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn stopping_leaves_the_kernel_as_it_is() {
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    bench.settle(web()).await;
    let before = bench.maps.state();
    assert_eq!(bench.stop().await.state(), before);
}

#[tokio::test(start_paused = true)]
async fn load_balancers_see_local_ready_endpoints_and_a_node_that_leaves() {
    let mut lb = service("lb", "10.96.0.9");
    lb["spec"]["type"] = "LoadBalancer".into();
    lb["spec"]["externalTrafficPolicy"] = "Local".into();
    lb["spec"]["healthCheckNodePort"] = 32_000.into();
    let mut endpoints = slice(
        "lb-1",
        "lb",
        &["10.244.0.1", "10.244.0.2", "10.244.1.1", "10.244.0.1"],
    );
    for here in [0, 1, 3] {
        endpoints["endpoints"][here]["nodeName"] = NODE.into();
    }
    endpoints["endpoints"][1]["conditions"] = json!({ "ready": false, "serving": true, "terminating": true });
    let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
    bench
        .settle(listed(&[lb.clone(), endpoints, node(NODE, "")]))
        .await;
    let told = || {
        bench
            .checks
            .borrow()
            .services
            .values()
            .copied()
            .collect::<Vec<_>>()
    };
    let check = |port, local_endpoints| HealthCheck {
        port,
        local_endpoints,
    };
    assert_eq!(
        told(),
        [check(32_000, 1)],
        "by address, and without those that terminate"
    );
    lb["spec"]["healthCheckNodePort"] = 32_001.into();
    bench.settle(vec![applied(&lb)]).await;
    assert_eq!(told(), [check(32_001, 1)]);
    bench.settle(vec![deleted(&lb)]).await;
    assert_eq!(told(), []);

    assert!(bench.health.is_node_eligible());
    let mut leaving = node(NODE, "");
    leaving["spec"]["taints"] = json!([{ "key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule" }]);
    bench.settle(vec![applied(&leaving)]).await;
    assert!(!bench.health.is_node_eligible());
    bench.settle(vec![applied(&node(NODE, ""))]).await;
    assert!(bench.health.is_node_eligible());
    bench.settle(vec![deleted(&node(NODE, ""))]).await;
    assert!(!bench.health.is_node_eligible());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_cannot_write_is_not_healthy_for_long() {
    let maps = SharedMaps::new(MemoryMaps::default());
    let bench = Bench::start(maps.clone());
    bench.settle(web()).await;
    maps.with(|inside| inside.broken = |_| true);
    bench.settle(vec![applied(&service("other", "10.96.0.2"))]).await;
    assert!(bench.health.is_healthy(), "it may be mended in time");
    advance(Health::PATIENCE).await;
    assert!(!bench.health.is_healthy());
    maps.with(|inside| inside.broken = |_| false);
    sleep(Health::PATIENCE).await;
    assert!(bench.health.is_healthy());
}
