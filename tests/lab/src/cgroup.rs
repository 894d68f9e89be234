// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cgroup of its own for every node, as a node that is a machine or a container has: the agent meets the
//! socket calls of what is below it, and of nothing else on this machine.
//!
//! ```text
//! /sys/fs/cgroup[/unified]/shunt-lab-ID/node1          the agent and the node's own processes
//! /sys/fs/cgroup[/unified]/shunt-lab-ID/node1/pods     what runs in its pods
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use crate::error::{Doing, Error, Result};
use crate::wait;

/// Where cgroup2 is mounted, beside version 1 or alone.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

/// The cgroup of the lab with this id, whether there is one or not.
pub fn of_lab(id: &str) -> Result<PathBuf> {
    Ok(mount()?.join(format!("shunt-lab-{id}")))
}

fn mount() -> Result<&'static Path> {
    let is_cgroup2 =
        |path: &&&str| statfs(**path).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC);
    match MOUNTS.iter().find(is_cgroup2) {
        Some(mount) => Ok(Path::new(mount)),
        None => Err(Error::Failed(format!(
            "no cgroup2 file system at {}: mount one there (`mount -t cgroup2 none /sys/fs/cgroup/unified`)",
            MOUNTS.join(" or ")
        ))),
    }
}

/// Makes a cgroup and those above it.
pub fn create(cgroup: &Path) -> Result<()> {
    fs::create_dir_all(cgroup).doing(|| format!("making the cgroup {}", cgroup.display()))
}

/// Moves the calling process there.
pub fn join(cgroup: &Path) -> Result<()> {
    fs::write(cgroup.join("cgroup.procs"), "0").doing(|| format!("joining the cgroup {}", cgroup.display()))
}

/// The calling process in another cgroup, until this is dropped.
#[derive(Debug)]
pub struct Visit {
    home: PathBuf,
}

impl Visit {
    pub fn to(cgroup: &Path) -> Result<Self> {
        const OWN: &str = "/proc/self/cgroup";
        let text = fs::read_to_string(OWN).doing(|| format!("reading {OWN}"))?;
        // The line of cgroup2.
        let own = text.lines().find_map(|line| line.strip_prefix("0::/"));
        let home = mount()?.join(own.unwrap_or_default());
        join(cgroup)?;
        Ok(Self { home })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // A process that stays keeps the cgroup from being removed, and that is told.
        let _ = join(&self.home);
    }
}

/// Removes a cgroup and those below it, once what ran there has ended. One that is not there is no error.
pub fn remove(cgroup: &Path) -> Result<()> {
    wait::until_within(Duration::from_secs(5), "the lab's cgroups to be empty", || {
        remove_tree(cgroup).map_err(|error| format!("{}: {error}", cgroup.display()))
    })
}

fn remove_tree(cgroup: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(cgroup) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
