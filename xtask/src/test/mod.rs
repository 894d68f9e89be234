// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask test`: three tiers. The first runs anywhere, the others need root and the kernel programs.

mod vm;

use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
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
    /// Runs the kernel and lab tiers on the newest Debian kernel of this version (6.1, 6.12, 7.x), in qemu.
    #[arg(long, value_name = "VERSION")]
    kernel: Option<String>,
    /// Boots that kernel with KVM instead of emulating the processor: much faster, where it works.
    #[arg(long, requires = "kernel")]
    kvm: bool,
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
    let tiers = match (named, &options.kernel) {
        (true, _) => options.tiers.as_slice(),
        (false, None) => Tier::value_variants(),
        (false, Some(_)) => &[Tier::Kernel, Tier::Lab],
    };
    if options.kernel.is_some() && tiers.contains(&Tier::Unit) {
        bail!("--kernel: the unit tier does not depend on the kernel");
    }
    // The unit tier alone needs no tools, so none are installed for it.
    let tools = (tiers != [Tier::Unit]).then(|| setup::tools(workspace));
    let processor = if options.kvm {
        vm::Processor::Hardware
    } else {
        vm::Processor::Emulated
    };
    let run = Run {
        workspace,
        tools: tools.as_ref(),
        arguments: &options.arguments,
        kernel: options.kernel.as_deref().map(|version| (version, processor)),
    };
    run.tiers(tiers, named)
}

/// Runs all tiers, after the caller has installed the tools.
pub(crate) fn run_all(workspace: &Workspace, tools: &Tools) -> anyhow::Result<()> {
    let run = Run {
        workspace,
        tools: Some(tools),
        arguments: &[],
        kernel: None,
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
    /// The kernel that a virtual machine boots for the root tiers, and how.
    kernel: Option<(&'a str, vm::Processor)>,
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
        let result = match (tier, self.kernel) {
            (Tier::Unit, _) => self.unit(),
            (Tier::Kernel | Tier::Lab, None) => match self.root() {
                Ok(root) => self.as_root(tier, root),
                Err(reason) => return Outcome::Skipped(reason),
            },
            (Tier::Kernel | Tier::Lab, Some((version, processor))) => {
                match self.machine(version, processor) {
                    Ok(machine) => self.in_machine(tier, &machine),
                    Err(reason) => return Outcome::Skipped(reason),
                }
            }
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

    fn require_tools(&self) -> Result<(), String> {
        self.tools
            .map_or(Ok(()), Tools::require)
            .map_err(|error| error.to_string())
    }

    /// How to become root for the root tiers, or why they cannot run.
    fn root(&self) -> Result<Root, String> {
        self.require_tools()?;
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

    /// The virtual machine, or why there is none.
    fn machine(&self, version: &str, processor: vm::Processor) -> Result<vm::Machine, String> {
        self.require_tools()?;
        vm::Machine::prepare(self.workspace, version, processor).map_err(|error| format!("{error:#}"))
    }

    /// Runs a root tier in the virtual machine, where it is root.
    fn in_machine(&self, tier: Tier, machine: &vm::Machine) -> anyhow::Result<()> {
        let programs = build::run(self.workspace, build::Profile::Debug)?;
        let mut test = self.workspace.cargo();
        test.args(["test", "--workspace", "--test", tier.name(), "--no-run"])
            .args(["--message-format", "json-render-diagnostics"])
            .stderr(Stdio::inherit());
        let messages = command::capture(&mut test)?;
        let program = messages
            .lines()
            .find_map(|message| executable(message, tier.name()))
            .context("cargo named no test program")?;
        println!("=== test: {tier} on Linux {} ===", machine.release());
        let mut arguments = tier.arguments().to_vec();
        arguments.extend(self.arguments.iter().map(String::as_str));
        let job = vm::Job {
            name: tier.name(),
            program: Path::new(program),
            arguments,
            environment: vec![("SHUNT_BIN", &programs.shunt), ("SHUNT_LAB_BIN", &programs.lab)],
            limit: tier.limit_in_machine(),
        };
        machine.run(self.workspace, &job)
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

    /// The longest time that an emulated machine gets: several times what it needs.
    fn limit_in_machine(self) -> Duration {
        const MINUTE: u64 = 60;
        Duration::from_secs(match self {
            Self::Unit | Self::Kernel => 60 * MINUTE,
            Self::Lab => 240 * MINUTE,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Kernel => "kernel",
            Self::Lab => "lab",
        }
    }
}

/// The program in a cargo message about the test target of this name.
fn executable<'a>(message: &'a str, target: &str) -> Option<&'a str> {
    if !message.contains(r#""kind":["test"]"#) || !message.contains(&format!("\"name\":\"{target}\"")) {
        return None;
    }
    let (_, rest) = message.split_once("\"executable\":\"")?;
    rest.split_once('"').map(|(path, _)| path)
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
