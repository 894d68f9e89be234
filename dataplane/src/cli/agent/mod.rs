// SPDX-License-Identifier: MIT OR Apache-2.0
//! `shunt agent`: starts all parts of the agent.

mod conntrack;
mod policy;
mod sockets;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use dataplane_common::Config;
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use self::conntrack::ConntrackArgs;
use self::policy::PolicyArgs;
use self::sockets::SocketArgs;
use super::args::RootArgs;
use crate::admin::{Admin, serve};
use crate::agent::{self, Reports};
use crate::devices::{Attacher, DeviceMetrics, Rule, Rules, SendRedirects};
use crate::events::{self, EventSender};
use crate::health;
use crate::index::Settings;
use crate::index::parse::Parser;
use crate::kernel::{
    End, KernelCollector, KernelMaps, PinnedMaps, Pins, Programs, Sizes, Sweeper, packets_may_preempt,
};
use crate::metrics::Metrics;
use crate::sockets::{OrphanMetrics, Orphans};
use crate::watch::kube::{Pace, connect};
use crate::watch::{self, Receiver, Sender, manifests};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Read Services, EndpointSlices and Nodes from a directory, which is watched, and not from an API server
    #[arg(long, value_name = "DIR", conflicts_with = "kubeconfig")]
    manifests: Option<PathBuf>,
    /// Reach the API server by this file; without it, and without --manifests, by the pod's own account
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// This node's name in the cluster [default: the host's name]
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node_name: Option<String>,
    #[command(flatten)]
    root: RootArgs,
    /// Address that serves /livez, /readyz, /metrics and /status
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:10249")]
    admin: SocketAddr,
    /// Address that serves kube-proxy's /healthz and /livez to load balancers
    #[arg(long, value_name = "ADDR:PORT", default_value = "[::]:10256")]
    healthz: SocketAddr,
    /// Override how a device is classified: NAME=pod|uplink|none, NAME may end in `*`; the first match counts
    #[arg(long = "device", value_name = "RULE")]
    devices: Vec<Rule>,
    /// Run on a PREEMPT_RT kernel from 6.18 on, which may mix packets up, because it was built with
    /// CONFIG_PREEMPT_RT_NEEDS_BH_LOCK=y
    #[arg(long)]
    trust_rt_kernel: bool,
    #[command(flatten)]
    conntrack: ConntrackArgs,
    /// Where Shunt's program runs among other TC programs at a device's egress
    #[arg(long, value_name = "WHERE", value_enum, default_value_t)]
    tc_egress: End,
    /// Leave TCP connections that are older than Shunt to kube-proxy's conntrack entries
    #[arg(long)]
    take_over: bool,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    sockets: SocketArgs,
    /// Format of log lines
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
    #[command(flatten)]
    sizes: Sizes,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum LogFormat {
    #[default]
    Text,
    Json,
}

pub(super) fn run(args: Args) -> anyhow::Result<()> {
    start_log(args.log_format);
    // One thread: there is one owner of all state, and a node has better use for its CPUs.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve_node(args))
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
}

async fn serve_node(args: Args) -> anyhow::Result<()> {
    let node_name = node_name(args.node_name.clone())?;
    let parser = args.policy.parser(node_name.to_lowercase());
    let pins = Pins::new(&args.root.bpf_root);
    tracing::info!(node = parser.node_name(), root = %pins.root().display(), "agent starts");

    anyhow::ensure!(
        args.trust_rt_kernel || !packets_may_preempt(),
        "this PREEMPT_RT kernel may let packets of one CPU preempt each other, so that one pod gets another's: use a \
         kernel built with CONFIG_PREEMPT_RT_NEEDS_BH_LOCK=y, and confirm it with --trust-rt-kernel"
    );

    // Arguments are checked before anything is changed.
    let settings = args.policy.settings()?;
    let source = Source::new(&args).await?;
    let mut programs = Programs::load(&pins, &args.sizes)?.at_egress(args.tc_egress);
    configure(&mut PinnedMaps::open(&pins)?, &args)?;
    args.sockets.serve(&mut programs, &pins)?;
    tokio::spawn(args.conntrack.timeouts().keep());

    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let device_metrics = DeviceMetrics::register(&mut registry);
    let orphan_metrics = OrphanMetrics::register(&mut registry);
    let sweeper = Sweeper::default();
    registry.register_collector(Box::new(KernelCollector::new(
        PinnedMaps::open(&pins)?,
        sweeper.clone(),
    )));

    let (sender, events) = watch::channel();
    let rules = Rules(args.devices.clone());
    let attacher = Attacher::start(
        programs,
        PinnedMaps::open(&pins)?,
        pins.clone(),
        (rules, args.policy.pod_devices()),
        device_metrics,
    )
    .await?;
    let addresses_to = sender.clone();
    let kube_events = source.start(parser, sender, metrics.clone());

    let reports = Reports::new(metrics, kube_events.clone());
    tokio::spawn(attacher.run(addresses_to, reports.node_addresses.subscribe()));
    let (health, checks) = (reports.health.clone(), reports.checks.subscribe());
    tokio::spawn(health::serve_proxy(
        args.healthz,
        health.clone(),
        std::future::pending(),
    ));
    tokio::spawn(health::serve_services(checks, health, kube_events));
    let admin = Admin {
        heartbeat: reports.heartbeat.clone(),
        ready: reports.ready.clone(),
        registry: Arc::new(registry),
        status: reports.status.subscribe(),
    };
    let (backend_gone, orphans) = Orphans::new();
    let maps = KernelMaps::new(PinnedMaps::open(&pins)?, args.sizes).reporting(backend_gone);
    let has_sockets = args.sockets.is_on();
    let pinned = PinnedMaps::open(&pins)?;
    let once_ready = move || {
        // Until now the others have served all packets: Shunt's programs come first, but their maps were empty.
        match pins.remove_others() {
            Ok(others) if others.is_empty() => {}
            Ok(others) => tracing::info!(?others, "replaced an agent with another layout of the maps"),
            Err(error) => tracing::warn!(%error, "programs of another version may still be attached"),
        }
        if has_sockets {
            orphans.start(pinned, orphan_metrics);
        }
        if let Err(error) = sweeper.start(&pins) {
            tracing::warn!(%error, "expired flows are not removed");
        }
    };
    let agent = (events, maps, settings);
    run_agent(agent, reports, args.admin, admin, once_ready).await
}

/// The source of Services and endpoints.
enum Source {
    Folder(PathBuf),
    Cluster(Client),
}

impl Source {
    /// As the arguments say. No request is sent yet.
    async fn new(args: &Args) -> anyhow::Result<Self> {
        Ok(match &args.manifests {
            Some(directory) => Self::Folder(directory.clone()),
            None => Self::Cluster(connect(args.kubeconfig.as_deref()).await?),
        })
    }

    /// Starts the watches. What is returned posts Kubernetes Events to the cluster, if there is one.
    fn start(self, parser: Parser, sender: Sender, metrics: Metrics) -> EventSender {
        match self {
            Self::Folder(directory) => {
                tokio::spawn(manifests::run(directory, parser, sender, metrics));
                EventSender::default()
            }
            Self::Cluster(client) => {
                let node = parser.node_name().to_owned();
                let (kube_events, warnings) = EventSender::channel(&node);
                tokio::spawn(events::post(client.clone(), node, warnings));
                tokio::spawn(watch::kube::run(client, Pace::default(), parser, sender, metrics));
                kube_events
            }
        }
    }
}

async fn run_agent(
    (events, maps, settings): (Receiver, KernelMaps, Settings),
    reports: Reports,
    addr: SocketAddr,
    admin: Admin,
    once_ready: impl FnOnce() + Send + 'static,
) -> anyhow::Result<()> {
    let ready = reports.ready.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let agent = agent::run(events, maps, settings, reports, shutdown);
    tokio::spawn(serve(addr, admin, std::future::pending()));
    tokio::spawn(async move {
        while !ready.pending().is_empty() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        once_ready();
    });
    drop(agent.await);
    Ok(())
}

fn node_name(given: Option<String>) -> anyhow::Result<String> {
    match given {
        Some(name) => Ok(name),
        None => {
            let name = fs::read_to_string("/proc/sys/kernel/hostname")
                .context("cannot read the host name: give --node-name")?;
            Ok(name.trim().to_owned())
        }
    }
}

/// Writes the node's settings; what an earlier agent found and saved stays.
fn configure(pinned: &mut PinnedMaps, args: &Args) -> anyhow::Result<()> {
    let before = pinned.config.get(&0, 0).unwrap_or_default();
    let redirects = SendRedirects::turn_off_for_all(before.send_redirects_all != 0);
    let ephemeral = ephemeral_ports();
    let (ports_first, ports_count) = ports_outside_ephemeral(&ephemeral);
    if (ports_first, ports_count) == SHARED {
        tracing::warn!(
            range = ephemeral.trim(),
            first = ports_first,
            count = ports_count,
            "net.ipv4.ip_local_port_range leaves no ports to masquerade with: they are shared with the node's own; \
             put them in net.ipv4.ip_local_reserved_ports"
        );
    }
    let take_over = if args.take_over { Config::TAKE_OVER } else { 0 };
    let config = Config {
        flags: args.policy.flags() | args.sockets.flags() | take_over,
        ports_first,
        ports_count,
        send_redirects_all: u32::from(redirects),
        reserved: 0,
        netns: args.sockets.netns()?,
    };
    pinned
        .config
        .set(0, config, 0)
        .context("cannot write the map config")?;
    Ok(())
}

/// The range of ports that the node's own sockets are given.
fn ephemeral_ports() -> String {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default()
}

/// All unprivileged ports, where the node's sockets may be given any of them. Netfilter's masquerade takes no others.
const SHARED: (u16, u16) = (1024, u16::MAX - 1023);

/// The unprivileged ports outside that range: first those above it, then on from 1024 (see `Config::port_at`). Ports
/// that are NodePorts, and those of the node's sockets, are never assigned: the kernel programs skip them.
fn ports_outside_ephemeral(range: &str) -> (u16, u16) {
    const FIRST: u16 = Config::FIRST_PORT;
    const ENOUGH: u16 = 4096;
    let mut bounds = range
        .split_whitespace()
        .filter_map(|bound| bound.parse::<u16>().ok());
    let (low, high) = match (bounds.next(), bounds.next()) {
        (Some(low), Some(high)) if low <= high => (low.max(FIRST), high.max(FIRST)),
        // Linux's default.
        _ => (32_768, 60_999),
    };
    let (above, below) = (u16::MAX - high, low - FIRST);
    let first = match above {
        0 => FIRST,
        _ => high + 1,
    };
    match above + below {
        count if count >= ENOUGH => (first, count),
        _ => SHARED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewritten_ports_keep_off_the_nodes_own() {
        assert_eq!(
            ports_outside_ephemeral("32768\t60999\n"),
            (61_000, 4_536 + 31_744)
        );
        assert_eq!(ports_outside_ephemeral(""), (61_000, 36_280));
        assert_eq!(ports_outside_ephemeral("15000 65535"), (1024, 13_976));
        assert_eq!(ports_outside_ephemeral("1 40000"), (40_001, 25_535));
        assert_eq!(ports_outside_ephemeral("1024 65535"), SHARED);
        assert_eq!(ports_outside_ephemeral("2048 65000"), SHARED);
    }
}
