// SPDX-License-Identifier: MIT OR Apache-2.0
//! The contract between list and watch, for every history: a list and the events after it make the later list.

use std::collections::BTreeMap;

use apiserver::selector::{LabelSelector, Selector};
use apiserver::store::{Cursor, ListQuery, Notice, Store, Version};
use apiserver::{Key, Resource, Revision};
use proptest::prelude::*;
use serde_json::json;

#[derive(Clone, Debug)]
enum Write {
    Put { name: u8, app: u8 },
    Remove { name: u8 },
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        3 => (0..4_u8, 0..3_u8).prop_map(|(name, app)| Write::Put { name, app }),
        1 => (0..4_u8).prop_map(|name| Write::Remove { name }),
    ]
}

fn carry_out(store: &mut Store, write: &Write) {
    let (Write::Put { name, .. } | Write::Remove { name }) = write;
    let key = Key::new(Resource::Services, "default", &format!("s{name}"));
    match write {
        Write::Put { app, .. } => {
            let value = json!({"metadata": {"labels": {"app": app.to_string()}}});
            store.put(key, value, "2026-01-01T00:00:00Z").unwrap();
        }
        Write::Remove { .. } => drop(store.remove(&key)),
    }
}

fn query(selector: &str) -> ListQuery {
    let selector = Selector {
        labels: LabelSelector::parse(selector).unwrap(),
        ..Selector::default()
    };
    ListQuery {
        selector,
        ..ListQuery::all(Resource::Services)
    }
}

fn listed(store: &Store, query: &ListQuery) -> BTreeMap<Key, Revision> {
    let page = store.list(query).unwrap();
    page.items
        .iter()
        .map(|object| (object.key.clone(), object.revision))
        .collect()
}

proptest! {
    #[test]
    fn a_list_and_the_events_after_it_make_the_later_list(
        before in prop::collection::vec(write(), 0..20),
        after in prop::collection::vec(write(), 0..20),
        steps in prop::collection::vec(any::<bool>(), 20),
        selector in prop::sample::select(vec!["", "app=1", "app!=1", "app in (0,2)"]),
    ) {
        let mut store = Store::new(100);
        before.iter().for_each(|write| carry_out(&mut store, write));
        let query = query(selector);
        let mut known = listed(&store, &query);
        let mut cursor = Cursor::after(store.revision(), &query);
        let mut last = store.revision();
        for (write, step) in after.iter().zip(steps.iter().chain([&true])) {
            carry_out(&mut store, write);
            if !step { continue; }
            for notice in cursor.advance(&store).unwrap() {
                let object = notice.object();
                prop_assert!(object.revision > last, "events go forward");
                last = object.revision;
                let fresh = match &notice {
                    Notice::Added(_) => known.insert(object.key.clone(), object.revision).is_none(),
                    Notice::Modified(_) => known.insert(object.key.clone(), object.revision).is_some(),
                    Notice::Deleted(_) => known.remove(&object.key).is_some(),
                };
                prop_assert!(fresh, "{notice:?} fits what was known");
            }
        }
        for notice in cursor.advance(&store).unwrap() {
            match &notice {
                Notice::Deleted(object) => { known.remove(&object.key); }
                Notice::Added(object) | Notice::Modified(object) => { known.insert(object.key.clone(), object.revision); }
            }
        }
        prop_assert_eq!(known, listed(&store, &query));
    }

    #[test]
    fn a_list_of_the_past_is_what_was_listed_then(
        before in prop::collection::vec(write(), 0..20),
        after in prop::collection::vec(write(), 0..20),
        limit in 1..4_usize,
    ) {
        let mut store = Store::new(100);
        before.iter().for_each(|write| carry_out(&mut store, write));
        let mut query = query("app!=2");
        let then = listed(&store, &query);
        let revision = store.revision();
        after.iter().for_each(|write| carry_out(&mut store, write));
        query.version = Version::Exact(revision);
        prop_assert_eq!(&then, &listed(&store, &query));

        query.limit = Some(limit);
        let mut paged = BTreeMap::new();
        loop {
            let page = store.list(&query).unwrap();
            paged.extend(page.items.iter().map(|o| (o.key.clone(), o.revision)));
            query.continuation = page.continuation;
            if query.continuation.is_none() { break; }
        }
        prop_assert_eq!(then, paged);
    }
}
