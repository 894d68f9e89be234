// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask gen`: files in the repository that are generated from code, so that they cannot contradict it.

mod cli;

use std::fs;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::workspace::Workspace;

#[derive(Args)]
pub(crate) struct Options {
    /// Writes nothing, and fails if a file differs from what would be written.
    #[arg(long)]
    pub(crate) check: bool,
}

/// A file, relative to the workspace, and the function that generates its text.
struct Generated {
    path: &'static str,
    text: fn(&Workspace) -> anyhow::Result<String>,
}

const FILES: [Generated; 1] = [Generated {
    path: "docs/cli.md",
    text: cli::markdown,
}];

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let mut stale = Vec::new();
    for file in &FILES {
        let path = workspace.root().join(file.path);
        let wanted = (file.text)(workspace).with_context(|| format!("generate {}", file.path))?;
        if fs::read_to_string(&path).is_ok_and(|current| current == wanted) {
            continue;
        }
        if options.check {
            stale.push(file.path);
            continue;
        }
        fs::write(&path, wanted).with_context(|| format!("write {}", path.display()))?;
        println!("gen: wrote {}", file.path);
    }
    if !stale.is_empty() {
        bail!(
            "out of date: {}: run `cargo xtask gen` and commit the result",
            stale.join(", ")
        );
    }
    Ok(())
}
