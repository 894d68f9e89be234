// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes of a directory, as inotify(7) reports them.

use std::io;
use std::path::Path;

use futures::StreamExt as _;
use futures::stream::ReadyChunks;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchMask};

use super::document::is_manifest;

/// Room for a few hundred events.
const BUFFER: usize = 1 << 14;
/// Events that are there already are returned together.
const AT_A_TIME: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileChange {
    File(String, FileEvent),
    /// Some events were lost, or a symbolic link replaced everything at once (as ConfigMaps are mounted).
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

pub(super) struct FileChanges(ReadyChunks<EventStream<Vec<u8>>>);

impl FileChanges {
    pub(super) fn watch(directory: &Path) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let interest = WatchMask::CREATE
            | WatchMask::CLOSE_WRITE
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        inotify.watches().add(directory, interest)?;
        let events = inotify.into_event_stream(vec![0; BUFFER])?;
        Ok(Self(events.ready_chunks(AT_A_TIME)))
    }

    /// Waits until something changes.
    pub(super) async fn next(&mut self) -> io::Result<Vec<FileChange>> {
        let events = self.0.next().await.ok_or(io::ErrorKind::UnexpectedEof)?;
        let changes = events.into_iter().map(|event| event.map(file_change));
        changes.filter_map(Result::transpose).collect()
    }
}

fn file_change(event: EventOwned) -> Option<FileChange> {
    let is = |flags| event.mask.intersects(flags);
    if is(EventMask::Q_OVERFLOW) {
        return Some(FileChange::Everything);
    }
    if is(EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::IGNORED) {
        return Some(FileChange::Gone);
    }
    let name = event.name?.into_string().ok()?;
    if name == "..data" {
        return Some(FileChange::Everything);
    }
    let event = if is(EventMask::CLOSE_WRITE | EventMask::MOVED_TO) {
        FileEvent::Complete
    } else if is(EventMask::CREATE) {
        FileEvent::Created
    } else {
        FileEvent::Removed
    };
    is_manifest(&name).then_some(FileChange::File(name, event))
}
