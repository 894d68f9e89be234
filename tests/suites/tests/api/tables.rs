// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's tables in memory, with a record of every write, shared between the agent and the test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataplane::plan::{Capacity, KernelState, Maps, MapsError, MemoryMaps, Op};

/// What a frontend leads to, as text: `10.0.0.1:8080`, sorted. Empty if it rejects.
pub(crate) type Backends = Vec<String>;

#[derive(Clone, Default)]
pub(crate) struct Tables(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    maps: MemoryMaps,
    writes: Vec<Op>,
}

impl Tables {
    /// Every frontend and what it leads to.
    pub(crate) fn served(&self) -> BTreeMap<String, Backends> {
        let inside = self.lock();
        let state = &inside.maps.state;
        let backends = |set| {
            let members = state.sets.get(&set).map(Vec::as_slice).unwrap_or_default();
            let mut targets: Vec<_> = members
                .iter()
                .map(|id| state.backends[id].target().to_string())
                .collect();
            targets.sort();
            targets
        };
        let frontends = state.frontends.iter();
        frontends
            .map(|(key, value)| (key.to_string(), backends(value.internal.set.id)))
            .collect()
    }

    /// How many entries each table has.
    pub(crate) fn sizes(&self) -> [usize; 5] {
        let inside = self.lock();
        let state = &inside.maps.state;
        [
            state.services.len(),
            state.backends.len(),
            state.sets.len(),
            state.frontends.len(),
            state.addresses.len(),
        ]
    }

    /// The writes since the last call.
    pub(crate) fn take_writes(&self) -> Vec<Op> {
        std::mem::take(&mut self.lock().writes)
    }

    /// Whether nothing was written since the last call of `take_writes`.
    pub(crate) fn untouched(&self) -> bool {
        self.lock().writes.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Maps for Tables {
    fn capacity(&self) -> Capacity {
        self.lock().maps.capacity()
    }

    fn load(&self) -> Result<KernelState, MapsError> {
        self.lock().maps.load()
    }

    fn apply(&mut self, op: &Op) -> Result<(), MapsError> {
        let mut inside = self.lock();
        inside.writes.push(op.clone());
        inside.maps.apply(op)
    }
}
