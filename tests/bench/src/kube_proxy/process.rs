// SPDX-License-Identifier: MIT OR Apache-2.0
//! kube-proxy itself, in a node's namespace, asked by its own metrics how far it is: rules have no entry that could
//! be read for one Service.
//!
//! Its shortest pause between two syncs is left at the second that it is by default: that is what a cluster has.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lab::process::Process;
use lab::{Lab, Node, http, wait};

use super::{Mode, POD_NETWORK};

const METRICS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 10249);
const PATIENCE: Duration = Duration::from_secs(300);
const LAST_SYNC: &str = "kubeproxy_sync_proxy_rules_last_timestamp_seconds";

/// A running kube-proxy.
pub struct KubeProxy {
    node: Node,
    process: Process,
}

impl KubeProxy {
    /// Starts it on a node of the lab, and waits until its first sync is done.
    pub fn start(
        program: &Path,
        lab: &Lab,
        node: &Node,
        mode: Mode,
        kubeconfig: &Path,
    ) -> anyhow::Result<Self> {
        let config = lab
            .folder()
            .root()
            .join(format!("kube-proxy-{}.yaml", node.name()));
        fs::write(&config, configuration(node, mode, kubeconfig))?;
        let since = SystemTime::now();
        let arguments = ["--config".to_owned(), config.display().to_string()];
        let log = lab
            .folder()
            .logs()
            .join(format!("kube-proxy-{}.log", node.name()));
        let process = node.start("kube-proxy", &log, program, &arguments)?;
        let started = Self {
            node: node.clone(),
            process,
        };
        started.wait_for_sync(since)?;
        Ok(started)
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits for a sync that ended after this time.
    pub fn wait_for_sync(&self, since: SystemTime) -> anyhow::Result<()> {
        let since = since.duration_since(UNIX_EPOCH)?.as_secs_f64();
        wait::until_within(PATIENCE, "kube-proxy to sync", || {
            let answer = self.node.netns().run(|| http::get(METRICS, "/metrics"));
            let answer = answer
                .and_then(|answer| answer)
                .map_err(|error| error.to_string())?;
            let samples = answer.body.lines().filter(|line| line.starts_with(LAST_SYNC));
            let values = samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            match values.fold(0.0, f64::max) {
                last if last > since => Ok(()),
                last => Err(format!("the last sync was at {last}")),
            }
        })?;
        Ok(())
    }

    /// Ends it; its rules stay.
    pub fn stop(mut self) -> anyhow::Result<()> {
        Ok(self.process.terminate()?)
    }
}

fn configuration(node: &Node, mode: Mode, kubeconfig: &Path) -> String {
    format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: {mode}\n\
         hostnameOverride: {}\nclusterCIDR: {POD_NETWORK}\nmetricsBindAddress: {METRICS}\n\
         clientConnection:\n  kubeconfig: {}\nconntrack:\n  maxPerCore: 0\n",
        node.name(),
        kubeconfig.display(),
    )
}
