// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask test`: three tiers, from what runs anywhere to what needs root and network namespaces.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::{Args, ValueEnum};

use crate::root::Root;
use crate::setup::{Tools, firewalls};
use crate::workspace::Workspace;
use crate::{build, command};

#[derive(Args, Default)]
pub(crate) struct Options {
    /// The tiers to run; all of them if none is named.
    #[arg(value_enum)]
    tiers: Vec<Tier>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tier {
    /// Everything that needs neither root nor the kernel programs.
    Unit,
    /// The kernel programs, run on made packets by the kernel itself. Needs root.
    Kernel,
    /// The agent on nodes made of network namespaces, with real traffic. Needs root.
    Lab,
}

enum Outcome {
    Passed,
    Failed(anyhow::Error),
    Skipped(String),
}

struct Report {
    tier: Tier,
    outcome: Outcome,
    took: Duration,
}

/// Runs the tiers and ends with a table. A tier that cannot run here is skipped, which is a failure only if it was
/// asked for by name.
pub(crate) fn run(workspace: &Workspace, tools: &Tools, options: &Options) -> anyhow::Result<()> {
    let named = !options.tiers.is_empty();
    let tiers = if named {
        options.tiers.as_slice()
    } else {
        Tier::value_variants()
    };
    let mut reports = Vec::new();
    for &tier in tiers {
        println!("\n=== test: {tier} ===");
        let start = Instant::now();
        let outcome = tier.run(workspace, tools);
        if let Outcome::Skipped(reason) = &outcome {
            println!("*** SKIPPED: {tier} tests did not run: {reason} ***");
        }
        reports.push(Report {
            tier,
            outcome,
            took: start.elapsed(),
        });
    }
    println!("\n=== test: summary ===");
    for report in &reports {
        println!("{report}");
    }
    let bad = reports.iter().filter(|report| match report.outcome {
        Outcome::Passed => false,
        Outcome::Failed(_) => true,
        Outcome::Skipped(_) => named,
    });
    match bad.count() {
        0 => Ok(()),
        count => bail!("{count} of {} test tiers did not pass", reports.len()),
    }
}

impl Tier {
    fn run(self, workspace: &Workspace, tools: &Tools) -> Outcome {
        let result = match self {
            Self::Unit => unit(workspace),
            Self::Kernel | Self::Lab => match ready(tools) {
                Ok(root) => {
                    if self == Self::Lab {
                        firewalls::provide(root);
                    }
                    as_root(workspace, self, root)
                }
                Err(reason) => return Outcome::Skipped(reason),
            },
        };
        result.map_or_else(Outcome::Failed, |()| Outcome::Passed)
    }

    /// How many tests run at a time. Each test of the lab makes whole nodes, and waits most of the time; more than
    /// two keep a small machine from answering in time.
    fn threads(self) -> &'static str {
        match self {
            Self::Unit | Self::Kernel => "1",
            Self::Lab => "2",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Kernel => "kernel",
            Self::Lab => "lab",
        }
    }
}

fn unit(workspace: &Workspace) -> anyhow::Result<()> {
    let mut test = workspace.cargo();
    command::show(test.args(["test", "--workspace", "--no-fail-fast"]))
}

/// What the root tiers need, or why they cannot run.
fn ready(tools: &Tools) -> Result<Root, String> {
    tools.require().map_err(|error| error.to_string())?;
    Root::silent().ok_or_else(|| "not root, and sudo is absent or wants a password".to_owned())
}

/// A root tier is a test target of `suites` whose tests are `#[ignore = "needs root"]`.
fn as_root(workspace: &Workspace, tier: Tier, root: Root) -> anyhow::Result<()> {
    let programs = build::run(workspace, build::Profile::Debug)?;
    let mut test = workspace.cargo();
    // The whole workspace, for the reason given in build.rs; only `suites` has targets of these names.
    test.args(["test", "--workspace", "--test", tier.name(), "--no-fail-fast"])
        .env("SHUNT_BIN", &programs.shunt)
        .env("SHUNT_LAB_BIN", &programs.lab);
    if !root.prefix().is_empty() {
        // Cargo itself stays the user's: only the test program is root.
        let words = root
            .prefix()
            .iter()
            .map(|word| format!("{word:?}"))
            .collect::<Vec<_>>()
            .join(", ");
        test.args(["--config", &format!("target.'cfg(all())'.runner = [{words}]")]);
    }
    command::show(test.args(["--", "--ignored", "--test-threads", tier.threads()]))
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.tier.name();
        let seconds = self.took.as_secs();
        match &self.outcome {
            Outcome::Passed => write!(f, "{name:<8} passed   {seconds:>4} s"),
            Outcome::Failed(error) => write!(f, "{name:<8} FAILED   {seconds:>4} s  {error:#}"),
            Outcome::Skipped(reason) => write!(f, "{name:<8} SKIPPED          {reason}"),
        }
    }
}
