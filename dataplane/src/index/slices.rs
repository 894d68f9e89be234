// SPDX-License-Identifier: MIT OR Apache-2.0
//! EndpointSlices by the Service they belong to.

use std::collections::BTreeMap;

use crate::model::{ServiceName, Slice, SliceName, pack};

#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    /// One tree for all: one for each Service, of mostly one slice, would be ten times as large.
    by_service: BTreeMap<(ServiceName, SliceName), Slice>,
    /// A slice may change its Service, and a deletion names only the slice.
    owners: BTreeMap<SliceName, ServiceName>,
}

impl Slices {
    pub(super) fn of<'a>(&'a self, service: &'a ServiceName) -> impl Iterator<Item = &'a Slice> + Clone {
        let first = (service.clone(), SliceName::new("", ""));
        self.by_service
            .range(first..)
            .take_while(move |((owner, _), _)| owner == service)
            .map(|(_, slice)| slice)
    }

    pub(super) fn pack(&mut self) {
        pack(&mut self.by_service);
        pack(&mut self.owners);
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &SliceName> {
        self.owners.keys()
    }

    pub(super) fn get(&self, name: &SliceName) -> Option<&Slice> {
        self.by_service
            .get(&(self.owners.get(name)?.clone(), name.clone()))
    }

    pub(super) fn insert(&mut self, name: SliceName, slice: Slice) {
        self.owners.insert(name.clone(), slice.service.clone());
        self.by_service.insert((slice.service.clone(), name), slice);
    }

    pub(super) fn remove(&mut self, name: &SliceName) -> Option<Slice> {
        let service = self.owners.remove(name)?;
        self.by_service.remove(&(service, name.clone()))
    }
}
