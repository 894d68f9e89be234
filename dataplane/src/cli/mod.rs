// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line: one file per command. All but `agent` and `cleanup` only read.

mod agent;
mod check;
mod cleanup;
mod output;
mod services;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::output::Format;
use crate::causes::Causes;

/// Service routing for Kubernetes nodes, in the kernel.
///
/// Exit codes: 0 done, 1 failed or not in order, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "shunt", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep this node's kernel in step with Services and EndpointSlices
    Agent(Box<agent::Args>),
    /// Tell whether this machine can run Shunt
    Check(check::Args),
    /// Show what the kernel holds and counts, and the settings in force
    Status(ShowArgs),
    /// List the Services the kernel knows, with their backends
    Services(ShowArgs),
    /// Detach the programs and remove every trace of Shunt from this node
    Cleanup(cleanup::Args),
}

/// Which node's pins are meant.
#[derive(Clone, Debug, clap::Args)]
struct RootArgs {
    /// Folder on a BPF file system that holds this node's maps and links
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/sys/fs/bpf/shunt",
        env = "SHUNT_BPF_ROOT"
    )]
    bpf_root: PathBuf,
}

/// What is to be shown, and how.
#[derive(Debug, clap::Args)]
struct ShowArgs {
    #[command(flatten)]
    root: RootArgs,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Which cgroup is the node's.
#[derive(Clone, Debug, clap::Args)]
struct CgroupArgs {
    /// The cgroup2 folder that all of the node's processes are below [default: the highest in sight; `shunt check`
    /// tells]
    #[arg(long, value_name = "DIR", env = "SHUNT_CGROUP_ROOT")]
    cgroup_root: Option<PathBuf>,
}

impl Cli {
    pub fn run(self) -> ExitCode {
        let result = match self.command {
            Command::Agent(args) => agent::run(*args).map(|()| ExitCode::SUCCESS),
            Command::Check(args) => Ok(check::run(&args)),
            Command::Status(args) => status::run(&args).map(|()| ExitCode::SUCCESS),
            Command::Services(args) => services::run(&args).map(|()| ExitCode::SUCCESS),
            Command::Cleanup(args) => cleanup::run(&args).map(|()| ExitCode::SUCCESS),
        };
        result.unwrap_or_else(|error| {
            output::line(std::io::stderr(), &format!("shunt: {}", Causes(error.as_ref())));
            ExitCode::FAILURE
        })
    }
}
