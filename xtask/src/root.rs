// SPDX-License-Identifier: MIT OR Apache-2.0
//! Running programs as root: directly, or through sudo.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use anyhow::bail;

use crate::command;

/// How this user becomes root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    Already,
    Sudo,
}

impl Root {
    /// For a user at a terminal: sudo may ask for a password.
    pub(crate) fn interactive() -> anyhow::Result<Self> {
        if is_root() {
            return Ok(Self::Already);
        }
        if command::on_path("sudo").is_none() {
            bail!("this needs root, and sudo is not installed: run it as root");
        }
        Ok(Self::Sudo)
    }

    /// For scripts: only if sudo asks for nothing.
    pub(crate) fn silent() -> Option<Self> {
        if is_root() {
            return Some(Self::Already);
        }
        let mut sudo = Command::new("sudo");
        sudo.args(["--non-interactive", "true"])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        sudo.status()
            .is_ok_and(|status| status.success())
            .then_some(Self::Sudo)
    }

    /// The words before a command that runs it as root.
    pub(crate) fn prefix(self) -> &'static [&'static str] {
        match self {
            Self::Already => &[],
            Self::Sudo => &["sudo", "--preserve-env"],
        }
    }

    pub(crate) fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match self.prefix() {
            [] => Command::new(program),
            [sudo, options @ ..] => {
                let mut command = Command::new(sudo);
                command.args(options).arg(program);
                command
            }
        }
    }
}

/// The owner of our own /proc entry is the effective user.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}
