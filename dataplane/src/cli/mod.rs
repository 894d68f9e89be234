// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line: one file per command. All but `agent` and `cleanup` only read.

mod agent;
mod args;
mod check;
mod cleanup;
mod output;
mod services;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::args::ShowArgs;
use crate::causes::Causes;

/// Service routing for Kubernetes nodes, in the kernel.
///
/// Exit codes: 0 done, 1 failed or a check failed, 2 wrong usage.
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
    /// Check whether this machine can run Shunt
    Check(check::Args),
    /// Show the kernel's entries and counters, and the settings in force
    Status(ShowArgs),
    /// List the Services in the kernel, with their backends
    Services(ShowArgs),
    /// Detach the programs and remove all traces of Shunt from this node
    Cleanup(cleanup::Args),
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
