// SPDX-License-Identifier: MIT OR Apache-2.0
//! The story of a Service, told by what really happens: a name becomes a VIP, a packet to the VIP reaches a
//! pod and the reply comes back, Deployments change under load, the agent is killed. Every sentence printed
//! is checked first; what does not hold ends the demo with an error.

mod crash;
mod packets;
mod rollout;
mod screen;
mod stage;

use std::path::PathBuf;
use std::time::Instant;

use crate::binaries::Binaries;
use crate::error::{Error, Result};
use crate::wiring::Wiring;

use screen::Screen;
use stage::Stage;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Leaves the cluster up and tells how to enter it.
    #[arg(long)]
    keep: bool,
    /// Wires pods to a Linux bridge per node instead of routing between veths.
    #[arg(long)]
    bridge: bool,
    /// The `shunt` binary; by default the one beside this program.
    #[arg(long)]
    shunt: Option<PathBuf>,
}

pub fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let wiring = if options.bridge {
        Wiring::Bridge
    } else {
        Wiring::Ptp
    };
    let binaries = Binaries::find()?;
    let binaries = match &options.shunt {
        Some(path) => binaries.with_shunt(path.clone()),
        None => binaries,
    };
    let screen = Screen::of_stdout();
    let mut stage = Stage::set_up(wiring, binaries, &screen)?;
    packets::name_to_vip(&stage, &screen)?;
    packets::journeys(&stage, &screen)?;
    let mut requests = rollout::play(&mut stage, &screen)?;
    requests += crash::play(&mut stage, &screen)?;
    finish(stage, options.keep, &screen)?;
    let seconds = started.elapsed().as_secs_f64();
    screen.summary(&format!("{requests} requests, 0 failed, {seconds:.0} s."));
    Ok(())
}

/// Fails the demo unless `holds`.
fn expect(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Failed(what())) }
}

fn finish(stage: Stage, keep: bool, screen: &Screen) -> Result<()> {
    screen.chapter("The end");
    if keep {
        return stage.keep(screen);
    }
    let root = stage.lab.folder().root().to_owned();
    for node in stage.lab.nodes() {
        stage
            .lab
            .agent(node.number().into(), crate::agent::Agent::terminate)?;
        node.shunt_text(&["cleanup"])?;
        let left = node.pins();
        expect(left.is_empty(), || {
            format!("shunt cleanup left pins on {}: {left:?}", node.name())
        })?;
    }
    drop(stage);
    expect(!root.exists(), || {
        format!("the lab left {} behind", root.display())
    })?;
    screen.say("`shunt cleanup` on both nodes left no pin and no link; the namespaces are gone.");
    Ok(())
}
