// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server's tasks and the test's handle share: every piece pure, each behind its own lock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::access::{Access, Credentials};
use crate::fault::Faults;
use crate::journal::Journal;
use crate::object::Revision;
use crate::resource::Resource;
use crate::store::{DEFAULT_HISTORY, Store};
use crate::streams::{Streams, WatchId};

/// How the server behaves from its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether it offers streaming lists (`sendInitialEvents`): off in some releases, on in others.
    pub streaming_lists: bool,
    /// How often a watch that takes bookmarks gets one.
    pub bookmark_every: Duration,
    /// How many changes are remembered.
    pub history: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            streaming_lists: true,
            bookmark_every: Duration::from_secs(60),
            history: DEFAULT_HISTORY,
        }
    }
}

/// The server's state.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) journal: Mutex<Journal>,
    pub(crate) credentials: Mutex<Credentials>,
    pub(crate) access: Mutex<Access>,
    pub(crate) streams: watch::Sender<Streams>,
    pub(crate) written: watch::Sender<Revision>,
    store: Mutex<Store>,
}

impl Shared {
    pub(crate) fn new(settings: Settings, credentials: Credentials) -> Self {
        let store = Store::new(settings.history);
        Self {
            settings,
            faults: Mutex::default(),
            journal: Mutex::default(),
            credentials: Mutex::new(credentials),
            access: Mutex::default(),
            streams: watch::Sender::default(),
            written: watch::Sender::new(store.revision()),
            store: Mutex::new(store),
        }
    }

    /// Looks at the store.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&Store) -> R) -> R {
        look(&lock(&self.store))
    }

    /// Changes the store, then wakes the watches.
    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut Store) -> R) -> R {
        let mut store = lock(&self.store);
        let result = change(&mut store);
        let revision = store.revision();
        drop(store);
        self.written.send_replace(revision);
        result
    }

    /// A number for a new watch; it counts as open until the ticket is dropped.
    pub(crate) fn open_watch(self: &std::sync::Arc<Self>, resource: Resource) -> Ticket {
        let mut id = 0;
        self.streams.send_modify(|streams| id = streams.open());
        lock(&self.journal).watch_opened(resource);
        Ticket {
            id,
            resource,
            shared: self.clone(),
        }
    }
}

/// An open watch.
pub(crate) struct Ticket {
    pub(crate) id: WatchId,
    pub(crate) resource: Resource,
    pub(crate) shared: std::sync::Arc<Shared>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        lock(&self.shared.journal).watch_ended(self.resource);
    }
}

/// Locks even if a holder has panicked: a failed test still wants to read the journal.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
