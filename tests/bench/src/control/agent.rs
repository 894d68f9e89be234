// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent as its own process, and what can be read of it from outside.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use lab::agent::{Agent, AgentOptions};
use lab::{Lab, wait};
use nix::unistd::Pid;
use serde_json::Value;

use super::cluster::Cluster;
use crate::plan::move_to_last_cpu;

/// For the largest list on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Running {
    agent: Agent,
    started: Instant,
}

impl Running {
    pub(super) fn start(lab: &Lab, cluster: &Cluster) -> anyhow::Result<Self> {
        let options = AgentOptions {
            kubeconfig: Some(cluster.kubeconfig()?),
            extra: vec!["--log-format".to_owned(), "json".to_owned()],
        };
        let started = Instant::now();
        let agent = lab.node(1).start_agent(&options)?;
        move_to_last_cpu(Pid::from_raw(agent.pid().cast_signed()))?;
        Ok(Self { agent, started })
    }

    /// Waits until the kernel holds all of the first lists; the time since the start, in seconds.
    pub(super) fn wait_ready(&mut self) -> anyhow::Result<f64> {
        let agent = &self.agent;
        let ready = || match agent.get("/readyz") {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(answer.body),
            Err(error) => Err(error.to_string()),
        };
        wait::until_within(PATIENCE, "the agent to be ready", ready)
            .with_context(|| format!("its log: {}", agent.end_of_log()))?;
        Ok(self.started.elapsed().as_secs_f64())
    }

    /// From the moment that the last of the first lists was taken in until the kernel held everything, in seconds.
    pub(super) fn lists_to_kernel(&self) -> anyhow::Result<f64> {
        let log = self.agent.log();
        let line = log.lines().find(|line| line.contains("all first lists received"));
        let line: Value = serde_json::from_str(line.context("the log has no line for the first lists")?)?;
        let time = line["timestamp"].as_str().context("the log has no times")?;
        let lists: jiff::Timestamp = time.parse()?;
        let lists = lists.as_microsecond() as f64 / 1e6;
        Ok(self.metric("shunt_last_sync_timestamp_seconds")? - lists)
    }

    /// All writes to the kernel's maps so far.
    pub(super) fn writes(&self) -> anyhow::Result<f64> {
        self.metric("shunt_ops_total")
    }

    pub(super) fn metric(&self, name: &str) -> anyhow::Result<f64> {
        Ok(self.agent.metric(name)?)
    }

    pub(super) fn pid(&self) -> u32 {
        self.agent.pid()
    }

    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        Ok(self.agent.terminate()?)
    }
}

/// Resident memory of a process now, and the most it ever was, in MB.
pub(super) fn resident(pid: u32) -> anyhow::Result<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kilobytes.with_context(|| format!("no {name} of process {pid}"))
    };
    Ok((field("VmRSS")? / 1024.0, field("VmHWM")? / 1024.0))
}

/// CPU time that a process has used, in seconds.
pub(super) fn cpu(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, after_name) = stat.rsplit_once(") ").context("no process")?;
    let ticks: f64 = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    // USER_HZ, which no architecture that Shunt runs on has differently.
    Ok(ticks / 100.0)
}
