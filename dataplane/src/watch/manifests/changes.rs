// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which files to read now, and which to leave alone for a moment.
//!
//! Editors save by moving the old file away and writing a new one under its name: for a moment there is no file,
//! or half of one. Taking the objects out of the kernel for that moment would break their flows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::inotify::FileEvent;

/// How long a file may be away, and how long a new file may take until its writer closes it (links are complete
/// from the start, and are never closed).
const GRACE: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Changes {
    complete: BTreeSet<String>,
    /// Removed, or created and not closed yet: to look at after the grace.
    unsettled: BTreeMap<String, Unsettled>,
}

#[derive(Clone, Copy, Debug)]
struct Unsettled {
    at: Instant,
    /// A process is writing it: inotify reports the end.
    being_written: bool,
}

impl Changes {
    pub(super) fn everything(&mut self, names: BTreeSet<String>) {
        self.unsettled.clear();
        self.complete = names;
    }

    pub(super) fn note(&mut self, name: String, event: FileEvent, now: Instant) {
        let at = now + GRACE;
        match event {
            FileEvent::Complete => {
                self.unsettled.remove(&name);
                self.complete.insert(name);
            }
            FileEvent::Created => {
                self.unsettled.insert(
                    name,
                    Unsettled {
                        at,
                        being_written: true,
                    },
                );
            }
            FileEvent::Removed => {
                self.complete.remove(&name);
                self.unsettled.insert(
                    name,
                    Unsettled {
                        at,
                        being_written: false,
                    },
                );
            }
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.unsettled.values().map(|unsettled| unsettled.at).min()
    }

    /// Files to read now. A file that was still being written when its grace ended is read as it is: the parser
    /// reports half a file, and inotify reports the end of writing.
    pub(super) fn take_ready(&mut self, now: Instant, exists: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let mut ready = std::mem::take(&mut self.complete);
        self.unsettled.retain(|name, unsettled| {
            if unsettled.at > now {
                return true;
            }
            if !unsettled.being_written || exists(name) {
                ready.insert(name.clone());
            }
            false
        });
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(changes: &mut Changes, now: Instant) -> Vec<String> {
        changes.take_ready(now, |_| true).into_iter().collect()
    }

    #[test]
    fn a_file_is_read_when_it_was_closed_or_renamed_into_place() {
        let (mut changes, now) = (Changes::default(), Instant::now());
        changes.note("a.yaml".into(), FileEvent::Created, now);
        assert_eq!(ready(&mut changes, now), [""; 0]);
        changes.note("a.yaml".into(), FileEvent::Complete, now);
        assert_eq!(ready(&mut changes, now), ["a.yaml"]);
        assert_eq!(changes.due(), None);
    }

    #[test]
    fn a_file_that_is_moved_away_and_written_again_was_never_gone() {
        let (mut changes, now) = (Changes::default(), Instant::now());
        changes.note("a.yaml".into(), FileEvent::Removed, now);
        assert_eq!(ready(&mut changes, now), [""; 0]);
        changes.note("a.yaml".into(), FileEvent::Created, now + GRACE / 2);
        assert_eq!(ready(&mut changes, now + GRACE), [""; 0]);
        changes.note("a.yaml".into(), FileEvent::Complete, now + GRACE);
        assert_eq!(ready(&mut changes, now + GRACE), ["a.yaml"]);
    }

    #[test]
    fn a_file_that_stays_away_is_gone() {
        let (mut changes, now) = (Changes::default(), Instant::now());
        changes.note("a.yaml".into(), FileEvent::Removed, now);
        assert_eq!(changes.due(), Some(now + GRACE));
        assert_eq!(ready(&mut changes, now + GRACE), ["a.yaml"]);
        assert_eq!(changes.due(), None);
    }

    #[test]
    fn a_link_is_read_after_the_grace() {
        let (mut changes, now) = (Changes::default(), Instant::now());
        changes.note("a.yaml".into(), FileEvent::Created, now);
        assert_eq!(ready(&mut changes, now + GRACE), ["a.yaml"]);
    }
}
