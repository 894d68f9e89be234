// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask bench`: builds the programs and runs `shunt-bench`.

use std::path::PathBuf;

use clap::Args;

use crate::root::Root;
use crate::workspace::Workspace;
use crate::{build, command, setup};

#[derive(Args)]
pub(crate) struct Options {
    /// What to measure (packet, datapath, control); everything if nothing is named.
    parts: Vec<String>,
    /// Fewer sizes and runs: less than three minutes instead of twenty.
    #[arg(long)]
    quick: bool,
    /// Compares only with forwarders whose name contains this word; can be repeated.
    #[arg(long, value_name = "WORD")]
    only: Vec<String>,
    /// Measures only the traffic whose name contains this word; can be repeated.
    #[arg(long, value_name = "WORD")]
    case: Vec<String>,
    /// Writes every sample to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draws a chart of the traffic rates.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Writes the tables into docs/benchmarks.md, and the chart beside it.
    #[arg(long)]
    docs: bool,
    /// Measures this kube-proxy program instead of the rules that it would write.
    #[arg(long, value_name = "PATH")]
    kube_proxy: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    setup::tools(workspace).require()?;
    let root = Root::interactive()?;
    let programs = build::run(workspace, build::Profile::Bench)?;
    let docs = workspace.root().join("docs");
    let mut bench = root.command(&programs.bench);
    bench
        .args(&options.parts)
        .args(options.quick.then_some("--quick"));
    for (name, words) in [("--only", &options.only), ("--case", &options.case)] {
        bench.args(words.iter().flat_map(|word| [name, word.as_str()]));
    }
    let files = [
        ("--json", options.json.clone()),
        ("--plot", options.plot.clone()),
        ("--docs", options.docs.then(|| docs.join("benchmarks.md"))),
        ("--kube-proxy", options.kube_proxy.clone()),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            bench.arg(name).arg(file);
        }
    }
    command::show(&mut bench)
}
