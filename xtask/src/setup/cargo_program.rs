// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs from the crate registry, at one version each, built under `target/tools`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::command;
use crate::workspace::Workspace;

/// A package whose program has the package's name.
pub(super) struct CargoProgram {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// Builds without optimizations: for a program that does little, the build takes longer than its use.
    pub(super) debug: bool,
}

impl CargoProgram {
    /// The program, if this version is under `target/tools` or on `PATH`.
    pub(super) fn find(&self, workspace: &Workspace) -> Option<PathBuf> {
        let own = self.own(workspace);
        std::iter::once(own)
            .chain(command::on_path(self.name))
            .find(|program| self.is_current(program))
    }

    /// Builds the program, unless it is there.
    pub(super) fn ensure(&self, workspace: &Workspace) -> anyhow::Result<Option<String>> {
        if self.find(workspace).is_some() {
            return Ok(None);
        }
        let Self { name, version, .. } = self;
        eprintln!("setup: building {name} {version} (once, a few minutes)");
        let mut install = workspace.cargo();
        install
            .args(["install", name, "--version", version])
            .args(["--locked", "--quiet", "--force", "--root"])
            .arg(workspace.tools())
            .args(self.debug.then_some("--debug"))
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            // Not into the folder of a build that may be running and holds that folder's lock.
            .env_remove("CARGO_TARGET_DIR");
        command::capture(&mut install).context(
            "cargo could not install it: check that it reaches the crate registry, or put it on PATH",
        )?;
        Ok(Some(format!(
            "built {name} {version} at {}",
            self.own(workspace).display()
        )))
    }

    fn own(&self, workspace: &Workspace) -> PathBuf {
        workspace.tools().join("bin").join(self.name)
    }

    fn is_current(&self, program: &Path) -> bool {
        let output = Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .output();
        output.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout)
                .split_whitespace()
                .any(|word| word == self.version)
        })
    }
}
