// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tools of firewalls, for the lab's tests of Shunt beside them. Nothing is built with them: without them
//! those tests are skipped, and say so.

use std::time::Duration;

use anyhow::bail;

use crate::command;
use crate::root::Root;

/// What is needed, and in which packages Debian has it; other distributions name them so, too.
const TOOLS: [(&str, &str); 2] = [("nft", "nftables"), ("iptables", "iptables")];
const LIMIT: Duration = Duration::from_secs(180);

/// Gets what is missing, where that needs no question: as root itself, with apt. Else says how to get it.
pub(crate) fn provide(root: Root) {
    let missing: Vec<&str> = TOOLS
        .iter()
        .filter(|(tool, _)| !is_there(tool))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return;
    }
    let packages = missing.join(" ");
    match install(root, &missing) {
        Ok(()) => eprintln!("setup: installed {packages}, for the lab"),
        Err(error) => eprintln!(
            "setup: {packages} missing, without which the lab skips its tests beside a firewall: {error:#}: \
             install these packages"
        ),
    }
}

fn install(root: Root, packages: &[&str]) -> anyhow::Result<()> {
    if root != Root::Already {
        bail!("not root, and not installed by sudo unasked");
    }
    if command::on_path("apt-get").is_none() {
        bail!("this is no Debian");
    }
    let apt = |arguments: &[&str]| {
        let mut command = root.command("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command::capture_within(&mut command, LIMIT)
    };
    let wanted = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    if apt(&wanted).is_err() {
        // A fresh machine knows of no packages.
        apt(&["update"])?;
        apt(&wanted)?;
    }
    Ok(())
}

/// A user's `PATH` may leave out where such tools are.
fn is_there(tool: &str) -> bool {
    command::on_path(tool).is_some()
        || ["/usr/sbin", "/sbin"]
            .iter()
            .any(|folder| std::path::Path::new(folder).join(tool).is_file())
}
