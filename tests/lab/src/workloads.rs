// SPDX-License-Identifier: MIT OR Apache-2.0
//! What tests and the demo run in pods, in words.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Doing, Error, Result};
use crate::http;
use crate::node::Node;
use crate::pod::Pod;
use crate::process::Process;
use crate::programs::bulk::{Receipt, Way};
use crate::programs::httpd::Page;
use crate::programs::load::Counts;
use crate::wait;

/// A client that asks on and on; stopped (and counted) by [`Load::stop`].
#[derive(Debug)]
pub struct Load {
    process: Process,
    log: PathBuf,
}

impl Pod {
    /// Answers TCP lines and UDP datagrams on a port.
    pub fn serve_echo(&self, port: u16) -> Result<()> {
        self.start(
            "echo",
            &arguments(&[("--name", self.name()), ("--port", &port.to_string())]),
        )
    }

    /// Answers HTTP on a port with its name and this version.
    pub fn serve_http(&self, port: u16, version: &str) -> Result<()> {
        let port = port.to_string();
        self.start(
            "httpd",
            &arguments(&[("--name", self.name()), ("--port", &port), ("--version", version)]),
        )
    }

    /// Answers DNS on port 53 from the lab's manifests.
    pub fn serve_dns(&self) -> Result<()> {
        let manifests = self.node().folder().manifests().display().to_string();
        self.start("dns", &arguments(&[("--manifests", &manifests)]))
    }

    /// Takes and gives bulk data on a port.
    pub fn serve_bulk(&self, port: u16) -> Result<()> {
        self.start("bulk", &arguments(&[("--port", &port.to_string())]))
    }

    /// Moves bytes to or from a bulk server; returns what the sender and what the receiver saw.
    pub fn bulk(&self, server: SocketAddr, way: Way, bytes: u64) -> Result<(Receipt, Receipt)> {
        let (server, bytes) = (server.to_string(), bytes.to_string());
        let way = if way == Way::Up { "up" } else { "down" };
        let all = arguments(&[("--server", &server), ("--way", way), ("--bytes", &bytes)]);
        let mut transfer = self.spawn("transfer", &all)?;
        let status = transfer.wait_end(Duration::from_secs(120))?;
        let log = transfer.log();
        let receipts = log.lines().find_map(|line| serde_json::from_str(line).ok());
        receipts.ok_or_else(|| transfer.early_end(status))
    }

    /// Asks for a page over a connection of its own.
    pub fn fetch(&self, server: SocketAddr) -> Result<(Page, http::Answer)> {
        let answer = self.netns().run(|| http::get(server, "/"))??;
        let page = serde_json::from_str(&answer.body).map_err(|error| Error::Malformed {
            doing: format!("fetching from {server}"),
            what: format!("{:?}", answer.body),
            why: error.to_string(),
        })?;
        Ok((page, answer))
    }

    /// Starts a client for `server` (name and port); more options as the `load` program has them.
    pub fn load(&self, server: &str, options: &[&str]) -> Result<Load> {
        let mut all = arguments(&[("--server", server)]);
        all.extend(options.iter().map(|&option| option.to_owned()));
        Load::start(self.spawn("load", &all)?)
    }
}

impl Node {
    /// The same from the node itself.
    pub fn load(&self, server: &str, options: &[&str]) -> Result<Load> {
        let mut all = arguments(&[("--server", server)]);
        all.extend(options.iter().map(|&option| option.to_owned()));
        Load::start(self.spawn("load", &all)?)
    }

    /// Answers TCP lines and UDP datagrams on a port of the node, until the handle goes.
    pub fn serve_echo(&self, port: u16) -> Result<Process> {
        self.spawn(
            "echo",
            &arguments(&[("--name", self.name()), ("--port", &port.to_string())]),
        )
    }
}

impl Load {
    fn start(process: Process) -> Result<Self> {
        let log = process.log_file().to_owned();
        let mut load = Self { process, log };
        load.wait_for(1)?;
        Ok(load)
    }

    /// What it has counted so far.
    pub fn counts(&self) -> Result<Counts> {
        last_line(&self.log).doing(|| "reading the counts of a client".to_owned())
    }

    /// Waits until this many requests have been made.
    pub fn wait_for(&mut self, requests: u64) -> Result<Counts> {
        wait::until(&format!("{requests} requests"), || {
            if let Some(status) = self.process.ended() {
                return Ok(Err(self.process.early_end(status)));
            }
            let counts = self.counts().map_err(|error| error.to_string())?;
            if counts.sent >= requests {
                Ok(Ok(counts))
            } else {
                Err(format!("{} made", counts.sent))
            }
        })?
    }

    /// Lets it make this many more requests; returns only those.
    pub fn next(&mut self, requests: u64) -> Result<Counts> {
        let before = self.counts()?;
        Ok(self.wait_for(before.sent + requests)?.since(&before))
    }

    /// Ends the client after the request it is at, and returns all counts.
    pub fn stop(mut self) -> Result<Counts> {
        self.process.terminate()?;
        self.counts()
    }
}

/// No failures, or an error that lists them.
pub fn none_failed(counts: &Counts) -> Result<()> {
    if counts.failed == 0 {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "{} of {} requests failed: {:?}",
        counts.failed, counts.sent, counts.errors
    )))
}

/// A pause in which clients go on: long enough for several requests, of no other meaning.
pub fn a_moment() {
    std::thread::sleep(Duration::from_millis(100));
}

fn arguments(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs
        .iter()
        .flat_map(|&(key, value)| [key.to_owned(), value.to_owned()])
        .collect()
}

/// The last whole line of JSON; the file may be growing.
fn last_line(path: &PathBuf) -> std::io::Result<Counts> {
    const TAIL: u64 = 8192;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let whole = text.rsplit_once('\n').map(|(whole, _)| whole).unwrap_or_default();
    let counts = whole
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok());
    Ok(counts.unwrap_or_default())
}
