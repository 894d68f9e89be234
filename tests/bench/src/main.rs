// SPDX-License-Identifier: MIT OR Apache-2.0
//! `shunt-bench`: what `cargo xtask bench` builds and runs.

use std::path::PathBuf;

use anyhow::ensure;
use bench::machine::Machine;
use bench::plan::{Plan, tell};
use bench::report::Report;
use bench::{control, datapath, packet};
use clap::{Parser, ValueEnum};

/// Measures what packets and changes cost. Needs root.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The parts to run; all of them if none is named
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Fewer sizes and turns: under three minutes instead of twenty
    #[arg(long)]
    quick: bool,
    /// Compare only with forwarders whose name has this word ("kube-proxy", "10k"); may be given again
    #[arg(long, value_name = "WORD")]
    only: Vec<String>,
    /// Of traffic, measure only what has this word in its name ("64-byte", "TCP p50, pod to pod"); may be given again
    #[arg(long, value_name = "WORD")]
    case: Vec<String>,
    /// Write every sample to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw a picture of the rates of traffic
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Put the tables into this document, which has places for them, and the picture beside it
    #[arg(long, value_name = "FILE.md")]
    docs: Option<PathBuf>,
    /// Measure this kube-proxy instead of the rules that it would write
    #[arg(long, value_name = "PATH")]
    kube_proxy: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Nanoseconds per packet in one program
    Packet,
    /// Packets, requests and connections through nodes
    Datapath,
    /// The agent: lists, changes, memory
    Control,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let plan = Plan {
        quick: options.quick,
        only: options.only,
        cases: options.case,
        kube_proxy: options.kube_proxy,
    };
    let machine = Machine::now();
    let parts = if options.parts.is_empty() {
        Part::value_variants()
    } else {
        &options.parts
    };
    let has_traffic = parts.contains(&Part::Datapath);
    ensure!(
        has_traffic || options.plot.is_none(),
        "draw a picture: there would be no traffic in it: measure `datapath`, too"
    );
    let mut series = Vec::new();
    for part in parts {
        series.extend(match part {
            Part::Packet => packet::run(&plan)?,
            Part::Datapath => datapath::run(&plan)?,
            Part::Control => control::run(&plan)?,
        });
    }
    let report = Report {
        machine,
        quick: plan.quick,
        series,
    };
    println!("{}", report.text());
    if let Some(path) = &options.json {
        report.write_json(path)?;
    }
    if let Some(path) = &options.plot {
        report.write_plot(path)?;
    }
    if let Some(path) = &options.docs {
        report.write_docs(path)?;
        if has_traffic {
            report.write_plot(&path.with_extension("svg"))?;
        }
    }
    tell(format_args!("load average at the end: {}", Machine::now().load));
    Ok(())
}
