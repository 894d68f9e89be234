// SPDX-License-Identifier: MIT OR Apache-2.0
//! bpf-linker, at the version whose LLVM is the pinned rustc's.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::command;
use crate::workspace::Workspace;

/// Built with LLVM 22, like rustc 1.95; the next ones want an LLVM installed on the system.
const VERSION: &str = "0.10.4";

/// Installs bpf-linker under the tools folder, unless this version is there or on `PATH`.
pub(super) fn ensure(workspace: &Workspace) -> anyhow::Result<Option<String>> {
    let own = workspace.tools().join("bin/bpf-linker");
    if is_current(&own) || command::on_path("bpf-linker").is_some_and(|found| is_current(&found)) {
        return Ok(None);
    }
    eprintln!("setup: building bpf-linker {VERSION} (once, a few minutes)");
    let mut install = workspace.cargo();
    install
        .args([
            "install",
            "bpf-linker",
            "--version",
            VERSION,
            "--locked",
            "--quiet",
            "--force",
            "--root",
        ])
        .arg(workspace.tools())
        // Not into the folder of the build that may be running, which holds its lock.
        .env_remove("CARGO_TARGET_DIR");
    command::capture(&mut install).context(
        "cargo could not install it: see that the crate registry can be reached, or put it on PATH",
    )?;
    Ok(Some(format!("built bpf-linker {VERSION} at {}", own.display())))
}

fn is_current(linker: &Path) -> bool {
    let output = Command::new(linker)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout)
            .split_whitespace()
            .any(|word| word == VERSION)
    })
}
