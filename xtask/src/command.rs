// SPDX-License-Identifier: MIT OR Apache-2.0
//! Running other programs: with their output shown, or kept for the error message, with and without a time limit.

use std::env;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

const POLL: Duration = Duration::from_millis(50);

/// Runs with the terminal's input and output.
pub(crate) fn show(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start {}", text(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", text(command));
    }
    Ok(())
}

/// As [`show`], for programs that may hang: they are stopped after `limit`.
pub(crate) fn show_within(command: &mut Command, limit: Duration) -> anyhow::Result<()> {
    let child = command
        .spawn()
        .with_context(|| format!("start {}", text(command)))?;
    let status = wait_within(child, limit, command)?.status;
    if !status.success() {
        bail!("{} ended with {status}", text(command));
    }
    Ok(())
}

/// Runs quietly and returns the output. The error contains the program's last message.
pub(crate) fn capture(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", text(command)))?;
    if !output.status.success() {
        bail!(
            "{} ended with {}: {}",
            text(command),
            output.status,
            complaint(&output)
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of {}", text(command)))
}

/// As [`capture`], for programs that may wait for a network: they are stopped after `limit`. Only for short outputs:
/// nothing is read before the program ends.
pub(crate) fn capture_within(command: &mut Command, limit: Duration) -> anyhow::Result<String> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", text(command)))?;
    let output = wait_within(child, limit, command)?;
    if !output.status.success() {
        bail!(
            "{} ended with {}: {}",
            text(command),
            output.status,
            complaint(&output)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn wait_within(mut child: Child, limit: Duration, command: &Command) -> anyhow::Result<Output> {
    let end = Instant::now() + limit;
    while child.try_wait()?.is_none() {
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            bail!(
                "{} did not end within {} s and was stopped",
                text(command),
                limit.as_secs()
            );
        }
        thread::sleep(POLL);
    }
    Ok(child.wait_with_output()?)
}

/// A word for a shell, whatever it contains.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Where a program is on `PATH`.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The command as typed, without the dozen options `-oNAME=VALUE` that keep apt to our folder: they are never the
/// reason for a failure.
fn text(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .filter(|word| !word.starts_with("-o"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The last line that is not empty: the tools that we run print the reason there.
fn complaint(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let line = stderr.lines().rev().find(|line| !line.trim().is_empty());
    line.unwrap_or("no reason given").trim().to_owned()
}
