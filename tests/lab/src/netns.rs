// SPDX-License-Identifier: MIT OR Apache-2.0
//! A network namespace, held by a bind mount, entered by a thread of its own.
//!
//! Only the network namespace is entered, never a fresh `/sys` with it: that would hide bpffs and cgroups.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use crate::error::{Doing, Result};

#[derive(Debug)]
pub struct Netns {
    name: String,
    path: PathBuf,
    file: File,
}

impl Netns {
    /// Makes a namespace and holds it at `folder/name`. Loopback is still down: see [`crate::netlink`].
    pub fn create(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        File::create(&path).doing(|| format!("making {}", path.display()))?;
        on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).doing(|| format!("making namespace {name}"))?;
            mount(
                Some("/proc/thread-self/ns/net"),
                &path,
                None::<&str>,
                MsFlags::MS_BIND,
                None::<&str>,
            )
            .doing(|| format!("holding namespace {name} at {}", path.display()))
        })?;
        let file = File::open(&path).doing(|| format!("opening {}", path.display()))?;
        Ok(Self {
            name: name.to_owned(),
            path,
            file,
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Runs a closure inside. Sockets made there stay in the namespace wherever they are used later.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> Result<T> {
        on_own_thread(|| {
            self.enter()?;
            Ok(inside())
        })
    }

    /// Moves the calling thread inside, for good.
    pub fn enter(&self) -> Result<()> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).doing(|| format!("entering namespace {}", self.name))
    }

    /// Sets `/proc/sys/net/...` of the namespace.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.run(|| {
            settings.iter().try_for_each(|(key, value)| {
                std::fs::write(Path::new("/proc/sys/net").join(key), value)
                    .doing(|| format!("setting {key} to {value} in {}", self.name))
            })
        })?
    }

    /// Reads `/proc/sys/net/...` of the namespace.
    pub fn read_sysctl(&self, key: &str) -> Result<String> {
        self.run(|| {
            std::fs::read_to_string(Path::new("/proc/sys/net").join(key))
                .map(|text| text.trim().to_owned())
                .doing(|| format!("reading {key} in {}", self.name))
        })?
    }
}

/// `setns` and `unshare` change a thread for good, so each use takes a thread that ends right after.
fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
