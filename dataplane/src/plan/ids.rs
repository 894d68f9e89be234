// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ids that rest as long as possible between two owners.

use std::collections::{BTreeSet, VecDeque};

/// Gives out 1 to `highest`: first those never used, then the ones freed longest ago. A flow that still names a
/// freed backend is thus unlikely to find a stranger under its id.
#[derive(Clone, Debug)]
pub(super) struct IdPool {
    highest: u32,
    /// The lowest id that was never given out.
    fresh: u32,
    freed: VecDeque<u32>,
}

impl IdPool {
    pub(super) fn new(highest: u32) -> Self {
        Self {
            highest,
            fresh: 1,
            freed: VecDeque::new(),
        }
    }

    pub(super) fn take(&mut self) -> Option<u32> {
        if self.fresh <= self.highest {
            self.fresh += 1;
            return Some(self.fresh - 1);
        }
        self.freed.pop_front()
    }

    pub(super) fn free(&mut self, id: u32) {
        if (1..=self.highest).contains(&id) {
            self.freed.push_back(id);
        }
    }

    /// Takes over what the kernel holds. What is known to be free keeps its place in the queue; what was given
    /// out and never arrived goes to the end of it.
    pub(super) fn adopt(&mut self, used: &BTreeSet<u32>) {
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
