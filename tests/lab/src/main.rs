// SPDX-License-Identifier: MIT OR Apache-2.0
//! `shunt-lab`: the demo, what runs in the lab's pods, and the lab's broom.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lab::folder::LabFolder;
use lab::programs::{self, Program};
use lab::{Error, Lab, Result, Wiring, clean, demo, process, reaper};

#[derive(Debug, Parser)]
#[command(
    version,
    about = "A Kubernetes network made of namespaces, to see and to test Shunt in"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Shows a Service at work on a cluster of two nodes.
    Demo(demo::Options),
    /// Removes a kept lab, or without an id all that is left of labs whose owner is gone.
    Clean { id: Option<String> },
    /// Holds an empty lab until killed.
    #[command(hide = true)]
    Hold,
    /// A program of a pod.
    #[command(subcommand, hide = true)]
    Pod(Program),
    /// Runs a command in a namespace and a cgroup.
    #[command(hide = true)]
    Exec {
        #[arg(long)]
        netns: PathBuf,
        #[arg(long)]
        cgroup: PathBuf,
        #[arg(long, requires = "nsswitch")]
        resolv_conf: Option<PathBuf>,
        #[arg(long)]
        nsswitch: Option<PathBuf>,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Waits for the end of a lab's owner, then removes the lab.
    #[command(hide = true)]
    Reap {
        #[arg(long)]
        lab: String,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shunt-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Demo(options) => demo::run(&options),
        Verb::Clean { id: Some(id) } => clean::remove(&find(&id)?),
        Verb::Clean { id: None } => {
            let removed = clean::remove_dead()?;
            println!("removed {} dead lab(s) {}", removed.len(), removed.join(" "));
            Ok(())
        }
        Verb::Hold => hold(),
        Verb::Pod(program) => programs::run(program),
        Verb::Exec {
            netns,
            cgroup,
            resolv_conf,
            nsswitch,
            command,
        } => {
            let resolver = resolv_conf.as_deref().zip(nsswitch.as_deref());
            process::exec(&netns, &cgroup, resolver, &command)
        }
        Verb::Reap { lab } => reaper::watch(&find(&lab)?),
    }
}

fn hold() -> Result<()> {
    let lab = Lab::new(Wiring::Ptp)?;
    println!("{}", lab.folder().root().display());
    loop {
        std::thread::park();
    }
}

fn find(id: &str) -> Result<LabFolder> {
    LabFolder::find(id).ok_or_else(|| Error::Failed(format!("there is no lab {id} in /run/shunt-lab")))
}
