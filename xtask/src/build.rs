// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask build`: the programs a person or a root test runs.

use std::path::PathBuf;

use crate::command;
use crate::workspace::Workspace;

/// The programs of one build.
pub(crate) struct Programs {
    pub(crate) shunt: PathBuf,
    pub(crate) lab: PathBuf,
    pub(crate) bench: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// For tests: with overflow checks and assertions, and already built once the unit tests have run.
    Debug,
    /// For use.
    Release,
    /// For use, and the bench as well.
    Bench,
}

pub(crate) fn run(workspace: &Workspace, profile: Profile) -> anyhow::Result<Programs> {
    let mut build = workspace.cargo();
    build.args(["build", "--bins"]);
    match profile {
        // The whole workspace, as for the tests: with fewer packages, dependencies have fewer features, and cargo
        // would build the large ones a second time.
        Profile::Debug => build.arg("--workspace"),
        Profile::Release => build.args(["--package", "dataplane", "--package", "lab", "--release"]),
        Profile::Bench => build.args(["--workspace", "--exclude", "xtask", "--release"]),
    };
    command::show(&mut build)?;
    let folder = workspace.target().join(match profile {
        Profile::Debug => "debug",
        Profile::Release | Profile::Bench => "release",
    });
    Ok(Programs {
        shunt: folder.join("shunt"),
        lab: folder.join("shunt-lab"),
        bench: folder.join("shunt-bench"),
    })
}
