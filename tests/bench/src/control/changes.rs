// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes of endpoints, from the write at the API server until the kernel's map shows them.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use apiserver::bulk::Bulk;
use dataplane::kernel::{PinnedMaps, Pins};
use dataplane_common::{FrontendKey, Port, Protocol, SetId, V4};
use lab::Lab;
use serde_json::{Value, json};

use super::Found;
use super::agent::{Running, cpu};
use super::cluster::Cluster;
use crate::plan::{Plan, tell};

/// Between two looks at the map.
const PAUSE: Duration = Duration::from_micros(100);
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two single changes: they are to be single ones.
const APART: Duration = Duration::from_millis(12);
/// Slices of the large Service, as its controller cuts them, and endpoints in each.
const SLICES: u32 = 50;
const IN_SLICE: u32 = 100;
/// Its number among the Services: beyond all others.
const LARGE: u32 = 60_000;

pub(super) fn measure(
    plan: &Plan,
    lab: &Lab,
    cluster: &Cluster,
    agent: &Running,
    found: &mut Found,
) -> anyhow::Result<()> {
    let kernel = Kernel(PinnedMaps::open(&Pins::new(lab.node(1).bpf_root()))?);
    single(plan, cluster, &kernel, agent, found)?;
    burst(plan, cluster, &kernel, found)?;
    rollout(cluster, &kernel, agent, found)
}

fn single(
    plan: &Plan,
    cluster: &Cluster,
    kernel: &Kernel,
    agent: &Running,
    found: &mut Found,
) -> anyhow::Result<()> {
    let count = if plan.quick { 100 } else { 500 };
    tell(format_args!("control: {count} single changes"));
    let (mut times, written, used) = (Vec::new(), agent.writes()?, cpu(agent.pid())?);
    for change in 0..count {
        // All over the cluster, and each Service's only once.
        let index = change * 7_919 % cluster.shape.services();
        let slice = cluster.shape.changed_slice(index, change + 1);
        let before = kernel.set_of(index)?;
        let start = Instant::now();
        cluster.fixture.put(slice)?;
        kernel.wait_for_another(index, before)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        thread::sleep(APART);
    }
    let each = |total: f64| vec![total / f64::from(count)];
    found.add_latencies("one change, API write to kernel", "ms", times);
    found.add(
        "one change: CPU time",
        "ms",
        each((cpu(agent.pid())? - used) * 1e3),
    );
    found.add("one change: map writes", "", each(agent.writes()? - written));
    Ok(())
}

fn burst(plan: &Plan, cluster: &Cluster, kernel: &Kernel, found: &mut Found) -> anyhow::Result<()> {
    let count = cluster.shape.services().min(1_000);
    let mut times = Vec::new();
    for turn in 1..=if plan.quick { 2 } else { 5 } {
        let before: Vec<_> = (0..count)
            .map(|index| kernel.set_of(index))
            .collect::<Result<_, _>>()?;
        let slices: Vec<_> = (0..count)
            .map(|index| cluster.shape.changed_slice(index, turn << 12 | index))
            .collect();
        let start = Instant::now();
        cluster.fixture.put_all(slices)?;
        for (index, before) in before.into_iter().enumerate() {
            kernel.wait_for_another(index as u32, before)?;
        }
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    found.add(
        "1,000 Services changed at once (all, if there are fewer)",
        "ms",
        times,
    );
    Ok(())
}

/// Every endpoint of a large Service is replaced, slice by slice.
fn rollout(cluster: &Cluster, kernel: &Kernel, agent: &Running, found: &mut Found) -> anyhow::Result<()> {
    let fixture = &cluster.fixture;
    fixture.put(large_service())?;
    fixture.put_all((0..SLICES).map(|slice| large_slice(slice, 0)))?;
    kernel.wait_for_size(LARGE, SLICES * IN_SLICE)?;
    let (mut times, written, used) = (Vec::new(), agent.writes()?, cpu(agent.pid())?);
    for slice in 0..SLICES {
        let before = kernel.set_of(LARGE)?;
        let start = Instant::now();
        fixture.put(large_slice(slice, 1))?;
        kernel.wait_for_another(LARGE, before)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        thread::sleep(APART);
    }
    let each = |total: f64| vec![total / f64::from(SLICES)];
    found.add_latencies("rollout of 5,000 endpoints, each step of 100", "ms", times);
    found.add(
        "rollout: CPU time of a step",
        "ms",
        each((cpu(agent.pid())? - used) * 1e3),
    );
    found.add(
        "rollout: map writes of a step",
        "",
        each(agent.writes()? - written),
    );
    Ok(())
}

fn large_service() -> Value {
    let ip = Bulk::cluster_ip(LARGE).to_string();
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "large", "namespace": "bulk"},
        "spec": {
            "type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "ipFamilies": ["IPv4"],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        },
    })
}

fn large_slice(number: u32, generation: u32) -> Value {
    let endpoints: Vec<_> = (0..IN_SLICE)
        .map(|endpoint| {
            let host = number * IN_SLICE + endpoint;
            let address = format!("10.{}.{}.{}", 100 + generation, host >> 8, host & 0xff);
            json!({"addresses": [address], "conditions": {"ready": true}, "nodeName": format!("node-{endpoint}")})
        })
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("large-{number}"), "namespace": "bulk",
            "labels": {"kubernetes.io/service-name": "large"},
        },
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
}

/// The node's maps, read only.
struct Kernel(PinnedMaps);

impl Kernel {
    /// The set that a Service's frontend leads to: another one after each change of endpoints.
    fn set_of(&self, index: u32) -> anyhow::Result<SetId> {
        Ok(self.frontend(index).context("a Service is missing")?.0)
    }

    fn wait_for_another(&self, index: u32, before: SetId) -> anyhow::Result<()> {
        self.wait(index, |(set, _)| set != before)
    }

    fn wait_for_size(&self, index: u32, size: u32) -> anyhow::Result<()> {
        self.wait(index, |(_, found)| found == size)
    }

    fn wait(&self, index: u32, wanted: impl Fn((SetId, u32)) -> bool) -> anyhow::Result<()> {
        let start = Instant::now();
        while !self.frontend(index).is_some_and(&wanted) {
            if start.elapsed() > PATIENCE {
                bail!("the kernel never saw a change of Service {index}");
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn frontend(&self, index: u32) -> Option<(SetId, u32)> {
        let key = FrontendKey::<V4>::new(Bulk::cluster_ip(index).into(), Port::new(80), Protocol::TCP.0);
        let value = self.0.v4.frontends.get(&key, 0).ok()?;
        Some((value.internal.id, value.internal.size))
    }
}
