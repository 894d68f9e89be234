// SPDX-License-Identifier: MIT OR Apache-2.0
//! Merges all files: which object counts if several files have it, and what changes when a file changes.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{File, Key, Object};
use crate::index::{Change, Event};
use crate::model::{Kind, ObjectRef, Reason};

#[derive(Debug, Default)]
pub(super) struct Merged {
    files: BTreeMap<String, File>,
    /// The files that have an object. The first one counts.
    places: BTreeMap<Key, BTreeSet<String>>,
}

impl Merged {
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The events that lead from the old file to the new one. No file: it is gone.
    pub(super) fn replace(&mut self, name: String, file: Option<File>) -> Vec<Event> {
        let keys = |file: Option<&File>| {
            file.into_iter()
                .flat_map(|it| it.objects.keys().cloned())
                .collect()
        };
        let old: BTreeSet<Key> = keys(self.files.get(&name));
        let new: BTreeSet<Key> = keys(file.as_ref());
        let touched: BTreeSet<Key> = old.union(&new).cloned().collect();
        let before: Vec<Option<Object>> = touched.iter().map(|key| self.winner(key).cloned()).collect();
        let mut affected: BTreeSet<String> = self.files_with(&touched);
        for key in old.difference(&new) {
            self.remove_place(key, &name);
        }
        for key in new.difference(&old) {
            self.places.entry(key.clone()).or_default().insert(name.clone());
        }
        affected.insert(name.clone());
        match file {
            Some(file) => self.files.insert(name, file),
            None => self.files.remove(&name),
        };
        let mut events = Vec::new();
        for (key, before) in touched.iter().zip(before) {
            let after = self.winner(key);
            if after != before.as_ref() {
                events.push(event(key, after.cloned()));
            }
        }
        events.extend(affected.iter().map(|file| self.refusals(file)));
        events
    }

    /// The complete lists.
    pub(super) fn everything(&self) -> Vec<Event> {
        let (mut services, mut slices) = (BTreeMap::new(), BTreeMap::new());
        let (mut nodes, mut cidrs) = (BTreeMap::new(), BTreeMap::new());
        for key in self.places.keys() {
            let name = key.name.clone();
            match self.winner(key) {
                Some(Object::Service(parsed)) => drop(services.insert(name, parsed.clone())),
                Some(Object::Slice(parsed)) => drop(slices.insert(name, parsed.clone())),
                Some(Object::Node(parsed)) => drop(nodes.insert(name, parsed.clone())),
                Some(Object::ServiceCidr(parsed)) => drop(cidrs.insert(name, parsed.clone())),
                None => {}
            }
        }
        let mut events: Vec<Event> = self.files().map(|file| self.refusals(file)).collect();
        events.push(Event::Services(Change::Reset(services)));
        events.push(Event::Slices(Change::Reset(slices)));
        events.push(Event::Nodes(Change::Reset(nodes)));
        events.push(Event::ServiceCidrs(Change::Reset(cidrs)));
        events
    }

    fn winner(&self, key: &Key) -> Option<&Object> {
        self.files.get(self.places.get(key)?.first()?)?.objects.get(key)
    }

    fn files_with(&self, keys: &BTreeSet<Key>) -> BTreeSet<String> {
        keys.iter()
            .filter_map(|key| self.places.get(key))
            .flatten()
            .cloned()
            .collect()
    }

    fn remove_place(&mut self, key: &Key, file: &str) {
        if let Some(files) = self.places.get_mut(key) {
            files.remove(file);
            if files.is_empty() {
                self.places.remove(key);
            }
        }
    }

    /// All errors of a file; none if the file is in order again.
    fn refusals(&self, name: &str) -> Event {
        let mut reasons = Vec::new();
        if let Some(file) = self.files.get(name) {
            reasons.extend(file.reasons.iter().cloned());
            for key in file.objects.keys() {
                let winner = self.places.get(key).and_then(BTreeSet::first);
                if let Some(winner) = winner.filter(|winner| *winner != name) {
                    let (object, winner) = (key.to_string(), winner.clone());
                    reasons.push(Reason::DefinedTwice { object, winner });
                }
            }
        }
        let file = ObjectRef {
            kind: Kind::Manifest,
            namespace: "".into(),
            name: name.into(),
        };
        Event::Refused(file, reasons)
    }
}

fn event(key: &Key, object: Option<Object>) -> Event {
    let name = key.name.clone();
    match object {
        Some(Object::Service(parsed)) => Event::Services(Change::Apply(name, parsed)),
        Some(Object::Slice(parsed)) => Event::Slices(Change::Apply(name, parsed)),
        Some(Object::Node(parsed)) => Event::Nodes(Change::Apply(name, parsed)),
        Some(Object::ServiceCidr(parsed)) => Event::ServiceCidrs(Change::Apply(name, parsed)),
        None => match key.kind {
            Kind::Service => Event::Services(Change::Delete(name)),
            Kind::EndpointSlice => Event::Slices(Change::Delete(name)),
            Kind::ServiceCidr => Event::ServiceCidrs(Change::Delete(name)),
            Kind::Node | Kind::Manifest => Event::Nodes(Change::Delete(name)),
        },
    }
}
