// SPDX-License-Identifier: MIT OR Apache-2.0
//! A directory of manifests instead of an API server: for a first try, for tests, for machines without a
//! cluster.
//!
//! Every `*.yaml`, `*.yml` and `*.json` file in it counts, except those whose names begin with a dot; other
//! directories in it do not. A change of a file is read when it is complete: closed after writing, or renamed
//! into place.

mod changes;
mod document;
mod inotify;
mod merge;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error, info, warn};

use super::{Batch, Closed, Sender, send};
use crate::index::parse::Parser;
use crate::metrics::Metrics;
use crate::model::Kind;
use changes::Changes;
use document::{File, is_manifest};
use inotify::{FileChange, FileChanges};
use merge::Merged;

/// How long to wait for a directory that does not exist.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// More than any cluster's objects of these kinds.
const LONGEST_FILE: u64 = 256 << 20;

/// Watches the directory forever; while it is gone, what was read last stays in force. Returns when the agent is
/// gone.
pub async fn run(directory: PathBuf, parser: Parser, sender: Sender, metrics: Metrics) {
    let mut manifests = Manifests {
        directory,
        parser,
        sender,
        metrics,
        merged: Merged::default(),
        synced: false,
    };
    loop {
        match manifests.follow().await {
            Ok(Closed) => return,
            Err(failure) => manifests.report(&failure),
        }
        sleep(RETRY_AFTER).await;
    }
}

struct Manifests {
    directory: PathBuf,
    parser: Parser,
    sender: Sender,
    metrics: Metrics,
    merged: Merged,
    synced: bool,
}

impl Manifests {
    async fn follow(&mut self) -> io::Result<Closed> {
        // Watched before it is read: a file that changes meanwhile is read twice rather than never.
        let mut directory = FileChanges::watch(&self.directory)?;
        let names = list(&self.directory)?;
        info!(directory = %self.directory.display(), files = names.len(), "reading manifests");
        if let Err(closed) = self.take_in(Instant::now(), self.all(names)).await {
            return Ok(closed);
        }
        let mut changes = Changes::default();
        loop {
            let due = changes.due();
            let wake = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = directory.next() => {
                    for change in changed? {
                        match change {
                            FileChange::Gone => return Err(io::ErrorKind::NotFound.into()),
                            FileChange::Everything => changes.everything(self.all(list(&self.directory)?)),
                            FileChange::File(name, event) => changes.note(name, event, Instant::now()),
                        }
                    }
                }
                () = wake => {}
            }
            let ready = changes.take_ready(Instant::now(), |name| self.directory.join(name).exists());
            if ready.is_empty() {
                continue;
            }
            if let Err(closed) = self.take_in(Instant::now(), ready).await {
                return Ok(closed);
            }
        }
    }

    /// The files that are there now, and those that were there before.
    fn all(&self, names: BTreeSet<String>) -> BTreeSet<String> {
        names
            .into_iter()
            .chain(self.merged.files().map(str::to_owned))
            .collect()
    }

    async fn take_in(&mut self, received: Instant, names: BTreeSet<String>) -> Result<(), Closed> {
        debug!(?names, "manifests changed");
        self.metrics.watch_event(Kind::Manifest);
        let files = read_all(self.directory.clone(), names, self.parser.clone()).await;
        let mut events = Vec::new();
        for (name, file) in files {
            events.extend(self.merged.replace(name, file));
        }
        if !self.synced {
            self.synced = true;
            events = self.merged.everything();
        }
        send(&self.sender, Batch { received, events }).await
    }

    fn report(&self, failure: &io::Error) {
        if self.metrics.watch_failed(Kind::Manifest) {
            let directory = self.directory.display();
            warn!(%directory, %failure, "cannot watch the manifests: the last known state stays in force");
        }
    }
}

fn list(directory: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(directory)? {
        names.extend(
            entry?
                .file_name()
                .into_string()
                .ok()
                .filter(|name| is_manifest(name)),
        );
    }
    Ok(names)
}

/// Off the agent's thread: a large file takes long to parse.
async fn read_all(
    directory: PathBuf,
    names: BTreeSet<String>,
    parser: Parser,
) -> BTreeMap<String, Option<File>> {
    let reading = tokio::task::spawn_blocking(move || {
        names
            .into_iter()
            .map(|name| (name.clone(), read(&directory, &name, &parser)))
            .collect()
    });
    reading.await.unwrap_or_else(|failure| {
        error!(%failure, "manifests not read");
        BTreeMap::new()
    })
}

/// `None` if there is no file.
fn read(directory: &Path, name: &str, parser: &Parser) -> Option<File> {
    let path = directory.join(name);
    let text = match std::fs::metadata(&path) {
        Ok(metadata) if !metadata.is_file() => return None,
        Ok(metadata) if metadata.len() > LONGEST_FILE => Err(format!(
            "{} bytes are too many: {LONGEST_FILE} are read",
            metadata.len()
        )),
        Ok(_) => std::fs::read_to_string(&path).map_err(|failure| failure.to_string()),
        Err(failure) if failure.kind() == io::ErrorKind::NotFound => return None,
        Err(failure) => Err(failure.to_string()),
    };
    Some(match text {
        Ok(text) => File::parse(name, &text, parser),
        Err(why) => File::unreadable(why),
    })
}
