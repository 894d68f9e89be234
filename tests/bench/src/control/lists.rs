// SPDX-License-Identifier: MIT OR Apache-2.0
//! From nothing to everything, and from everything to everything.

use anyhow::ensure;
use lab::Lab;

use super::Found;
use super::agent::{Running, cpu, resident};
use super::cluster::Cluster;
use crate::plan::{Plan, tell};

pub(super) fn measure(plan: &Plan, lab: &Lab, cluster: &Cluster, found: &mut Found) -> anyhow::Result<()> {
    let (mut lists, mut starts, mut used) = (Vec::new(), Vec::new(), Vec::new());
    let (mut memory, mut peaks) = (Vec::new(), Vec::new());
    let (mut restarts, mut writes) = (Vec::new(), Vec::new());
    for turn in 0..if plan.quick { 2 } else { 5 } {
        tell(format_args!("control: cold start {}", turn + 1));
        let mut agent = Running::start(lab, cluster)?;
        starts.push(agent.wait_ready()?);
        lists.push(agent.lists_to_kernel()? * 1e3);
        used.push(cpu(agent.pid())?);
        let (now, peak) = resident(agent.pid())?;
        memory.push(now);
        peaks.push(peak);
        let filled = agent.writes()?;
        ensure!(filled > 0.0, "a cold start wrote nothing");
        agent.stop()?;

        let mut agent = Running::start(lab, cluster)?;
        restarts.push(agent.wait_ready()?);
        writes.push(agent.writes()?);
        agent.stop()?;
        lab.node(1).shunt_text(&["cleanup"])?;
    }
    found.add("cold start: last list to last map write", "ms", lists);
    found.add("cold start: process start to ready", "s", starts);
    found.add("cold start: CPU time", "s", used);
    found.add("memory after it (RSS)", "MB", memory);
    found.add("most memory during it (RSS)", "MB", peaks);
    found.add("restart, nothing changed: process start to ready", "s", restarts);
    found.add("restart, nothing changed: map writes", "", writes);
    Ok(())
}
