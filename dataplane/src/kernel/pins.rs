// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pins: `ROOT/v{MAP_ABI}/maps/` and `ROOT/v{MAP_ABI}/links/`.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dataplane_common::{Hook, MAP_ABI};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

/// The pins of one node. Several nodes on one machine have a root each.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum PinsError {
    #[error(
        "{} is not on a BPF file system, and mounting one failed: {source}: mount it (`mount -t bpf bpf /sys/fs/bpf`) \
         or name another folder with --bpf-root", path.display()
    )]
    NotBpf { path: PathBuf, source: nix::Error },
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl Pins {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of this version's maps and links.
    pub fn version(&self) -> PathBuf {
        self.root.join(format!("v{MAP_ABI}"))
    }

    pub fn maps(&self) -> PathBuf {
        self.version().join("maps")
    }

    pub fn links(&self) -> PathBuf {
        self.version().join("links")
    }

    pub fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// The link of a hook of a device. By number: a device may be renamed, and a name used again.
    pub fn link(&self, ifindex: u32, hook: Hook) -> PathBuf {
        self.links().join(format!("{ifindex}-{}", hook.as_str()))
    }

    /// Where a link is that is about to take its place.
    pub(super) fn new_link(&self, ifindex: u32, hook: Hook) -> PathBuf {
        self.links().join(format!("{ifindex}-new-{}", hook.as_str()))
    }

    /// The link of a socket call.
    pub fn socket_link(&self, call: &str) -> PathBuf {
        self.links().join(call)
    }

    /// Makes the folders, on a BPF file system: where there is none, one is mounted at the root
    /// (or, for the usual root below /sys/fs/bpf, there).
    pub fn prepare(&self) -> Result<(), PinsError> {
        let standard = Path::new("/sys/fs/bpf");
        let mount_point = if self.root.starts_with(standard) {
            standard
        } else {
            &self.root
        };
        if mount_point == self.root {
            create(&self.root)?;
        }
        if !is_bpf(mount_point) {
            let none: Option<&str> = None;
            mount(Some("bpf"), mount_point, Some("bpf"), MsFlags::empty(), none).map_err(|source| {
                PinsError::NotBpf {
                    path: mount_point.to_owned(),
                    source,
                }
            })?;
            tracing::info!(path = %mount_point.display(), "mounted a BPF file system");
        }
        create(&self.maps())?;
        create(&self.links())
    }

    /// Whether an agent of this version has run here.
    pub fn exist(&self) -> bool {
        self.map("config").exists()
    }

    /// Removes what agents of other versions have pinned, and with it their programs where links attach them (filters
    /// are replaced). Returns the names of the removed folders.
    pub fn remove_others(&self) -> Result<Vec<String>, PinsError> {
        let own = self.version();
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let others = entries.filter(|entry| entry.path() != own && is_version(&entry.file_name()));
        others
            .map(|entry| {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(|source| not_removed(path, source))?;
                Ok(entry.file_name().to_string_lossy().into_owned())
            })
            .collect()
    }

    /// Removes the folders of this version, and the root if nothing else is in it.
    pub fn remove(&self) -> Result<(), PinsError> {
        for folder in [self.links(), self.maps()] {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                fs::remove_file(&path).map_err(|source| not_removed(path, source))?;
            }
        }
        for folder in [self.links(), self.maps(), self.version(), self.root.clone()] {
            match fs::remove_dir(&folder) {
                Err(source) if !is_expected(&source) => {
                    return Err(not_removed(folder, source));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn not_removed(path: PathBuf, source: io::Error) -> PinsError {
    PinsError::Io {
        action: "remove",
        path,
        source,
    }
}

/// Whether a folder is named as those of versions are.
fn is_version(name: &OsStr) -> bool {
    let number = name.to_str().and_then(|name| name.strip_prefix('v'));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Not there, not empty (another version's), or a mount point (the lab's, or a container's).
fn is_expected(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::ResourceBusy
    )
}

/// Whether a path is on a BPF file system.
pub fn is_bpf(path: &Path) -> bool {
    let existing = path.ancestors().find(|ancestor| ancestor.exists());
    existing.is_some_and(|path| statfs(path).is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC))
}

fn create(folder: &Path) -> Result<(), PinsError> {
    fs::create_dir_all(folder).map_err(|source| PinsError::Io {
        action: "create",
        path: folder.to_owned(),
        source,
    })
}
