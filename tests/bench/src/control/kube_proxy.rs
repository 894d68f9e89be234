// SPDX-License-Identifier: MIT OR Apache-2.0
//! A real kube-proxy in the agent's place.

use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use lab::Lab;

use super::Found;
use super::agent::{cpu, resident};
use super::cluster::Cluster;
use crate::kube_proxy::{KubeProxy, Mode};
use crate::plan::{Plan, tell};

pub(super) fn measure(
    plan: &Plan,
    program: &Path,
    lab: &Lab,
    cluster: &Cluster,
    found: &mut Found,
) -> anyhow::Result<()> {
    tell(format_args!("control: kube-proxy"));
    let start = SystemTime::now();
    let proxy = KubeProxy::start(program, lab, lab.node(1), Mode::Nftables, &cluster.kubeconfig()?)?;
    let took = start.elapsed()?.as_secs_f64();
    found.add("cold start: process start to ready", "s", vec![took]);
    found.add("cold start: CPU time", "s", vec![cpu(proxy.pid())?]);
    let (now, peak) = resident(proxy.pid())?;
    found.add("memory after it (RSS)", "MB", vec![now]);
    found.add("most memory during it (RSS)", "MB", vec![peak]);
    let mut times = Vec::new();
    for change in 0..if plan.quick { 5 } else { 50 } {
        let index = change * 7_919 % cluster.shape.services();
        let start = SystemTime::now();
        cluster
            .fixture
            .put(cluster.shape.changed_slice(index, 0x8000 + change))?;
        proxy.wait_for_sync(start)?;
        times.push(start.elapsed()?.as_secs_f64() * 1e3);
        thread::sleep(Duration::from_millis(12));
    }
    found.add_latencies("one change, API write to kernel", "ms", times);
    proxy.stop()
}
