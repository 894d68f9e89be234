// SPDX-License-Identifier: MIT OR Apache-2.0
//! The folder of a lab: everything it makes outside its namespaces lives here, under the lab's own id, so
//! that several labs run side by side.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::mount::{MsFlags, mount};

use crate::error::{Doing, Error, Result};

/// Where all labs of this machine live.
pub const LABS: &str = "/run/shunt-lab";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabFolder {
    root: PathBuf,
}

impl LabFolder {
    /// Makes the folder of a new lab, owned by this process, with a bpffs of its own.
    pub fn create() -> Result<Self> {
        static LABS_OF_THIS_PROCESS: AtomicU32 = AtomicU32::new(1);
        let number = LABS_OF_THIS_PROCESS.fetch_add(1, Ordering::Relaxed);
        let folder = Self::with_id(&format!("{}-{number}", process::id()));
        for path in [
            &folder.root,
            &folder.netns(),
            &folder.bpf(),
            &folder.manifests(),
            &folder.logs(),
        ] {
            fs::create_dir_all(path).doing(|| format!("making {} (the lab needs root)", path.display()))?;
        }
        let owner = Owner::this_process()?;
        fs::write(folder.owner_file(), owner.to_text()).doing(|| "noting the lab's owner".to_owned())?;
        // glibc must ask the name server of resolv.conf, whatever this machine does.
        fs::write(folder.nsswitch(), "hosts: files dns\n").doing(|| "writing nsswitch.conf".to_owned())?;
        mount(
            Some("bpf"),
            &folder.bpf(),
            Some("bpf"),
            MsFlags::empty(),
            Some("mode=0700"),
        )
        .doing(|| format!("mounting bpffs at {}", folder.bpf().display()))?;
        Ok(folder)
    }

    fn with_id(id: &str) -> Self {
        Self {
            root: Path::new(LABS).join(id),
        }
    }

    /// All labs of this machine, dead ones too.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir(LABS) else {
            return Vec::new();
        };
        let mut folders: Vec<_> = entries
            .flatten()
            .map(|entry| Self { root: entry.path() })
            .collect();
        folders.sort_by(|a, b| a.root.cmp(&b.root));
        folders
    }

    /// The lab with this id, if there is one.
    #[must_use]
    pub fn find(id: &str) -> Option<Self> {
        Self::all().into_iter().find(|folder| folder.id() == id)
    }

    #[must_use]
    pub fn id(&self) -> String {
        self.root
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    #[must_use]
    pub fn netns(&self) -> PathBuf {
        self.root.join("netns")
    }

    /// The lab's bpffs; every node has a folder of its own in it.
    #[must_use]
    pub fn bpf(&self) -> PathBuf {
        self.root.join("bpf")
    }

    #[must_use]
    pub fn manifests(&self) -> PathBuf {
        self.root.join("manifests")
    }

    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    #[must_use]
    pub fn resolv_conf(&self, pod: &str) -> PathBuf {
        self.root.join(format!("resolv-{pod}.conf"))
    }

    #[must_use]
    pub fn nsswitch(&self) -> PathBuf {
        self.root.join("nsswitch.conf")
    }

    /// Leaves the lab up when its owner ends.
    pub fn keep(&self) -> Result<()> {
        fs::write(self.owner_file(), KEPT).doing(|| "marking the lab as kept".to_owned())
    }

    /// Whether nobody needs the lab any more: its owner ended, and did not ask to keep it.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        match fs::read_to_string(self.owner_file()) {
            Ok(text) if text == KEPT => false,
            Ok(text) => Owner::from_text(&text).is_none_or(|owner| !owner.is_alive()),
            Err(_) => true,
        }
    }

    fn owner_file(&self) -> PathBuf {
        self.root.join("owner")
    }
}

const KEPT: &str = "kept";

/// A process, told from a later one with the same number by its start time.
#[derive(Debug, PartialEq, Eq)]
struct Owner {
    pid: u32,
    started: u64,
}

impl Owner {
    fn this_process() -> Result<Self> {
        let pid = process::id();
        let started =
            start_time(pid).ok_or_else(|| Error::Failed("cannot read /proc/self/stat".to_owned()))?;
        Ok(Self { pid, started })
    }

    fn to_text(&self) -> String {
        format!("{} {}", self.pid, self.started)
    }

    fn from_text(text: &str) -> Option<Self> {
        let (pid, started) = text.split_once(' ')?;
        Some(Self {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
    }

    fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }
}

/// Field 22 of `/proc/pid/stat`; the name in field 2 may hold spaces, so count from behind it.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_distinguished_from_a_later_process_with_its_number() {
        let this = Owner::this_process().unwrap();
        assert!(this.is_alive());
        assert_eq!(Owner::from_text(&this.to_text()).as_ref(), Some(&this));
        assert!(
            !Owner {
                started: this.started + 1,
                ..this
            }
            .is_alive()
        );
    }
}
