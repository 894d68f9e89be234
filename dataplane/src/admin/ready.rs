// SPDX-License-Identifier: MIT OR Apache-2.0
//! Readiness: a set of named tasks that are not done yet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

/// Ready when no task is left.
#[derive(Clone, Debug)]
pub struct Ready(Arc<Mutex<Tasks>>);

#[derive(Debug)]
struct Tasks {
    since: Instant,
    next: u64,
    pending: BTreeMap<u64, String>,
}

/// A task that is not done yet. Dropping it is doing it.
#[derive(Debug)]
#[must_use = "the task counts as done when this is dropped"]
pub struct Task {
    ready: Ready,
    id: u64,
}

impl Default for Ready {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Tasks {
            since: Instant::now(),
            next: 0,
            pending: BTreeMap::new(),
        })))
    }
}

impl Ready {
    pub fn register_task(&self, name: impl Into<String>) -> Task {
        let mut tasks = self.lock();
        let id = tasks.next;
        tasks.next += 1;
        tasks.pending.insert(id, name.into());
        Task {
            ready: self.clone(),
            id,
        }
    }

    /// The names of the tasks still to be done, oldest first.
    pub fn pending(&self) -> Vec<String> {
        self.lock().pending.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let mut tasks = self.ready.lock();
        let Some(done) = tasks.pending.remove(&self.id) else {
            return;
        };
        let elapsed: Duration = tasks.since.elapsed();
        let awaited: Vec<&str> = tasks.pending.values().map(String::as_str).collect();
        if awaited.is_empty() {
            info!(done, ?elapsed, "ready");
        } else {
            info!(done, ?elapsed, ?awaited, "not ready yet");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_when_every_task_is_done() {
        let ready = Ready::default();
        let lists = ready.register_task("first lists");
        let apply = ready.register_task("first apply");
        assert_eq!(ready.pending(), ["first lists", "first apply"]);
        drop(lists);
        assert_eq!(ready.pending(), ["first apply"]);
        drop(apply);
        assert!(ready.pending().is_empty());
    }
}
