// SPDX-License-Identifier: MIT OR Apache-2.0
//! Developer commands: `cargo xtask VERB`. One file per verb; every verb runs `setup` first.
#![forbid(unsafe_code)]

mod bench;
mod build;
mod ci;
mod command;
mod demo;
mod generate;
mod root;
mod setup;
mod test;
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
    /// Gets what the build needs and this machine lacks: rust-src and bpf-linker. Quiet when nothing is missing.
    Setup,
    /// Builds the release `shunt` with its kernel programs inside, and the lab.
    Build,
    /// Runs the tests: all tiers, or those named.
    Test(test::Options),
    /// Shows Shunt at work on two nodes made of network namespaces. Needs root.
    Demo(demo::Options),
    /// Measures what packets and changes cost, side by side with others. Needs root.
    Bench(bench::Options),
    /// Writes the files that are made from code.
    Gen(generate::Options),
    /// Everything CI runs, in its order, up to the first failure.
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
    let tools = setup::run(workspace);
    match verb {
        Verb::Setup => tools.require(),
        Verb::Build => build::run(workspace, build::Profile::Release).map(|_| ()),
        Verb::Test(options) => test::run(workspace, &tools, options),
        Verb::Demo(options) => demo::run(workspace, &tools, options),
        Verb::Bench(options) => bench::run(workspace, &tools, options),
        Verb::Gen(options) => generate::run(workspace, options),
        Verb::Ci => ci::run(workspace, &tools),
    }
}
