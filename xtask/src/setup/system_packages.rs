// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs of the system that lab tests run beside Shunt. No build needs them: a test whose program is missing is
//! skipped and says so. They are installed only by `cargo xtask setup --system-packages`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::command;
use crate::root::Root;

/// The programs, and the packages that contain them on Debian and most other distributions.
const PROGRAMS: [(&str, &str); 2] = [("nft", "nftables"), ("iptables", "iptables")];
const LIMIT: Duration = Duration::from_secs(300);

/// Names the missing packages and the command that installs them.
pub(crate) fn report_missing() {
    let missing = missing();
    if !missing.is_empty() {
        eprintln!(
            "setup: the lab skips its tests beside a firewall, because these packages are not installed: {}. \
             `cargo xtask setup --system-packages` installs them",
            missing.join(", ")
        );
    }
}

/// Installs the missing packages with apt-get.
pub(super) fn install() -> anyhow::Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if command::on_path("apt-get").is_none() {
        bail!("this system has no apt-get: install {packages} by its own package manager");
    }
    let root = Root::interactive()?;
    eprintln!("setup: apt-get install {packages}");
    let apt = |arguments: &[&str]| {
        let mut command = root.command("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command::capture_within(&mut command, LIMIT)
    };
    let wanted = [
        &["-qq", "install", "--yes", "--no-install-recommends"],
        missing.as_slice(),
    ]
    .concat();
    if apt(&wanted).is_err() {
        // A new machine has no package lists yet.
        apt(&["-qq", "update"])?;
        apt(&wanted).with_context(|| format!("install {packages}"))?;
    }
    eprintln!("setup: installed {packages}");
    Ok(())
}

fn missing() -> Vec<&'static str> {
    PROGRAMS
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect()
}

/// A user's `PATH` may leave out the folders of such programs.
fn is_there(program: &str) -> bool {
    command::on_path(program).is_some()
        || ["/usr/sbin", "/sbin"]
            .iter()
            .any(|folder| Path::new(folder).join(program).is_file())
}
