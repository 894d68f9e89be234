// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which cgroup is the node's: the one that holds all of its processes.
//!
//! A cgroup too far up is harmless: sockets of other network namespaces are distinguished by their namespace.
//! One too far down leaves processes unserved. So the highest cgroup in sight is taken:
//!
//! - on a machine, the root of its cgroup2 file system (`/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` beside
//!   version 1);
//! - in a node that is a container (kind), the root of the node's cgroup namespace, which is all it sees;
//! - in a pod, the node's `/sys/fs/cgroup` that is mounted into it: its own shows only itself.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

/// The inode of the machine's first cgroup namespace (`PROC_CGROUP_INIT_INO` of linux/proc_ns.h).
const FIRST_NAMESPACE: u64 = 0xeffffffb;

/// The node's cgroup, and why it is taken to be that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupRoot {
    pub path: PathBuf,
    pub reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `--cgroup-root`.
    Given,
    /// The root of the machine's cgroup2 file system.
    Machine,
    /// This many levels above the root of this process's cgroup namespace.
    Above(usize),
    /// The root of this process's cgroup namespace, which is not the machine's.
    Namespace,
}

#[derive(Debug, thiserror::Error)]
pub enum RootError {
    #[error("cannot read /proc/self/mountinfo: {0}: mount /proc")]
    Mounts(#[source] io::Error),
    #[error(
        "no cgroup2 file system is mounted: mount one (`mount -t cgroup2 none /sys/fs/cgroup/unified`), or the \
         node's /sys/fs/cgroup into this container, or name its folder with --cgroup-root"
    )]
    None,
    #[error("{} is not on a cgroup2 file system: name such a folder with --cgroup-root", _0.display())]
    NotCgroup2(PathBuf),
}

impl CgroupRoot {
    /// The folder that was named, or else the one found.
    pub fn find(given: Option<&Path>) -> Result<Self, RootError> {
        match given {
            Some(path) if is_cgroup2(path) => Ok(Self {
                path: path.to_owned(),
                reason: Reason::Given,
            }),
            Some(path) => Err(RootError::NotCgroup2(path.to_owned())),
            None => {
                let text = fs::read_to_string("/proc/self/mountinfo").map_err(RootError::Mounts)?;
                let mounts = mounts(&text).into_iter().filter(|mount| is_cgroup2(&mount.point));
                highest(mounts, in_first_namespace()).ok_or(RootError::None)
            }
        }
    }

    /// The inode of its folder, as links to it know it.
    pub fn id(&self) -> Option<u64> {
        fs::metadata(&self.path).ok().map(|folder| folder.ino())
    }

    /// Whether it may be one container's alone.
    pub fn is_doubtful(&self) -> bool {
        self.reason == Reason::Namespace
    }
}

impl fmt::Display for CgroupRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, ", self.path.display())?;
        match self.reason {
            Reason::Given => f.write_str("as given"),
            Reason::Machine => f.write_str("the root of this machine's cgroups"),
            Reason::Above(1) => f.write_str("one level above this container's cgroup"),
            Reason::Above(levels) => write!(f, "{levels} levels above this container's cgroup"),
            Reason::Namespace => f.write_str("the root of this container's cgroups"),
        }
    }
}

/// A mount of cgroup2.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// Levels above the root of this process's cgroup namespace; below it, less than 0.
    level: isize,
    point: PathBuf,
}

/// The cgroup2 mounts in a mountinfo file (proc_pid_mountinfo(5)).
fn mounts(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (mount, file_system) = line.split_once(" - ")?;
    if file_system.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    let level = root
        .split('/')
        .filter(|name| !name.is_empty())
        .map(|name| if name == ".." { 1 } else { -1 })
        .sum();
    Some(Mount {
        level,
        point: unescape(point),
    })
}

/// Spaces and the like stand as `\040`.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.first_chunk::<3>().filter(|_| *first == b'\\');
        let byte = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match byte {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// The highest mount; of several such, the first.
fn highest(mounts: impl Iterator<Item = Mount>, in_first_namespace: bool) -> Option<CgroupRoot> {
    let mount = mounts.reduce(|best, mount| if mount.level > best.level { mount } else { best })?;
    let reason = match usize::try_from(mount.level) {
        Ok(levels @ 1..) => Reason::Above(levels),
        _ if in_first_namespace => Reason::Machine,
        _ => Reason::Namespace,
    };
    Some(CgroupRoot {
        path: mount.point,
        reason,
    })
}

fn in_first_namespace() -> bool {
    // Where this cannot be read, there are no cgroup namespaces.
    fs::metadata("/proc/self/ns/cgroup").map_or(true, |namespace| namespace.ino() == FIRST_NAMESPACE)
}

fn is_cgroup2(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(mountinfo: &str, in_first_namespace: bool) -> Option<(String, Reason)> {
        highest(mounts(mountinfo).into_iter(), in_first_namespace)
            .map(|root| (root.path.display().to_string(), root.reason))
    }

    const PURE: &str = "\
22 1 0:20 / /proc rw - proc proc rw
30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
    const HYBRID: &str = "\
30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:27 / /sys/fs/cgroup/unified rw,relatime shared:10 - cgroup2 cgroup2 rw
32 30 0:28 / /sys/fs/cgroup/cpu rw,relatime shared:11 - cgroup cgroup rw,cpu";
    const POD: &str = "\
900 800 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw
910 800 0:26 /../../../.. /host/cgroup rw,nosuid master:9 - cgroup2 cgroup2 rw";

    #[test]
    fn on_a_machine_it_is_the_root() {
        assert_eq!(
            chosen(PURE, true),
            Some(("/sys/fs/cgroup".into(), Reason::Machine))
        );
        assert_eq!(
            chosen(HYBRID, true),
            Some(("/sys/fs/cgroup/unified".into(), Reason::Machine))
        );
    }

    #[test]
    fn in_a_node_that_is_a_container_it_is_the_root_of_its_namespace() {
        assert_eq!(
            chosen(PURE, false),
            Some(("/sys/fs/cgroup".into(), Reason::Namespace))
        );
    }

    #[test]
    fn in_a_pod_it_is_the_nodes_that_was_mounted_into_it() {
        assert_eq!(
            chosen(POD, false),
            Some(("/host/cgroup".into(), Reason::Above(4)))
        );
    }

    #[test]
    fn a_mounted_part_is_below_the_whole() {
        let text = "1 2 0:26 /kubepods /part rw - cgroup2 c rw\n3 4 0:26 / /whole\\040one rw - cgroup2 c rw";
        assert_eq!(chosen(text, true), Some(("/whole one".into(), Reason::Machine)));
    }

    #[test]
    fn without_cgroup2_there_is_none() {
        assert_eq!(
            chosen("30 23 0:26 / /sys/fs/cgroup rw - cgroup cgroup rw,cpu", true),
            None
        );
        assert_eq!(chosen("not a line of that file", true), None);
    }
}
