// SPDX-License-Identifier: MIT OR Apache-2.0
//! EndpointSlices by the Service they belong to.

use std::collections::BTreeMap;

use crate::model::{ServiceName, Slice, SliceName};

#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    by_service: BTreeMap<ServiceName, BTreeMap<SliceName, Slice>>,
    /// A slice may change its Service, and a deletion names only the slice.
    owners: BTreeMap<SliceName, ServiceName>,
}

impl Slices {
    pub(super) fn of(&self, service: &ServiceName) -> impl Iterator<Item = &Slice> + Clone {
        self.by_service
            .get(service)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &SliceName> {
        self.owners.keys()
    }

    pub(super) fn get(&self, name: &SliceName) -> Option<&Slice> {
        self.by_service.get(self.owners.get(name)?)?.get(name)
    }

    pub(super) fn insert(&mut self, name: SliceName, slice: Slice) {
        self.owners.insert(name.clone(), slice.service.clone());
        self.by_service
            .entry(slice.service.clone())
            .or_default()
            .insert(name, slice);
    }

    pub(super) fn remove(&mut self, name: &SliceName) -> Option<Slice> {
        let service = self.owners.remove(name)?;
        let slices = self.by_service.get_mut(&service)?;
        let slice = slices.remove(name);
        if slices.is_empty() {
            self.by_service.remove(&service);
        }
        slice
    }
}
