// SPDX-License-Identifier: MIT OR Apache-2.0
//! Developer commands: `cargo xtask VERB`, one module per verb. Verbs that need the kernel programs run `setup` first.
#![forbid(unsafe_code)]

mod bench;
mod build;
mod ci;
mod command;
mod demo;
mod deny;
mod generate;
mod root;
mod setup;
mod test;
mod unused;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Builds, tests and shows Shunt.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Xtask {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Installs what the build needs and this machine lacks: rust-src and bpf-linker. Quiet if nothing is missing.
    Setup(setup::Options),
    /// Builds the release `shunt` with its kernel programs inside, and the lab.
    Build,
    /// Runs the tests: all tiers, or the named ones.
    Test(test::Options),
    /// Shows Shunt at work on two nodes made of network namespaces. Needs root.
    Demo(demo::Options),
    /// Measures what packets and changes cost, compared with other forwarders. Needs root.
    Bench(bench::Options),
    /// Writes the files that are generated from code.
    Gen(generate::Options),
    /// Runs every check of CI, up to the first failure.
    Ci,
}

fn main() -> ExitCode {
    match Workspace::find().and_then(|workspace| run(&Xtask::parse().verb, &workspace)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &Verb, workspace: &Workspace) -> anyhow::Result<()> {
    match verb {
        Verb::Setup(options) => setup::run(workspace, options),
        Verb::Build => {
            setup::tools(workspace);
            build::run(workspace, build::Profile::Release).map(|_| ())
        }
        Verb::Test(options) => test::run(workspace, options),
        Verb::Demo(options) => demo::run(workspace, options),
        Verb::Bench(options) => bench::run(workspace, options),
        Verb::Gen(options) => generate::run(workspace, options),
        Verb::Ci => ci::run(workspace),
    }
}
