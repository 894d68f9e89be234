// SPDX-License-Identifier: MIT OR Apache-2.0
//! `shunt-apiserver`: the API server fixture for a person with kubectl, or for an agent outside a test.
#![forbid(unsafe_code)]

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use apiserver::bulk::Bulk;
use apiserver::{Access, Fixture, Settings, User, admin};
use clap::Parser;

/// A Kubernetes API server for tests. Runs until it is interrupted.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to serve the API; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to write the kubeconfig of an administrator
    #[arg(long, value_name = "FILE")]
    kubeconfig_out: PathBuf,
    /// Where to write the kubeconfig of the agent, by bearer token
    #[arg(long, value_name = "FILE")]
    agent_kubeconfig_out: Option<PathBuf>,
    /// Log in with client certificates instead of tokens
    #[arg(long)]
    certificates: bool,
    /// Let the agent do only what the ClusterRole system:node-proxier grants
    #[arg(long)]
    node_proxier: bool,
    /// Load the .yaml, .yml and .json files of a folder
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// Make up this many Services
    #[arg(long, value_name = "N", default_value_t = 0)]
    bulk_services: u32,
    /// ... with this many endpoints each
    #[arg(long, value_name = "N", default_value_t = 10)]
    bulk_endpoints: u32,
    /// Refuse streaming lists, as Kubernetes 1.33 does
    #[arg(long)]
    no_streaming_lists: bool,
    /// Seconds between bookmarks
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    bookmark_every: u64,
    /// Where to serve failures on demand, as plain HTTP (see the crate's `admin` module)
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match serve(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("shunt-apiserver: {why}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let fixture = Arc::new(start(arguments)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(arguments, fixture))
}

fn start(arguments: &Arguments) -> anyhow::Result<Fixture> {
    let settings = Settings {
        streaming_lists: !arguments.no_streaming_lists,
        bookmark_every: Duration::from_secs(arguments.bookmark_every.max(1)),
        ..Settings::default()
    };
    let fixture = Fixture::start_on(arguments.listen, settings)?;
    fixture.create_namespaces()?;
    if let Some(folder) = &arguments.manifests {
        let count = fixture.load_manifests(folder)?;
        eprintln!("{count} objects from {}", folder.display());
    }
    if arguments.bulk_services > 0 {
        fixture.seed(Bulk {
            services: arguments.bulk_services,
            endpoints: arguments.bulk_endpoints,
            nodes: 2,
        })?;
    }
    if arguments.node_proxier {
        fixture.grant(Access::node_proxier());
    }
    if let Some(path) = &arguments.agent_kubeconfig_out {
        write_kubeconfig(&fixture, User::Agent, arguments.certificates, path)?;
    }
    write_kubeconfig(
        &fixture,
        User::Admin,
        arguments.certificates,
        &arguments.kubeconfig_out,
    )?;
    Ok(fixture)
}

/// The file appears whole: whoever waits for it may read it at once.
fn write_kubeconfig(fixture: &Fixture, user: User, certificates: bool, path: &Path) -> anyhow::Result<()> {
    let made = if certificates {
        fixture.certificate_kubeconfig(user)?
    } else {
        fixture.token_kubeconfig(user)?
    };
    let unfinished = path.with_extension("unfinished");
    std::fs::copy(&made, &unfinished)
        .and_then(|_| std::fs::rename(&unfinished, path))
        .map_err(|why| {
            anyhow!(
                "kubeconfig {} not written: {why}: choose another path",
                path.display()
            )
        })
}

async fn run(arguments: &Arguments, fixture: Arc<Fixture>) -> anyhow::Result<()> {
    eprintln!("serving https://{}", fixture.address());
    eprintln!(
        "try: kubectl --kubeconfig {} get svc -A",
        arguments.kubeconfig_out.display()
    );
    if let Some(address) = arguments.admin {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|why| anyhow!("admin endpoint cannot listen on {address}: {why}"))?;
        eprintln!("failures on demand at http://{}", listener.local_addr()?);
        let routes = admin::router(fixture.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
    }
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
