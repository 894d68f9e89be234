// SPDX-License-Identifier: MIT OR Apache-2.0
//! Assigns ids, and reuses each as late as possible.

use std::collections::{BTreeSet, VecDeque};

use super::id::{BackendId, ServiceId, SetId};
use super::maps::{Bound, Capacity};
use super::op::Op;
use super::state::KernelState;
use crate::model::Family;

/// All ids that can be given out.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    capacity: Capacity,
    services: IdPool,
    backends4: IdPool,
    backends6: IdPool,
    next_set: u32,
}

impl Ids {
    pub(super) fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            services: IdPool::new(capacity.services.highest_id),
            backends4: IdPool::new(capacity.backends4.highest_id),
            backends6: IdPool::new(capacity.backends6.highest_id),
            next_set: 1,
        }
    }

    /// Takes over what the kernel holds.
    pub(super) fn adopt(&mut self, state: &KernelState) {
        let backends = |family| {
            let ids = state.backends.iter().map(|(id, _)| id);
            let of_family = ids.filter(move |id| id.family == family);
            of_family.map(|id| id.index).collect()
        };
        self.services
            .adopt(&state.services.keys().map(|id| id.0).collect());
        self.backends4.adopt(&backends(Family::V4));
        self.backends6.adopt(&backends(Family::V6));
        let last_set = state.sets.last_key_value().map_or(0, |(id, _)| id.0);
        self.next_set = self.next_set.max(last_set.saturating_add(1));
    }

    /// An id that `op` removed from the kernel can be assigned again, when its turn comes.
    pub(super) fn applied(&mut self, op: &Op) {
        match op {
            Op::DeleteBackend { id } => self.pool(id.family).free(id.index),
            Op::DeleteService { id } => self.services.free(id.0),
            _ => {}
        }
    }

    pub(super) fn service(&mut self) -> Result<ServiceId, Bound> {
        self.services.take().map(ServiceId).ok_or(self.capacity.services)
    }

    pub(super) fn backend(&mut self, family: Family) -> Result<BackendId, Bound> {
        let bound = self.capacity.backends(family);
        let index = self.pool(family).take().ok_or(bound)?;
        Ok(BackendId { family, index })
    }

    /// One that is not in use: after four billion sets it matters.
    pub(super) fn set(&mut self, is_used: impl Fn(SetId) -> bool) -> SetId {
        loop {
            let id = SetId(self.next_set);
            self.next_set = self.next_set.checked_add(1).unwrap_or(1);
            if !is_used(id) {
                return id;
            }
        }
    }

    fn pool(&mut self, family: Family) -> &mut IdPool {
        match family {
            Family::V4 => &mut self.backends4,
            Family::V6 => &mut self.backends6,
        }
    }
}

/// Gives out 1 to `highest`: first those never used, then the ones freed longest ago. A flow that still names a
/// freed backend is thus unlikely to find a stranger under its id.
#[derive(Clone, Debug)]
struct IdPool {
    highest: u32,
    /// The lowest id that was never given out.
    fresh: u32,
    freed: VecDeque<u32>,
}

impl IdPool {
    fn new(highest: u32) -> Self {
        Self {
            highest,
            fresh: 1,
            freed: VecDeque::new(),
        }
    }

    fn take(&mut self) -> Option<u32> {
        if self.fresh <= self.highest {
            self.fresh += 1;
            return Some(self.fresh - 1);
        }
        self.freed.pop_front()
    }

    fn free(&mut self, id: u32) {
        if (1..=self.highest).contains(&id) {
            self.freed.push_back(id);
        }
    }

    /// Takes over what the kernel holds. What is known to be free keeps its place in the queue; what was given
    /// out and never arrived goes to the end of it.
    fn adopt(&mut self, used: &BTreeSet<u32>) {
        let last = used.last().copied().unwrap_or(0).min(self.highest);
        self.fresh = self.fresh.max(last + 1);
        self.freed.retain(|id| !used.contains(id));
        let known: BTreeSet<u32> = self.freed.iter().copied().collect();
        let lost = (1..self.fresh).filter(|id| !used.contains(id) && !known.contains(id));
        self.freed.extend(lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_id_rests_until_all_others_were_used() {
        let mut pool = IdPool::new(4);
        assert_eq!([pool.take(), pool.take()], [Some(1), Some(2)]);
        pool.free(1);
        pool.free(2);
        assert_eq!(
            [pool.take(), pool.take(), pool.take(), pool.take()],
            [Some(3), Some(4), Some(1), Some(2)]
        );
        assert_eq!(pool.take(), None);
    }

    #[test]
    fn holes_of_an_adopted_kernel_come_last() {
        let mut pool = IdPool::new(6);
        pool.adopt(&BTreeSet::from([1, 4]));
        let taken: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(taken, [5, 6, 2, 3]);
    }

    #[test]
    fn ids_that_were_lost_on_the_way_come_back() {
        let mut pool = IdPool::new(3);
        let arrived = pool.take().unwrap();
        pool.take().unwrap();
        pool.adopt(&BTreeSet::from([arrived]));
        assert_eq!([pool.take(), pool.take(), pool.take()], [Some(3), Some(2), None]);
    }

    #[test]
    fn an_id_beyond_the_table_does_not_enter_the_pool() {
        let mut pool = IdPool::new(2);
        pool.adopt(&BTreeSet::from([u32::MAX]));
        pool.free(u32::MAX);
        assert_eq!([pool.take(), pool.take(), pool.take()], [Some(1), Some(2), None]);
    }
}
