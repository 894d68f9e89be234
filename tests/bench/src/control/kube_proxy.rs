// SPDX-License-Identifier: MIT OR Apache-2.0
//! A real kube-proxy in the agent's place, measured by what it tells of itself.
//!
//! It is asked by its own metrics: rules have no map that could be read for one Service. Its shortest pause between
//! two syncs is left at the second that it has by default: that is what a cluster has.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lab::{Lab, Node, http, wait};

use super::Found;
use super::agent::{cpu, resident};
use super::cluster::Cluster;
use crate::plan::{Plan, tell};

const METRICS: &str = "127.0.0.1:10249";
const PATIENCE: Duration = Duration::from_secs(300);
const LAST_SYNC: &str = "kubeproxy_sync_proxy_rules_last_timestamp_seconds";

pub(super) fn measure(
    plan: &Plan,
    program: &Path,
    lab: &Lab,
    cluster: &Cluster,
    found: &mut Found,
) -> anyhow::Result<()> {
    let node = lab.node(1);
    let config = lab.folder().root().join("kube-proxy.yaml");
    fs::write(&config, configuration(node, &cluster.kubeconfig()?))?;
    tell(format_args!("control: kube-proxy"));
    let arguments = ["--config", &config.display().to_string()].map(str::to_owned);
    let mut process = node.start(
        "kube-proxy",
        &lab.folder().logs().join("kube-proxy.log"),
        program,
        &arguments,
    )?;
    let start = SystemTime::now();
    wait_for_sync(node, start)?;
    found.add(
        "cold start: process start to ready",
        "s",
        vec![start.elapsed()?.as_secs_f64()],
    );
    found.add("cold start: CPU time", "s", vec![cpu(process.pid())?]);
    let (now, peak) = resident(process.pid())?;
    found.add("memory after it (RSS)", "MB", vec![now]);
    found.add("most memory during it (RSS)", "MB", vec![peak]);
    let mut times = Vec::new();
    for change in 0..if plan.quick { 5 } else { 50 } {
        let index = change * 7_919 % cluster.shape.services();
        let start = SystemTime::now();
        cluster
            .fixture
            .put(cluster.shape.changed_slice(index, 0x8000 + change))?;
        wait_for_sync(node, start)?;
        times.push(start.elapsed()?.as_secs_f64() * 1e3);
        thread::sleep(Duration::from_millis(12));
    }
    found.add_latencies("one change, API write to kernel", "ms", times);
    process.terminate()?;
    Ok(())
}

/// Waits for a sync that ended after this time.
fn wait_for_sync(node: &Node, since: SystemTime) -> anyhow::Result<()> {
    let since = since.duration_since(UNIX_EPOCH)?.as_secs_f64();
    wait::until_within(PATIENCE, "kube-proxy to sync", || {
        let answer = node
            .netns()
            .run(|| http::get(METRICS.parse().map_err(lab_error)?, "/metrics"))
            .and_then(|answer| answer)
            .map_err(|error| error.to_string())?;
        let last = answer
            .body
            .lines()
            .filter(|line| line.starts_with(LAST_SYNC))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .fold(0.0, f64::max);
        if last > since {
            Ok(())
        } else {
            Err(format!("the last sync was at {last}"))
        }
    })?;
    Ok(())
}

fn lab_error(error: std::net::AddrParseError) -> lab::Error {
    lab::Error::Failed(error.to_string())
}

fn configuration(node: &Node, kubeconfig: &Path) -> String {
    format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\n\
         hostnameOverride: {}\nclusterCIDR: 10.244.0.0/16\nmetricsBindAddress: {METRICS}\n\
         clientConnection:\n  kubeconfig: {}\nconntrack:\n  maxPerCore: 0\n",
        node.name(),
        kubeconfig.display(),
    )
}
