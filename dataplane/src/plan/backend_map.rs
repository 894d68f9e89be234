// SPDX-License-Identifier: MIT OR Apache-2.0
//! A map by backend that is as small as the kernel's array.

use std::collections::BTreeMap;
use std::fmt;

use super::id::BackendId;
use crate::model::Family;

/// How many ids share a page.
const PAGE: usize = 16;

type Pages<V> = BTreeMap<(Family, u32), Box<[Option<V>; PAGE]>>;

/// Values by backend. Ids are dense, and there are more of them than of anything else: in a tree, each value
/// would have its id beside it, and one that grew in order is half empty.
#[derive(Clone, PartialEq, Eq)]
pub struct BackendMap<V> {
    /// None of them empty.
    pages: Pages<V>,
    len: usize,
}

impl<V> BackendMap<V> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, id: &BackendId) -> Option<&V> {
        let (page, slot) = place(id);
        self.pages.get(&page)?[slot].as_ref()
    }

    pub fn get_mut(&mut self, id: &BackendId) -> Option<&mut V> {
        let (page, slot) = place(id);
        self.pages.get_mut(&page)?[slot].as_mut()
    }

    pub fn contains_key(&self, id: &BackendId) -> bool {
        self.get(id).is_some()
    }

    pub fn insert(&mut self, id: BackendId, value: V) -> Option<V> {
        let slot = slot_of(&mut self.pages, &id);
        let old = slot.replace(value);
        self.len += usize::from(old.is_none());
        old
    }

    /// The value of a backend, which has one from now on.
    pub fn or_default(&mut self, id: &BackendId) -> &mut V
    where
        V: Default,
    {
        let slot = slot_of(&mut self.pages, id);
        self.len += usize::from(slot.is_none());
        slot.get_or_insert_default()
    }

    pub fn remove(&mut self, id: &BackendId) -> Option<V> {
        let (page, slot) = place(id);
        let slots = self.pages.get_mut(&page)?;
        let old = slots[slot].take()?;
        if slots.iter().all(Option::is_none) {
            self.pages.remove(&page);
        }
        self.len -= 1;
        Some(old)
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (BackendId, &V)> {
        self.pages.iter().flat_map(|(&(family, page), slots)| {
            let entries = slots.iter().enumerate();
            entries.filter_map(move |(slot, value)| {
                let index = page * PAGE as u32 + slot as u32;
                Some((BackendId { family, index }, value.as_ref()?))
            })
        })
    }
}

fn slot_of<'a, V>(pages: &'a mut Pages<V>, id: &BackendId) -> &'a mut Option<V> {
    let (page, slot) = place(id);
    let slots = pages
        .entry(page)
        .or_insert_with(|| Box::new([const { None }; PAGE]));
    &mut slots[slot]
}

fn place(id: &BackendId) -> ((Family, u32), usize) {
    let page = id.index / PAGE as u32;
    ((id.family, page), id.index as usize % PAGE)
}

impl<V> Default for BackendMap<V> {
    fn default() -> Self {
        Self {
            pages: BTreeMap::new(),
            len: 0,
        }
    }
}

impl<V> Extend<(BackendId, V)> for BackendMap<V> {
    fn extend<I: IntoIterator<Item = (BackendId, V)>>(&mut self, entries: I) {
        for (id, value) in entries {
            self.insert(id, value);
        }
    }
}

impl<V> FromIterator<(BackendId, V)> for BackendMap<V> {
    fn from_iter<I: IntoIterator<Item = (BackendId, V)>>(entries: I) -> Self {
        let mut slots = Self::default();
        slots.extend(entries);
        slots
    }
}

impl<V: fmt::Debug> fmt::Debug for BackendMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_tree_would(changes in vec((prop::sample::select(&Family::ALL), 0..70u32, any::<Option<u8>>()), 0..100)) {
            let (mut slots, mut tree) = (BackendMap::default(), BTreeMap::new());
            for (family, index, value) in changes {
                let id = BackendId { family, index };
                match value {
                    Some(value) => prop_assert_eq!(slots.insert(id, value), tree.insert(id, value)),
                    None => prop_assert_eq!(slots.remove(&id), tree.remove(&id)),
                }
                let other = BackendId { family, index: index / 2 };
                prop_assert_eq!(slots.or_default(&other), tree.entry(other).or_default());
                prop_assert_eq!(slots.get(&id), tree.get(&id));
            }
            prop_assert_eq!(slots.len(), tree.len());
            prop_assert!(slots.iter().eq(tree.iter().map(|(id, value)| (*id, value))));
            prop_assert_eq!(slots, tree.into_iter().collect());
        }
    }
}
