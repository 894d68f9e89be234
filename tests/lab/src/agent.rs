// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real agent, run in a node's namespace, and the other verbs of its binary.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Doing, Error, Result};
use crate::http;
use crate::node::Node;
use crate::process::Process;
use crate::wait;

/// The agent's admin address inside its node.
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 10249);

#[derive(Debug, Clone, Default)]
pub struct AgentOptions {
    /// The API server to watch, instead of the lab's manifests.
    pub kubeconfig: Option<PathBuf>,
    /// More arguments for `shunt agent`.
    pub extra: Vec<String>,
}

impl AgentOptions {
    /// The lab's manifests, and these arguments.
    #[must_use]
    pub fn saying(arguments: &[&str]) -> Self {
        Self {
            extra: arguments.iter().map(|&word| word.to_owned()).collect(),
            ..Self::default()
        }
    }
}

#[derive(Debug)]
pub struct Agent {
    node: Node,
    process: Process,
}

impl Node {
    /// Starts `shunt agent` here; see [`Agent::wait_ready`].
    pub fn start_agent(&self, options: &AgentOptions) -> Result<Agent> {
        static STARTED: AtomicU32 = AtomicU32::new(1);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let bpf_root = self.bpf_root();
        fs::create_dir_all(&bpf_root).doing(|| format!("making {}", bpf_root.display()))?;
        let (source, place) = match &options.kubeconfig {
            Some(kubeconfig) => ("--kubeconfig", kubeconfig.clone()),
            None => ("--manifests", self.folder().manifests()),
        };
        let mut arguments = vec![
            "agent".to_owned(),
            source.to_owned(),
            place.display().to_string(),
            "--node-name".to_owned(),
            self.name().to_owned(),
            "--bpf-root".to_owned(),
            bpf_root.display().to_string(),
            "--admin".to_owned(),
            ADMIN.to_string(),
            "--cgroup-root".to_owned(),
            self.cgroup().display().to_string(),
        ];
        arguments.extend(options.extra.iter().cloned());
        let log = self
            .folder()
            .logs()
            .join(format!("agent-{}-{number}.log", self.name()));
        let name = format!("the agent of {}", self.name());
        let process = self
            .place()
            .start(&name, &log, self.binaries().shunt()?, arguments)?;
        Ok(Agent {
            node: self.clone(),
            process,
        })
    }

    /// Runs another verb of the binary in the node, e.g. `["status"]`; `--bpf-root` is added.
    pub fn shunt(&self, arguments: &[&str]) -> Result<Output> {
        let root = self.bpf_root().display().to_string();
        let arguments = arguments.iter().copied().chain(["--bpf-root", &root]);
        let shunt = self.binaries().shunt()?;
        self.place()
            .command(shunt, arguments)
            .output()
            .doing(|| format!("running shunt in {}", self.name()))
    }

    /// Every pinned object with its inode, which an object made anew does not share.
    #[must_use]
    pub fn pins(&self) -> BTreeMap<PathBuf, u64> {
        let mut pins = BTreeMap::new();
        let mut folders = vec![self.bpf_root()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                    Ok(metadata) => drop(pins.insert(entry.path(), metadata.ino())),
                    Err(_) => {}
                }
            }
        }
        pins
    }

    /// As [`Self::shunt`], for its output; an error exit is an error.
    pub fn shunt_text(&self, arguments: &[&str]) -> Result<String> {
        let output = self.shunt(arguments)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::Failed(format!(
            "shunt {arguments:?} in {}: {}: {errors}",
            self.name(),
            output.status
        )))
    }
}

impl Agent {
    #[must_use]
    pub fn node_name(&self) -> &str {
        self.node.name()
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Polls `/readyz` until it says so.
    pub fn wait_ready(&mut self) -> Result<()> {
        let what = format!("{} to be ready", self.process.name());
        wait::until(&what, || {
            if let Some(status) = self.process.ended() {
                return Ok(Err(self.process.early_end(status)));
            }
            match self.get("/readyz") {
                Ok(answer) if answer.status == 200 => Ok(Ok(())),
                Ok(answer) => Err(format!(
                    "{} {}; log: {}",
                    answer.status,
                    answer.body,
                    self.end_of_log()
                )),
                Err(error) => Err(format!("{error}; log: {}", self.end_of_log())),
            }
        })?
    }

    /// The agent's metrics, as text.
    pub fn metrics(&self) -> Result<String> {
        self.get("/metrics").map(|answer| answer.body)
    }

    /// The sum of a metric over all its label sets.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let text = self.metrics()?;
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let values = samples.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let metric = series.split('{').next()?;
            (metric == name).then(|| value.parse::<f64>().ok())?
        });
        Ok(values.sum())
    }

    /// `shunt services -o json`: what the kernel of the node holds.
    pub fn services_json(&self) -> Result<String> {
        self.node.shunt_text(&["services", "-o", "json"])
    }

    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill9()
    }

    pub fn terminate(&mut self) -> Result<()> {
        self.process.terminate()
    }

    /// A new agent in the place of one that has ended.
    pub fn restart(&mut self) -> Result<()> {
        *self = self.node.start_agent(&AgentOptions::default())?;
        self.wait_ready()
    }

    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The last lines of the log, for messages.
    #[must_use]
    pub fn end_of_log(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().rev().take(8).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// A GET to the admin address, from inside the node.
    pub fn get(&self, path: &str) -> Result<http::Answer> {
        self.node.netns().run(|| http::get(ADMIN, path))?
    }
}
