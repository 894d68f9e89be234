// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask setup`: installs what a Rust installation may lack for building the kernel programs.
//!
//! It prints nothing if nothing is missing, one line for each thing it installed, and one line with the fix for each
//! thing that it could not install. The other verbs that need the kernel programs run it first. For them a missing
//! tool is not an error by itself: the build leaves the kernel programs out, and only the steps that need them fail.

mod cargo_program;
mod library;
mod system_packages;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;

use self::cargo_program::CargoProgram;
pub(crate) use self::library::given_rust_src;
pub(crate) use self::system_packages::report_missing as report_missing_system_packages;
use crate::workspace::Workspace;

/// Built with LLVM 22, like rustc 1.95. Later versions need an LLVM that is installed on the system.
const BPF_LINKER: CargoProgram = CargoProgram {
    name: "bpf-linker",
    version: "0.10.4",
    debug: false,
};

const CARGO_DENY: CargoProgram = CargoProgram {
    name: "cargo-deny",
    version: "0.20.2",
    debug: true,
};

#[derive(Args)]
pub(crate) struct Options {
    /// Also installs this system's packages that tests use (nftables, iptables), with apt-get, as root or by sudo.
    #[arg(long)]
    system_packages: bool,
}

/// The tools for building the kernel programs, after [`tools`] has looked for them.
pub(crate) struct Tools {
    missing: Vec<&'static str>,
}

impl Tools {
    /// Fails if the kernel programs cannot be built.
    pub(crate) fn require(&self) -> anyhow::Result<()> {
        if self.missing.is_empty() {
            return Ok(());
        }
        bail!(
            "the kernel programs cannot be built without {} (see the setup line above)",
            self.missing.join(" and ")
        )
    }
}

/// The verb itself: fails if anything is still missing, so that a script notices.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let tools = tools(workspace);
    if options.system_packages {
        system_packages::install()?;
    }
    tools.require()
}

/// Installs the tools that are missing, under `target/` and in the Rust toolchain only.
pub(crate) fn tools(workspace: &Workspace) -> Tools {
    let mut missing = Vec::new();
    for (name, install) in [
        ("rust-src", library::ensure as fn(&Workspace) -> _),
        ("bpf-linker", |workspace| BPF_LINKER.ensure(workspace)),
    ] {
        match install(workspace) {
            Ok(None) => {}
            Ok(Some(done)) => eprintln!("setup: {done}"),
            Err(error) => {
                let error: anyhow::Error = error;
                eprintln!("setup: {name} is missing: {error:#}");
                missing.push(name);
            }
        }
    }
    Tools { missing }
}

/// The program `cargo-deny`, built first if it is missing. Only `ci` uses it.
pub(crate) fn cargo_deny(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    CARGO_DENY.ensure(workspace)?;
    CARGO_DENY
        .find(workspace)
        .context("cargo-deny was installed, but does not start")
}
