// SPDX-License-Identifier: MIT OR Apache-2.0
//! Maps in memory: for tests, and for a run that must not touch the kernel.

use std::collections::BTreeMap;

use super::maps::{Bound, Capacity, Maps, MapsError};
use super::op::Op;
use super::state::KernelState;

/// Holds what a kernel would hold, and counts the ops.
#[derive(Clone, Debug)]
pub struct MemoryMaps {
    pub state: KernelState,
    pub applied: BTreeMap<&'static str, u64>,
    capacity: Capacity,
}

impl MemoryMaps {
    pub fn new(state: KernelState, highest_service: u32, highest_backend: u32) -> Self {
        let bound = |map, flag, highest_id| Bound {
            map,
            flag,
            highest_id,
        };
        let capacity = Capacity {
            services: bound("services", "--max-services", highest_service),
            backends4: bound("backends4", "--max-backends", highest_backend),
            backends6: bound("backends6", "--max-backends", highest_backend),
        };
        Self {
            state,
            applied: BTreeMap::new(),
            capacity,
        }
    }
}

impl Default for MemoryMaps {
    fn default() -> Self {
        Self::new(KernelState::default(), 65_535, 1 << 20)
    }
}

impl Maps for MemoryMaps {
    fn capacity(&self) -> Capacity {
        self.capacity
    }

    fn load(&self) -> Result<KernelState, MapsError> {
        Ok(self.state.clone())
    }

    fn apply(&mut self, op: &Op) -> Result<(), MapsError> {
        self.state.apply(op);
        *self.applied.entry(op.kind()).or_default() += 1;
        Ok(())
    }
}
