// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel tells of a directory.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, InotifyEvent};
use tokio::io::unix::AsyncFd;

use super::document::is_manifest;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileChange {
    File(String, FileEvent),
    /// Too much to be told one by one, or all at once by a symbolic link (the way ConfigMaps are mounted).
    Everything,
    /// The directory itself went away.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileEvent {
    /// It is there, perhaps still being written.
    Created,
    /// It is there and whole.
    Complete,
    Removed,
}

pub(super) struct Inotify(AsyncFd<Descriptor>);

struct Descriptor(nix::sys::inotify::Inotify);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Inotify {
    pub(super) fn watch(directory: &Path) -> io::Result<Self> {
        let inotify = nix::sys::inotify::Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let interest = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        inotify.add_watch(directory, interest)?;
        // SAFETY: the descriptor is open and owned by `Descriptor`, which the `AsyncFd` owns and never lends
        // mutably; it is closed when both are dropped, and `as_raw_fd` returns no other.
        let registered = unsafe { AsyncFd::register(Descriptor(inotify)) };
        Ok(Self(registered?))
    }

    /// Waits until something happens.
    pub(super) async fn next(&self) -> io::Result<Vec<FileChange>> {
        loop {
            let mut guard = self.0.readable().await?;
            match guard.get_inner().0.read_events() {
                Ok(events) => return Ok(events.iter().filter_map(seen).collect()),
                Err(Errno::EAGAIN) => guard.clear_ready(),
                Err(failure) => return Err(failure.into()),
            }
        }
    }
}

fn seen(event: &InotifyEvent) -> Option<FileChange> {
    let is = |flags| event.mask.intersects(flags);
    if is(AddWatchFlags::IN_Q_OVERFLOW) {
        return Some(FileChange::Everything);
    }
    if is(AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_IGNORED) {
        return Some(FileChange::Gone);
    }
    let name = event.name.as_ref()?.to_str()?;
    if name == "..data" {
        return Some(FileChange::Everything);
    }
    let event = if is(AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO) {
        FileEvent::Complete
    } else if is(AddWatchFlags::IN_CREATE) {
        FileEvent::Created
    } else {
        FileEvent::Removed
    };
    is_manifest(name).then(|| FileChange::File(name.to_owned(), event))
}
