// SPDX-License-Identifier: MIT OR Apache-2.0
//! Takes a lab away: its processes, pins, namespaces (and with them all devices) and files.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process;
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cgroup;
use crate::error::{Doing, Result};
use crate::folder::LabFolder;
use crate::wait;

/// Removes a lab. What is gone already is no error, so a second removal does nothing.
pub fn remove(folder: &LabFolder) -> Result<()> {
    if !folder.root().exists() {
        return Ok(());
    }
    kill_processes_in(&folder.netns())?;
    for entry in fs::read_dir(folder.netns()).into_iter().flatten().flatten() {
        unmount(&entry.path());
    }
    unmount(&folder.bpf());
    if let Ok(cgroup) = cgroup::of_lab(&folder.id()) {
        cgroup::remove(&cgroup)?;
    }
    match fs::remove_dir_all(folder.root()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("removing {}", folder.root().display()))
        }
        _ => Ok(()),
    }
}

/// Removes every lab whose owner is gone. Returns the ids.
pub fn remove_dead() -> Result<Vec<String>> {
    let dead: Vec<_> = LabFolder::all().into_iter().filter(LabFolder::is_dead).collect();
    dead.iter().try_for_each(remove)?;
    Ok(dead.iter().map(LabFolder::id).collect())
}

/// Kills and ends every process whose network namespace is one of those held in the folder. That covers
/// programs started by programs, without any bookkeeping that could be lost.
fn kill_processes_in(netns_folder: &Path) -> Result<()> {
    let namespaces = namespaces_in(netns_folder);
    wait::until_within(Duration::from_secs(5), "the lab's processes to end", || {
        let alive = processes_inside(&namespaces);
        for &pid in &alive {
            // Gone meanwhile is what we want.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        if alive.is_empty() {
            Ok(())
        } else {
            Err(format!("still there: {alive:?}"))
        }
    })
}

/// Kills what runs in one namespace, and lets the namespace go.
pub(crate) fn remove_namespace(path: &Path) -> Result<()> {
    let only: BTreeSet<_> = identity(path).into_iter().collect();
    for pid in processes_inside(&only) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    unmount(path);
    fs::remove_file(path).doing(|| format!("removing {}", path.display()))
}

type NamespaceId = (u64, u64);

fn namespaces_in(folder: &Path) -> BTreeSet<NamespaceId> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| identity(&entry.path())).collect()
}

fn processes_inside(namespaces: &BTreeSet<NamespaceId>) -> Vec<i32> {
    let own = process::id().cast_signed();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|&pid| pid != own)
        .filter(|pid| {
            identity(Path::new(&format!("/proc/{pid}/ns/net"))).is_some_and(|id| namespaces.contains(&id))
        })
        .collect()
}

fn identity(namespace: &Path) -> Option<NamespaceId> {
    let metadata = fs::metadata(namespace).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn unmount(path: &Path) {
    // Not mounted (any more) is fine; a real leftover shows when its folder cannot be removed.
    let _ = umount2(path, MntFlags::MNT_DETACH);
}
