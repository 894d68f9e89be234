// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask setup`: gets the two things a Rust installation may lack for building the kernel programs.
//!
//! Prints nothing when nothing is missing, one line for each thing done, and one line with the fix for each thing
//! that failed. A missing tool is not an error of the other verbs: without it the kernel programs are left out, and
//! only what needs them fails. `setup` itself fails, so that a script can tell.

pub(crate) mod firewalls;
mod library;
mod linker;
mod mirror;

use anyhow::bail;

use crate::workspace::Workspace;

/// What is there after `setup`.
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

/// Installs what is missing.
pub(crate) fn run(workspace: &Workspace) -> Tools {
    let mut missing = Vec::new();
    for (name, install) in [
        ("rust-src", library::ensure as fn(&Workspace) -> _),
        ("bpf-linker", linker::ensure),
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
