// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask ci`: every check with its name and time, up to the first failure.

use std::time::Instant;

use anyhow::Context as _;

use crate::setup::{self, Tools};
use crate::workspace::Workspace;
use crate::{command, deny, generate, test, unused};

type Step = fn(&Workspace, &Tools) -> anyhow::Result<()>;

const STEPS: [(&str, Step); 8] = [
    ("format", format),
    ("unused dependencies", unused_dependencies),
    ("clippy", clippy),
    ("clippy, kernel programs", clippy_kernel),
    ("test", test),
    ("documentation", documentation),
    ("generated files", generated),
    ("licences and sources of dependencies", denied_dependencies),
];

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let tools = setup::tools(workspace);
    let start = Instant::now();
    for (name, step) in STEPS {
        println!("\n##### ci: {name}");
        let begun = Instant::now();
        step(workspace, &tools).with_context(|| format!("ci failed at: {name}"))?;
        println!("##### ci: {name}: ok, {} s", begun.elapsed().as_secs());
    }
    println!(
        "\n##### ci: all {} steps ok, {} s",
        STEPS.len(),
        start.elapsed().as_secs()
    );
    Ok(())
}

fn format(workspace: &Workspace, _: &Tools) -> anyhow::Result<()> {
    command::show(workspace.cargo().args(["fmt", "--all", "--check"]))
}

fn unused_dependencies(workspace: &Workspace, _: &Tools) -> anyhow::Result<()> {
    unused::run(workspace)
}

fn denied_dependencies(workspace: &Workspace, _: &Tools) -> anyhow::Result<()> {
    deny::run(workspace)
}

fn clippy(workspace: &Workspace, _: &Tools) -> anyhow::Result<()> {
    let mut clippy = workspace.cargo();
    command::show(clippy.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// The host's clippy does not see code that is compiled only for the kernel's target.
fn clippy_kernel(workspace: &Workspace, tools: &Tools) -> anyhow::Result<()> {
    if let Err(error) = tools.require() {
        println!("*** SKIPPED: {error} ***");
        return Ok(());
    }
    let mut clippy = workspace.cargo();
    clippy
        .args([
            "clippy",
            "--package",
            "dataplane-ebpf",
            "--profile",
            "bpf",
            "--target",
            "bpfel-unknown-none",
        ])
        .args(["-Z", "build-std=core", "--target-dir"])
        .arg(workspace.target().join("bpf"))
        .env("RUSTC_BOOTSTRAP", "1");
    // As in dataplane/build.rs, which builds the same crates.
    if let Some(library) = setup::given_rust_src() {
        clippy.env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
    }
    command::show(clippy.args(["--", "-D", "warnings"]))
}

fn test(workspace: &Workspace, tools: &Tools) -> anyhow::Result<()> {
    test::run_all(workspace, tools)
}

fn documentation(workspace: &Workspace, _: &Tools) -> anyhow::Result<()> {
    let mut doc = workspace.cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--quiet"])
        .env("RUSTDOCFLAGS", "-D warnings");
    command::show(&mut doc)
}

fn generated(workspace: &Workspace, _: &Tools) -> anyhow::Result<()> {
    generate::run(workspace, &generate::Options { check: true })
}
