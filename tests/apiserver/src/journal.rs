// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was asked of the server: a log for a person, counters for assertions.

use std::collections::{BTreeMap, VecDeque};

use crate::call::{Call, Verb};
use crate::resource::Resource;

/// How many requests the log keeps; counters count all.
const KEPT: usize = 4096;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Counted from 1.
    pub number: u64,
    /// Who asked.
    pub user: String,
    /// For what.
    pub verb: Verb,
    /// Of what.
    pub resource: Resource,
    /// In which namespace, if the path named one.
    pub namespace: Option<String>,
    /// Of which name, if the path named one.
    pub name: Option<String>,
    /// The query as it came.
    pub query: String,
    /// The HTTP status of the answer; 0 if the connection was closed instead.
    pub code: u16,
}

/// The log and the counters.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    requests: VecDeque<Request>,
    counts: BTreeMap<(Resource, Verb), u64>,
    open: BTreeMap<Resource, u64>,
    bookmarks: BTreeMap<Resource, u64>,
    unauthorized: u64,
}

impl Journal {
    /// Notes an answered request.
    pub fn note(&mut self, user: &str, call: &Call, query: &str, code: u16) {
        *self.counts.entry((call.resource, call.verb)).or_default() += 1;
        let number = self.requests.back().map_or(1, |last| last.number + 1);
        self.requests.push_back(Request {
            number,
            user: user.to_owned(),
            verb: call.verb,
            resource: call.resource,
            namespace: call.namespace.clone(),
            name: call.name.clone(),
            query: query.to_owned(),
            code,
        });
        if self.requests.len() > KEPT {
            self.requests.pop_front();
        }
    }

    /// Notes a request without a known user.
    pub fn note_unauthorized(&mut self) {
        self.unauthorized += 1;
    }

    /// Notes that a watch was opened.
    pub fn watch_opened(&mut self, resource: Resource) {
        *self.open.entry(resource).or_default() += 1;
    }

    /// Notes that a watch ended.
    pub fn watch_ended(&mut self, resource: Resource) {
        if let Some(open) = self.open.get_mut(&resource) {
            *open = open.saturating_sub(1);
        }
    }

    /// Notes a bookmark that was sent.
    pub fn bookmark_sent(&mut self, resource: Resource) {
        *self.bookmarks.entry(resource).or_default() += 1;
    }

    /// How many bookmarks were sent on watches of `resource`.
    pub fn bookmarks(&self, resource: Resource) -> u64 {
        self.bookmarks.get(&resource).copied().unwrap_or_default()
    }

    /// The requests kept, oldest first.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter()
    }

    /// How many requests of this kind there were.
    pub fn count(&self, verb: Verb, resource: Resource) -> u64 {
        self.counts.get(&(resource, verb)).copied().unwrap_or_default()
    }

    /// How many watches of `resource` are open.
    pub fn open_watches(&self, resource: Resource) -> u64 {
        self.open.get(&resource).copied().unwrap_or_default()
    }

    /// How many requests were refused with 401.
    pub fn unauthorized(&self) -> u64 {
        self.unauthorized
    }
}
