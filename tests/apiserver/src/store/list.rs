// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists: selectors, pages, and the revision they show. The pages of one list show one revision.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{Gone, Store};
use crate::object::{Key, Object, Revision};
use crate::resource::Resource;
use crate::selector::Selector;

/// The revision a request asks for: `resourceVersion` with `resourceVersionMatch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// No resourceVersion: the newest state.
    #[default]
    MostRecent,
    /// "0": whatever is at hand. The fixture always has the newest.
    Any,
    /// At least as new as this.
    NotOlderThan(Revision),
    /// The state at this very revision.
    Exact(Revision),
}

/// What a list asks for.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Of what.
    pub resource: Resource,
    /// Of one namespace, or of all.
    pub namespace: Option<String>,
    /// Which ones.
    pub selector: Selector,
    /// At which revision.
    pub version: Version,
    /// At most so many.
    pub limit: Option<usize>,
    /// The next page of an earlier list.
    pub continuation: Option<Continue>,
}

impl ListQuery {
    /// Everything of `resource`, as it is.
    pub fn all(resource: Resource) -> Self {
        Self {
            resource,
            namespace: None,
            selector: Selector::default(),
            version: Version::MostRecent,
            limit: None,
            continuation: None,
        }
    }
}

/// Where the next page starts, and the revision that all pages show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continue {
    revision: Revision,
    namespace: String,
    name: String,
}

impl Continue {
    /// As it is sent.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// As it comes back; `None` if it is none of ours.
    pub fn decode(text: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

/// One page of a list.
#[derive(Debug)]
pub struct Page {
    /// The revision it shows.
    pub revision: Revision,
    /// Its objects, in key order.
    pub items: Vec<Arc<Object>>,
    /// Where the next one starts.
    pub continuation: Option<Continue>,
    /// How many follow; told only without selectors, as by a real server.
    pub remaining: Option<usize>,
}

/// Why there is no such list.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ListError {
    /// The revision has left the history: 410.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The revision is not there yet: 504, to be tried again.
    #[error("Too large resource version: {asked}, current: {current}")]
    TooLarge {
        /// What was asked for.
        asked: Revision,
        /// What there is.
        current: Revision,
    },
}

impl Store {
    /// One page of the objects that `query` asks for.
    pub fn list(&self, query: &ListQuery) -> Result<Page, ListError> {
        let revision = self.revision_for(query)?;
        let all = self.at(query.resource, revision)?;
        let after = query
            .continuation
            .as_ref()
            .map(|c| Key::new(query.resource, &c.namespace, &c.name));
        let in_scope = |key: &Key| query.namespace.as_ref().is_none_or(|ns| *ns == key.namespace);
        let mut rest = all
            .iter()
            .filter(|(key, _)| after.as_ref().is_none_or(|after| **key > after))
            .filter(|(key, object)| in_scope(key) && query.selector.matches(object))
            .map(|(_, object)| (*object).clone());
        // The watch cache, which answers "any" version, does not page.
        let limit = query
            .limit
            .filter(|limit| *limit > 0 && query.version != Version::Any);
        let items: Vec<_> = rest.by_ref().take(limit.unwrap_or(usize::MAX)).collect();
        let remaining = rest.count();
        let last = items.last().filter(|_| remaining > 0);
        let continuation = last.map(|object| Continue {
            revision,
            namespace: object.key.namespace.clone(),
            name: object.key.name.clone(),
        });
        let told = remaining > 0 && query.selector.is_everything();
        Ok(Page {
            revision,
            items,
            continuation,
            remaining: told.then_some(remaining),
        })
    }

    fn revision_for(&self, query: &ListQuery) -> Result<Revision, ListError> {
        if let Some(continuation) = &query.continuation {
            return Ok(continuation.revision);
        }
        match query.version {
            Version::MostRecent | Version::Any => Ok(self.revision),
            Version::NotOlderThan(asked) | Version::Exact(asked) if asked > self.revision => {
                Err(ListError::TooLarge {
                    asked,
                    current: self.revision,
                })
            }
            Version::NotOlderThan(_) => Ok(self.revision),
            Version::Exact(asked) => Ok(asked),
        }
    }

    /// The objects of `resource` as they were: the present, with every later change undone.
    fn at(&self, resource: Resource, revision: Revision) -> Result<BTreeMap<&Key, &Arc<Object>>, ListError> {
        let from = Key::new(resource, "", "");
        let present = self
            .objects
            .range(from..)
            .take_while(|(key, _)| key.resource == resource);
        let mut objects: BTreeMap<_, _> = present.collect();
        let later: Vec<_> = self
            .changes_after(revision)?
            .filter(|c| c.key.resource == resource)
            .collect();
        for change in later.into_iter().rev() {
            match &change.before {
                Some(before) => objects.insert(&change.key, before),
                None => objects.remove(&change.key),
            };
        }
        Ok(objects)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{put, service};
    use super::*;
    use crate::selector::{FieldSelector, LabelSelector};

    fn names(page: &Page) -> Vec<&str> {
        page.items.iter().map(|object| object.key.name.as_str()).collect()
    }

    fn three() -> Store {
        let mut store = Store::new(100);
        for (name, app) in [("a", "x"), ("b", "y"), ("c", "x")] {
            put(&mut store, service(name, app));
        }
        store
    }

    #[test]
    fn selectors_and_namespace_narrow_a_list() {
        let store = three();
        let mut query = ListQuery::all(Resource::Services);
        assert_eq!(names(&store.list(&query).unwrap()), ["a", "b", "c"]);
        query.selector.labels = LabelSelector::parse("app=x").unwrap();
        assert_eq!(names(&store.list(&query).unwrap()), ["a", "c"]);
        query.selector.fields = FieldSelector::parse("metadata.name!=a", Resource::Services).unwrap();
        assert_eq!(names(&store.list(&query).unwrap()), ["c"]);
        query.namespace = Some("elsewhere".into());
        assert!(store.list(&query).unwrap().items.is_empty());
        assert!(
            store
                .list(&ListQuery::all(Resource::Nodes))
                .unwrap()
                .items
                .is_empty()
        );
    }

    #[test]
    fn all_pages_show_the_revision_of_the_first() {
        let mut store = three();
        let mut query = ListQuery {
            limit: Some(2),
            ..ListQuery::all(Resource::Services)
        };
        let first = store.list(&query).unwrap();
        assert_eq!((names(&first), first.remaining), (vec!["a", "b"], Some(1)));

        store.remove(&Key::new(Resource::Services, "default", "c"));
        put(&mut store, service("d", "x"));
        query.continuation = Continue::decode(&first.continuation.unwrap().encode());
        let second = store.list(&query).unwrap();
        assert_eq!(names(&second), ["c"]);
        assert_eq!(second.revision, first.revision);
        assert_eq!(second.continuation, None);
    }

    #[test]
    fn a_continuation_is_gone_after_a_compaction() {
        let mut store = three();
        let mut query = ListQuery {
            limit: Some(1),
            ..ListQuery::all(Resource::Services)
        };
        query.continuation = store.list(&query).unwrap().continuation;
        put(&mut store, service("d", "x"));
        store.compact();
        assert!(matches!(store.list(&query), Err(ListError::Gone(_))));
    }

    #[test]
    fn exact_shows_the_past_and_not_older_than_the_present() {
        let mut store = three();
        let then = store.revision();
        put(&mut store, service("b", "z"));
        store.remove(&Key::new(Resource::Services, "default", "a"));

        let mut query = ListQuery {
            version: Version::Exact(then),
            ..ListQuery::all(Resource::Services)
        };
        let past = store.list(&query).unwrap();
        assert_eq!(names(&past), ["a", "b", "c"]);
        assert_eq!(past.items[1].labels["app"], "y");
        query.version = Version::NotOlderThan(then);
        assert_eq!(names(&store.list(&query).unwrap()), ["b", "c"]);
    }

    #[test]
    fn a_revision_of_the_future_is_too_large() {
        let asked = Revision(1000);
        let query = ListQuery {
            version: Version::NotOlderThan(asked),
            ..ListQuery::all(Resource::Services)
        };
        let refused = three().list(&query).unwrap_err();
        assert_eq!(
            refused,
            ListError::TooLarge {
                asked,
                current: Revision(4)
            }
        );
    }

    #[test]
    fn any_version_is_not_paged() {
        let query = ListQuery {
            version: Version::Any,
            limit: Some(1),
            ..ListQuery::all(Resource::Services)
        };
        assert_eq!(three().list(&query).unwrap().items.len(), 3);
    }

    #[test]
    fn a_foreign_continuation_is_none() {
        assert_eq!(Continue::decode("bm9uc2Vuc2U"), None);
        assert_eq!(Continue::decode("%%"), None);
    }
}
