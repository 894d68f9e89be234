// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attaches the programs for processes' socket calls to the node's cgroup, by pinned links.
//!
//! Every supported kernel has cgroup links (Linux 5.7), so this is the only way to attach them.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aya::programs::links::FdLink;
use aya::programs::{CgroupAttachMode, CgroupSock, CgroupSockAddr, Program, ProgramError, ProgramFd};

use super::pins::Pins;
use super::programs::{LoadError, Programs};
use super::syscall::{detach_link, link_cgroup, update_link};

/// The programs, and the pins of their links, by the kernel's names of the calls.
const CALLS: [&str; 9] = [
    "connect4",
    "connect6",
    "sendmsg4",
    "sendmsg6",
    "recvmsg4",
    "recvmsg6",
    "getpeername4",
    "getpeername6",
    "sock_release",
];

#[derive(Debug, thiserror::Error)]
pub enum SocketsError {
    #[error(
        "cannot open the cgroup {}: {source}: name the node's cgroup2 folder with --cgroup-root, or start \
         with --socket-lb=off, without Services for the node's own processes", path.display()
    )]
    Cgroup { path: PathBuf, source: io::Error },
    #[error(
        "cannot attach {call} to the cgroup {}: {reason}: another program there may forbid more than one \
         (`bpftool cgroup tree`): remove it, or start with --socket-lb=off", path.display()
    )]
    Attach {
        call: &'static str,
        path: PathBuf,
        reason: String,
    },
    #[error("cannot pin the link of {call}: {reason}")]
    Pin { call: &'static str, reason: String },
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl Programs {
    /// Attaches to a cgroup, for all sockets made below it. Programs of an earlier agent on that cgroup
    /// are replaced atomically, on another one afterwards.
    pub fn attach_sockets(&mut self, cgroup: &Path) -> Result<(), SocketsError> {
        let failed = |source| SocketsError::Cgroup {
            path: cgroup.to_owned(),
            source,
        };
        let folder = File::open(cgroup).map_err(failed)?;
        // What the kernel calls the cgroup's id is the inode of its folder.
        let id = folder.metadata().map_err(failed)?.ino();
        for call in CALLS {
            self.attach_call(call, cgroup, &folder, id)?;
        }
        Ok(())
    }

    /// Loads the programs for socket calls and attaches none, for a test that asks the verifier.
    pub fn load_sockets(&mut self) -> Result<(), LoadError> {
        CALLS
            .into_iter()
            .try_for_each(|call| self.socket_program(call).map(drop))
    }

    fn attach_call(
        &mut self,
        call: &'static str,
        cgroup: &Path,
        folder: &File,
        id: u64,
    ) -> Result<(), SocketsError> {
        let pin = self.pins().socket_link(call);
        let beside = self.pins().socket_link(&format!("new-{call}"));
        let mut program = self.socket_program(call)?;
        let failed = |reason: anyhow::Error| SocketsError::Attach {
            call,
            path: cgroup.to_owned(),
            reason: format!("{reason:#}"),
        };
        let fd = program.fd().map_err(|error| failed(error.into()))?;
        // A link whose cgroup was removed names none and cannot be updated.
        if link_cgroup(&pin).is_ok_and(|of| of == id) && update_link(&pin, fd.as_fd()).is_ok() {
            return Ok(());
        }
        let link = program.attach(folder).map_err(failed)?;
        let refused = |reason: anyhow::Error| SocketsError::Pin {
            call,
            reason: format!("{reason:#}"),
        };
        // The new one works before the old one goes. For a moment both do, and a socket that is connected
        // then may forget the name of its peer, but reaches it.
        let _ = fs::remove_file(&beside);
        link.pin(&beside).map_err(|error| refused(error.into()))?;
        let _ = detach_link(&pin);
        fs::rename(&beside, &pin).map_err(|error| refused(error.into()))
    }

    fn socket_program(&mut self, name: &'static str) -> Result<OnCgroup<'_>, LoadError> {
        let mut program = match self.ebpf().program_mut(name) {
            Some(Program::CgroupSockAddr(program)) => OnCgroup::Address(program),
            Some(Program::CgroupSock(program)) => OnCgroup::Socket(program),
            _ => return Err(LoadError::Missing { name }),
        };
        match program.load() {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(program),
            Err(source) => Err(LoadError::Program { name, source }),
        }
    }
}

/// A program that goes on a cgroup.
enum OnCgroup<'a> {
    /// For calls that name an address.
    Address(&'a mut CgroupSockAddr),
    /// For a socket's end.
    Socket(&'a mut CgroupSock),
}

impl OnCgroup<'_> {
    fn load(&mut self) -> Result<(), ProgramError> {
        match self {
            Self::Address(program) => program.load(),
            Self::Socket(program) => program.load(),
        }
    }

    fn fd(&self) -> Result<&ProgramFd, ProgramError> {
        match self {
            Self::Address(program) => program.fd(),
            Self::Socket(program) => program.fd(),
        }
    }

    /// `Single` is what links are given: the kernel then allows several programs anyway, and refuses a flag
    /// that says so.
    fn attach(&mut self, cgroup: &File) -> anyhow::Result<FdLink> {
        let mode = CgroupAttachMode::Single;
        let link = match self {
            Self::Address(program) => program
                .attach(cgroup, mode)
                .and_then(|id| program.take_link(id))
                .map(FdLink::try_from),
            Self::Socket(program) => program
                .attach(cgroup, mode)
                .and_then(|id| program.take_link(id))
                .map(FdLink::try_from),
        };
        Ok(link??)
    }
}

/// Detaches the programs of socket calls, if there are any; how many there were.
pub fn detach_sockets(pins: &Pins) -> Result<usize, SocketsError> {
    let mut detached = 0;
    for call in CALLS {
        let pin = pins.socket_link(call);
        if pin.exists() {
            // It fails if the cgroup, and the link with it, is gone already.
            let _ = detach_link(&pin);
            fs::remove_file(&pin).map_err(|error| SocketsError::Pin {
                call,
                reason: error.to_string(),
            })?;
            detached += 1;
        }
    }
    Ok(detached)
}

/// The cgroup (the inode of its folder) that all the programs of socket calls are on.
pub fn sockets_cgroup(pins: &Pins) -> Option<u64> {
    let mut cgroups = CALLS.map(|call| link_cgroup(&pins.socket_link(call)).ok());
    cgroups.sort_unstable();
    match cgroups {
        [Some(first), .., Some(last)] if first == last && first != 0 => Some(first),
        _ => None,
    }
}
