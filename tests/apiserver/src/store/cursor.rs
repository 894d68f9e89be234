// SPDX-License-Identifier: MIT OR Apache-2.0
//! Watches: a cursor over the changes that one selector sees.

use std::sync::Arc;

use super::{Change, Gone, ListQuery, Store, Version};
use crate::object::{Object, Revision};
use crate::resource::Resource;
use crate::selector::Selector;

/// What a watcher is told about one object.
#[derive(Clone, Debug)]
pub enum Notice {
    /// It came into being, or into the selection.
    Added(Arc<Object>),
    /// It changed and stays in the selection.
    Modified(Arc<Object>),
    /// It was deleted, or left the selection; its last selected state, under the revision of that.
    Deleted(Arc<Object>),
}

impl Notice {
    /// The `type` of the watch event.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Added(_) => "ADDED",
            Self::Modified(_) => "MODIFIED",
            Self::Deleted(_) => "DELETED",
        }
    }

    /// The object it tells about.
    pub fn object(&self) -> &Object {
        match self {
            Self::Added(object) | Self::Modified(object) | Self::Deleted(object) => object,
        }
    }
}

/// One watcher's place in the history.
#[derive(Clone, Debug)]
pub struct Cursor {
    resource: Resource,
    namespace: Option<String>,
    selector: Selector,
    position: Revision,
}

impl Cursor {
    /// A cursor behind `position`: it sees what comes after.
    pub fn after(position: Revision, query: &ListQuery) -> Self {
        Self {
            resource: query.resource,
            namespace: query.namespace.clone(),
            selector: query.selector.clone(),
            position,
        }
    }

    /// A cursor behind the present, and the present as additions: what a watch without a resourceVersion,
    /// or one that asks for initial events, begins with.
    pub fn from_now(store: &Store, query: &ListQuery) -> (Self, Vec<Notice>) {
        let present = ListQuery {
            version: Version::MostRecent,
            limit: None,
            continuation: None,
            ..query.clone()
        };
        // A list of the present cannot fail; were it to, the watch would begin empty.
        let items = store.list(&present).map(|page| page.items).unwrap_or_default();
        (
            Self::after(store.revision(), query),
            items.into_iter().map(Notice::Added).collect(),
        )
    }

    /// Everything up to this revision has been given out.
    pub fn position(&self) -> Revision {
        self.position
    }

    /// What happened since, and moves the cursor behind it.
    pub fn advance(&mut self, store: &Store) -> Result<Vec<Notice>, Gone> {
        if self.position > store.revision() {
            return Ok(Vec::new());
        }
        let notices = store
            .changes_after(self.position)?
            .filter_map(|change| self.notice(change))
            .collect();
        self.position = store.revision();
        Ok(notices)
    }

    fn notice(&self, change: &Change) -> Option<Notice> {
        let in_scope = self
            .namespace
            .as_ref()
            .is_none_or(|ns| *ns == change.key.namespace);
        if change.key.resource != self.resource || !in_scope {
            return None;
        }
        let seen = |object: &Option<Arc<Object>>| object.clone().filter(|o| self.selector.matches(o));
        match (seen(&change.before), seen(&change.after)) {
            (None, Some(after)) => Some(Notice::Added(after)),
            (Some(_), Some(after)) => Some(Notice::Modified(after)),
            (Some(before), None) => Some(Notice::Deleted(
                before.at(change.revision).map_or(before, Arc::new),
            )),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{put, service};
    use super::*;
    use crate::object::Key;
    use crate::selector::LabelSelector;

    fn told(notices: &[Notice]) -> Vec<(&'static str, &str, u64)> {
        let one = |n| Notice::object(n);
        notices
            .iter()
            .map(|n| (n.kind(), one(n).key.name.as_str(), one(n).revision.0))
            .collect()
    }

    fn selecting(app: &str) -> ListQuery {
        let mut query = ListQuery::all(Resource::Services);
        query.selector.labels = LabelSelector::parse(&format!("app={app}")).unwrap();
        query
    }

    #[test]
    fn a_cursor_gives_every_change_once_and_in_order() {
        let mut store = Store::new(100);
        let mut cursor = Cursor::after(store.revision(), &ListQuery::all(Resource::Services));
        put(&mut store, service("a", "x"));
        put(&mut store, service("a", "y"));
        store.remove(&Key::new(Resource::Services, "default", "a"));
        let notices = cursor.advance(&store).unwrap();
        assert_eq!(
            told(&notices),
            [("ADDED", "a", 2), ("MODIFIED", "a", 3), ("DELETED", "a", 4)]
        );
        assert!(cursor.advance(&store).unwrap().is_empty());
        assert_eq!(cursor.position(), Revision(4));
    }

    #[test]
    fn leaving_the_selection_is_a_deletion_and_entering_it_an_addition() {
        let mut store = Store::new(100);
        let mut cursor = Cursor::after(store.revision(), &selecting("x"));
        put(&mut store, service("a", "x"));
        put(&mut store, service("a", "other"));
        put(&mut store, service("a", "another"));
        put(&mut store, service("a", "x"));
        let notices = cursor.advance(&store).unwrap();
        assert_eq!(
            told(&notices),
            [("ADDED", "a", 2), ("DELETED", "a", 3), ("ADDED", "a", 5)]
        );
        assert_eq!(
            notices[1].object().labels["app"],
            "x",
            "a deletion shows the last selected state"
        );
        assert_eq!(notices[1].object().value()["metadata"]["resourceVersion"], "3");
    }

    #[test]
    fn other_namespaces_and_resources_are_not_seen() {
        let mut store = Store::new(100);
        let elsewhere = ListQuery {
            namespace: Some("shop".into()),
            ..ListQuery::all(Resource::Services)
        };
        let mut cursors = [
            Cursor::after(store.revision(), &elsewhere),
            Cursor::after(store.revision(), &ListQuery::all(Resource::Nodes)),
        ];
        put(&mut store, service("a", "x"));
        for cursor in &mut cursors {
            assert!(cursor.advance(&store).unwrap().is_empty());
            assert_eq!(
                cursor.position(),
                store.revision(),
                "the place moves all the same"
            );
        }
    }

    #[test]
    fn the_present_comes_as_additions() {
        let mut store = Store::new(100);
        put(&mut store, service("a", "x"));
        put(&mut store, service("b", "y"));
        let (mut cursor, initial) = Cursor::from_now(&store, &selecting("x"));
        assert_eq!(told(&initial), [("ADDED", "a", 2)]);
        assert!(cursor.advance(&store).unwrap().is_empty());
    }

    #[test]
    fn a_cursor_that_fell_behind_is_gone() {
        let mut store = Store::new(100);
        let mut cursor = Cursor::after(store.revision(), &ListQuery::all(Resource::Services));
        put(&mut store, service("a", "x"));
        store.compact();
        assert_eq!(cursor.advance(&store).unwrap_err().asked, Revision(1));
    }

    #[test]
    fn a_cursor_in_the_future_waits() {
        let mut store = Store::new(100);
        let mut cursor = Cursor::after(Revision(3), &ListQuery::all(Resource::Services));
        put(&mut store, service("a", "x"));
        assert!(cursor.advance(&store).unwrap().is_empty());
        assert_eq!(cursor.position(), Revision(3));
        put(&mut store, service("b", "x"));
        put(&mut store, service("c", "x"));
        assert_eq!(told(&cursor.advance(&store).unwrap()), [("ADDED", "c", 4)]);
    }
}
