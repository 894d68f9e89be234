// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cluster's state as pure code: objects, one revision counter, and a ring of past changes.
//!
//! Lists at an old revision and watches from one are both answered from the ring; what has left it is
//! `Gone`, as in etcd after a compaction.

mod cursor;
mod list;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub use cursor::{Cursor, Notice};
pub use list::{Continue, ListError, ListQuery, Page, Version};
use serde_json::Value;

use crate::object::{Key, Object, ObjectError, Revision, metadata_mut};

/// How many changes are remembered unless told otherwise.
pub const DEFAULT_HISTORY: usize = 1 << 17;

/// One change: what was, what is.
#[derive(Clone, Debug)]
pub struct Change {
    /// The revision it made.
    pub revision: Revision,
    /// What it changed.
    pub key: Key,
    /// The object before; `None` if it was created.
    pub before: Option<Arc<Object>>,
    /// The object after; `None` if it was deleted.
    pub after: Option<Arc<Object>>,
}

/// The asked-for revision has left the history.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Gone {
    /// What was asked for.
    pub asked: Revision,
    /// The oldest revision that can still be given.
    pub oldest: Revision,
}

/// Objects, their revision counter, and their recent past.
#[derive(Debug)]
pub struct Store {
    objects: BTreeMap<Key, Arc<Object>>,
    revision: Revision,
    /// Changes after `oldest`, in order.
    history: VecDeque<Change>,
    /// The state at this revision can still be rebuilt, none before it.
    oldest: Revision,
    capacity: usize,
    uids: u64,
}

impl Store {
    /// An empty store that remembers `capacity` changes. Revision 0 has a meaning of its own in the API,
    /// so it starts at 1.
    pub fn new(capacity: usize) -> Self {
        let start = Revision(1);
        Self {
            objects: BTreeMap::new(),
            revision: start,
            history: VecDeque::new(),
            oldest: start,
            capacity,
            uids: 0,
        }
    }

    /// The revision of the last write.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The object at `key`.
    pub fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// All objects, in key order.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }

    /// Writes an object whether or not it was there, as it is; `now` becomes its creationTimestamp if it
    /// has none. Writing what is there already changes nothing, and makes no revision, as on a real server.
    pub fn put(&mut self, key: Key, mut value: Value, now: &str) -> Result<Arc<Object>, ObjectError> {
        let before = self.objects.get(&key).cloned();
        self.stamp(&key, before.as_deref(), &mut value, now)?;
        if let Some(before) = &before {
            let same = Object::new(key.clone(), before.revision, value.clone())?;
            if same.item() == before.item() {
                return Ok(before.clone());
            }
        }
        let object = Arc::new(Object::new(key.clone(), self.revision.next(), value)?);
        self.objects.insert(key.clone(), object.clone());
        self.record(key, before, Some(object.clone()));
        Ok(object)
    }

    /// Deletes the object at `key`; gives its last state under the revision of the deletion.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        let before = self.objects.remove(key)?;
        self.record(key.clone(), Some(before.clone()), None);
        Some(before.at(self.revision).map_or(before, Arc::new))
    }

    /// Forgets the past: every revision but the current one becomes `Gone`.
    pub fn compact(&mut self) {
        self.history.clear();
        self.oldest = self.revision;
    }

    /// The remembered changes after `revision`.
    pub fn changes_after(&self, revision: Revision) -> Result<impl Iterator<Item = &Change>, Gone> {
        if revision < self.oldest {
            return Err(Gone {
                asked: revision,
                oldest: self.oldest,
            });
        }
        let start = self.history.partition_point(|change| change.revision <= revision);
        Ok(self.history.range(start..))
    }

    fn record(&mut self, key: Key, before: Option<Arc<Object>>, after: Option<Arc<Object>>) {
        self.revision = self.revision.next();
        self.history.push_back(Change {
            revision: self.revision,
            key,
            before,
            after,
        });
        while self.history.len() > self.capacity {
            if let Some(dropped) = self.history.pop_front() {
                self.oldest = dropped.revision;
            }
        }
    }

    /// Name, namespace, uid and creation time are the server's to write; they outlive every update.
    fn stamp(
        &mut self,
        key: &Key,
        before: Option<&Object>,
        value: &mut Value,
        now: &str,
    ) -> Result<(), ObjectError> {
        let earlier = before.map(Object::value);
        let kept = |field: &str| earlier.as_ref().and_then(|v| v["metadata"].get(field)).cloned();
        let uid = kept("uid").unwrap_or_else(|| self.next_uid().into());
        let created = kept("creationTimestamp");
        let metadata = metadata_mut(value.as_object_mut().ok_or(ObjectError::NotAnObject)?)?;
        metadata.insert("name".into(), key.name.as_str().into());
        if key.resource.spec().namespaced {
            metadata.insert("namespace".into(), key.namespace.as_str().into());
        }
        metadata.insert("uid".into(), uid);
        match created {
            Some(created) => {
                metadata.insert("creationTimestamp".into(), created);
            }
            None => {
                let given = metadata.entry("creationTimestamp").or_insert(Value::Null);
                if given.is_null() {
                    *given = now.into();
                }
            }
        }
        Ok(())
    }

    fn next_uid(&mut self) -> String {
        self.uids += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.uids)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::key_of;
    use crate::resource::Resource;

    const NOW: &str = "2026-01-01T00:00:00Z";

    pub(super) fn service(name: &str, app: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "labels": {"app": app}}, "spec": {"clusterIP": "10.96.0.7"},
        })
    }

    pub(super) fn put(store: &mut Store, value: Value) -> Arc<Object> {
        let key = key_of(&value, "default").unwrap();
        store.put(key, value, NOW).unwrap()
    }

    #[test]
    fn every_write_makes_one_revision() {
        let mut store = Store::new(10);
        assert_eq!(put(&mut store, service("a", "x")).revision, Revision(2));
        assert_eq!(put(&mut store, service("b", "x")).revision, Revision(3));
        let key = Key::new(Resource::Services, "default", "a");
        assert_eq!(store.remove(&key).unwrap().revision, Revision(4));
        assert!(store.remove(&key).is_none());
        assert_eq!(store.revision(), Revision(4));
    }

    #[test]
    fn writing_the_same_again_makes_no_revision() {
        let mut store = Store::new(10);
        let first = put(&mut store, service("a", "x"));
        let again = put(&mut store, service("a", "x"));
        assert_eq!(first.revision, again.revision);
        assert_eq!(store.changes_after(Revision(1)).unwrap().count(), 1);
    }

    #[test]
    fn uid_and_creation_time_outlive_updates_and_not_a_deletion() {
        let mut store = Store::new(10);
        let first = put(&mut store, service("a", "x")).value();
        let second = put(&mut store, service("a", "y")).value();
        assert_eq!(first["metadata"]["uid"], second["metadata"]["uid"]);
        assert_eq!(second["metadata"]["creationTimestamp"], NOW);
        store.remove(&Key::new(Resource::Services, "default", "a"));
        let third = put(&mut store, service("a", "x")).value();
        assert_ne!(first["metadata"]["uid"], third["metadata"]["uid"]);
    }

    #[test]
    fn a_deletion_reports_the_last_state_under_its_own_revision() {
        let mut store = Store::new(10);
        put(&mut store, service("a", "x"));
        let gone = store
            .remove(&Key::new(Resource::Services, "default", "a"))
            .unwrap();
        assert_eq!(gone.labels["app"], "x");
        assert_eq!(gone.value()["metadata"]["resourceVersion"], "3");
    }

    #[test]
    fn changes_older_than_the_history_are_gone() {
        let mut store = Store::new(2);
        for name in ["a", "b", "c"] {
            put(&mut store, service(name, "x"));
        }
        let gone = store.changes_after(Revision(1)).err().unwrap();
        assert_eq!(
            gone,
            Gone {
                asked: Revision(1),
                oldest: Revision(2)
            }
        );
        assert_eq!(store.changes_after(Revision(2)).unwrap().count(), 2);
    }

    #[test]
    fn after_a_compaction_only_the_present_is_left() {
        let mut store = Store::new(10);
        put(&mut store, service("a", "x"));
        store.compact();
        assert!(store.changes_after(Revision(1)).is_err());
        assert_eq!(store.changes_after(Revision(2)).unwrap().count(), 0);
    }
}
