// SPDX-License-Identifier: MIT OR Apache-2.0
//! An HTTP client that asks on and on and counts every request: how many failed and why, and who answered.
//! It resolves the name by the system's resolver, so a pod's `resolv.conf` counts.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::httpd::Page;
use super::{say_ready, sigterm};
use crate::error::Result;

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Name and port of the server; the name is resolved for each new connection.
    #[arg(long)]
    server: String,
    /// Requests per second.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Keeps its connection instead of a new one per request.
    #[arg(long)]
    keep_alive: bool,
    /// Which of the resolved addresses to use.
    #[arg(long, value_enum, default_value_t)]
    family: Wanted,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Wanted {
    #[default]
    Any,
    V4,
    V6,
}

/// What the client has counted since it started; each line that it prints is one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub sent: u64,
    pub failed: u64,
    pub by_pod: BTreeMap<String, u64>,
    pub by_version: BTreeMap<String, u64>,
    /// Why requests failed, with how many.
    pub errors: BTreeMap<String, u64>,
}

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(3);

pub async fn ask_on(options: Options) -> Result<()> {
    let end = sigterm()?;
    tokio::pin!(end);
    let mut ticks = interval(Duration::from_secs(1) / options.rate.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut counts, mut connection) = (Counts::default(), None);
    say_ready();
    loop {
        tokio::select! {
            () = &mut end => break,
            _ = ticks.tick() => {}
        }
        // A request once begun is awaited, so that every one counts.
        let outcome = match timeout(PATIENCE, ask(&options, &mut connection)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        counts.add(outcome);
        if !options.keep_alive {
            connection = None;
        }
        counts.print();
    }
    Ok(())
}

type Connection = SendRequest<Empty<Bytes>>;

async fn ask(options: &Options, connection: &mut Option<Connection>) -> Result<Page, String> {
    let mut sender = match connection.take() {
        Some(open) if !open.is_closed() => open,
        _ => connect(options).await?,
    };
    sender
        .ready()
        .await
        .map_err(|error| format!("waiting to send: {error}"))?;
    let request = Request::get("/")
        .header("Host", &options.server)
        .body(Empty::new());
    let request = request.map_err(|error| format!("making the request: {error}"))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| format!("asking: {error:?}"))?;
    if response.status() != StatusCode::OK {
        return Err(format!("status {}", response.status()));
    }
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| format!("reading: {error:?}"))?;
    *connection = Some(sender);
    serde_json::from_slice(&body.to_bytes()).map_err(|error| format!("understanding the answer: {error}"))
}

async fn connect(options: &Options) -> Result<Connection, String> {
    let address = resolve(options).await?;
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("connecting: {error}"))?;
    let (sender, driver) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("starting HTTP: {error}"))?;
    tokio::spawn(driver);
    Ok(sender)
}

async fn resolve(options: &Options) -> Result<SocketAddr, String> {
    let mut addresses = lookup_host(&options.server)
        .await
        .map_err(|error| format!("resolving: {error}"))?;
    let found = addresses.find(|address| match options.family {
        Wanted::Any => true,
        Wanted::V4 => address.is_ipv4(),
        Wanted::V6 => address.is_ipv6(),
    });
    found.ok_or_else(|| format!("resolving: no address of family {:?}", options.family))
}

impl Counts {
    /// What came on top of an earlier count.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let difference = |now: &BTreeMap<String, u64>, then: &BTreeMap<String, u64>| {
            let change = now
                .iter()
                .map(|(key, count)| (key.clone(), count - then.get(key).unwrap_or(&0)));
            change.filter(|(_, count)| *count > 0).collect()
        };
        Self {
            sent: self.sent - earlier.sent,
            failed: self.failed - earlier.failed,
            by_pod: difference(&self.by_pod, &earlier.by_pod),
            by_version: difference(&self.by_version, &earlier.by_version),
            errors: difference(&self.errors, &earlier.errors),
        }
    }

    fn add(&mut self, outcome: Result<Page, String>) {
        self.sent += 1;
        match outcome {
            Ok(page) => {
                *self.by_pod.entry(page.pod).or_default() += 1;
                *self.by_version.entry(page.version).or_default() += 1;
            }
            Err(why) => {
                self.failed += 1;
                *self.errors.entry(why).or_default() += 1;
            }
        }
    }

    /// A line of JSON; whoever reads the log takes the last whole one.
    fn print(&self) {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        // One write per line; the reader of a closed pipe is gone, and so is the need for counts.
        let _ = std::io::stdout().lock().write_all(&line);
    }
}
