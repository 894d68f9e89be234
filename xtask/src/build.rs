// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask build`: the programs a person or a root test runs.

use std::path::PathBuf;

use crate::command;
use crate::workspace::Workspace;

/// The release programs.
pub(crate) struct Programs {
    pub(crate) shunt: PathBuf,
    pub(crate) lab: PathBuf,
}

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<Programs> {
    let mut build = workspace.cargo();
    build.args([
        "build",
        "--release",
        "--package",
        "dataplane",
        "--package",
        "lab",
        "--bins",
    ]);
    command::show(&mut build)?;
    let folder = workspace.target().join("release");
    Ok(Programs {
        shunt: folder.join("shunt"),
        lab: folder.join("shunt-lab"),
    })
}
