// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask test`: three tiers. The first runs anywhere, the others need root and the kernel programs.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::{Args, ValueEnum};

use crate::root::Root;
use crate::setup::{self, Tools};
use crate::workspace::Workspace;
use crate::{build, command};

#[derive(Args)]
pub(crate) struct Options {
    /// The tiers to run; all if none is named.
    #[arg(value_enum)]
    tiers: Vec<Tier>,
    /// Arguments for the test programs, such as the name of one test.
    #[arg(last = true)]
    arguments: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tier {
    /// Everything that needs neither root nor the kernel programs.
    Unit,
    /// The kernel runs the programs on generated packets. Needs root.
    Kernel,
    /// Agents on nodes made of network namespaces, with real traffic. Needs root.
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

/// Runs the named tiers, or all.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let named = !options.tiers.is_empty();
    let tiers = if named {
        options.tiers.as_slice()
    } else {
        Tier::value_variants()
    };
    // The unit tier alone needs no tools, so none are installed for it.
    let tools = (tiers != [Tier::Unit]).then(|| setup::tools(workspace));
    let run = Run {
        workspace,
        tools: tools.as_ref(),
        arguments: &options.arguments,
    };
    run.tiers(tiers, named)
}

/// Runs all tiers, after the caller has installed the tools.
pub(crate) fn run_all(workspace: &Workspace, tools: &Tools) -> anyhow::Result<()> {
    let run = Run {
        workspace,
        tools: Some(tools),
        arguments: &[],
    };
    run.tiers(Tier::value_variants(), false)
}

/// What all tiers of one `cargo xtask test` share.
struct Run<'a> {
    workspace: &'a Workspace,
    /// Absent if only the unit tier runs.
    tools: Option<&'a Tools>,
    /// Arguments for the test programs.
    arguments: &'a [String],
}

impl Run<'_> {
    /// Runs the tiers and prints a table at the end. A tier that cannot run here is skipped. That is a failure only
    /// if the user named the tier.
    fn tiers(&self, tiers: &[Tier], named: bool) -> anyhow::Result<()> {
        let mut reports = Vec::new();
        for &tier in tiers {
            println!("\n=== test: {tier} ===");
            let start = Instant::now();
            let outcome = self.tier(tier);
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

    fn tier(&self, tier: Tier) -> Outcome {
        let result = match tier {
            Tier::Unit => self.unit(),
            Tier::Kernel | Tier::Lab => match self.root() {
                Ok(root) => self.as_root(tier, root),
                Err(reason) => return Outcome::Skipped(reason),
            },
        };
        result.map_or_else(Outcome::Failed, |()| Outcome::Passed)
    }

    fn unit(&self) -> anyhow::Result<()> {
        let mut test = self.workspace.cargo();
        test.args(["test", "--workspace", "--no-fail-fast"]);
        if !self.arguments.is_empty() {
            test.arg("--").args(self.arguments);
        }
        command::show(&mut test)
    }

    /// How to become root for the root tiers, or why they cannot run.
    fn root(&self) -> Result<Root, String> {
        if let Some(tools) = self.tools {
            tools.require().map_err(|error| error.to_string())?;
        }
        Root::silent().ok_or_else(|| "not root, and sudo is not installed or asks for a password".to_owned())
    }

    /// Runs a root tier: a test target of `suites` whose tests are `#[ignore = "needs root"]`.
    fn as_root(&self, tier: Tier, root: Root) -> anyhow::Result<()> {
        if tier == Tier::Lab {
            setup::report_missing_system_packages();
        }
        let programs = build::run(self.workspace, build::Profile::Debug)?;
        let mut test = self.workspace.cargo();
        // The whole workspace, for the reason given in build.rs; only `suites` has targets of these names.
        test.args(["test", "--workspace", "--test", tier.name(), "--no-fail-fast"])
            .env("SHUNT_BIN", &programs.shunt)
            .env("SHUNT_LAB_BIN", &programs.lab);
        if !root.prefix().is_empty() {
            // Cargo itself runs as the user: only the test program runs as root.
            let words = root
                .prefix()
                .iter()
                .map(|word| format!("{word:?}"))
                .collect::<Vec<_>>()
                .join(", ");
            test.args(["--config", &format!("target.'cfg(all())'.runner = [{words}]")]);
        }
        test.arg("--").args(tier.arguments()).args(self.arguments);
        command::show(&mut test)
    }
}

impl Tier {
    /// The test program's own arguments.
    fn arguments(self) -> [&'static str; 3] {
        ["--ignored", "--test-threads", self.threads()]
    }

    /// How many tests run at a time. A lab test makes whole nodes and waits most of the time. With more than two, a
    /// small machine does not answer in time.
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
