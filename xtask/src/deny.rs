// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo deny`: licences, sources and versions of dependencies, and known vulnerabilities.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::workspace::Workspace;
use crate::{command, setup};

const FETCH_LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let program = match setup::cargo_deny(workspace) {
        Ok(program) => program,
        Err(error) => {
            println!("*** SKIPPED: dependencies were not checked: {error:#} ***");
            return Ok(());
        }
    };
    command::show(deny(workspace, &program).args(["check", "bans", "licenses", "sources"]))?;
    // The database is a git repository, which not every CI machine can reach.
    match command::capture_within(deny(workspace, &program).args(["fetch", "db"]), FETCH_LIMIT) {
        Ok(_) => command::show(deny(workspace, &program).args(["--offline", "check", "advisories"])),
        Err(error) => {
            println!("*** SKIPPED: dependencies were not checked for known vulnerabilities: {error:#} ***");
            Ok(())
        }
    }
}

fn deny(workspace: &Workspace, program: &Path) -> Command {
    let mut deny = Command::new(program);
    deny.current_dir(workspace.root())
        .args(["--log-level", "error", "--locked"]);
    deny
}
