// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tools of the machine that some tests are about (`nft`, `iptables`), run inside a namespace. A test whose
//! tool is absent says so and ends; `cargo xtask setup --system-packages` installs them.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::{Doing, Error, Result};
use crate::netns::Netns;

/// Where such tools are, also where a user's `PATH` does not name it.
const SYSTEM: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// Finds a tool of this name.
#[must_use]
pub fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM.map(PathBuf::from));
    folders
        .map(|folder| folder.join(tool))
        .find(|path| path.is_file())
}

/// Whether the tool is there; if not, tells loudly which test does not run for want of it.
#[must_use]
pub fn is_there(tool: &str, test: &str) -> bool {
    let found = find(tool).is_some();
    if !found {
        eprintln!(
            "*** SKIPPED: {test}: this machine has no `{tool}`: `cargo xtask setup --system-packages` installs it ***"
        );
    }
    found
}

impl Netns {
    /// Runs a tool inside with this input, for its output.
    pub fn tool(&self, tool: &str, arguments: &[&str], input: &str) -> Result<String> {
        let doing = || format!("running {tool} {arguments:?} in {}", self.name());
        let program = find(tool).ok_or_else(|| Error::Failed(format!("no `{tool}` on this machine")))?;
        let start = || {
            Command::new(program)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
        };
        let mut child = self.run(start)?.doing(doing)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).doing(doing)?;
        }
        let output = child.wait_with_output().doing(doing)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::Failed(format!("{}: {}: {errors}", doing(), output.status)))
    }

    /// Puts an nftables ruleset in force, beside what there is.
    pub fn nft(&self, ruleset: &str) -> Result<()> {
        self.tool("nft", &["-f", "-"], ruleset).map(drop)
    }
}
