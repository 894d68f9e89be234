// SPDX-License-Identifier: MIT OR Apache-2.0
//! Orders to open watches: end, stall, send a bookmark. Pure; the watches look at them.
//!
//! An order applies to watches by their number, so an order to the open watches leaves later ones alone. A client that
//! comes back sees the same after a network failure.

use std::collections::BTreeMap;

use crate::resource::Resource;

/// The number of a watch, counted from 1 in the order of arrival.
pub type WatchId = u64;

/// How a watch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The stream ends as it does at its timeout.
    Clean,
    /// The connection breaks in mid-stream.
    Abort,
}

/// The watches of a resource that an order applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those open now.
    Open,
    /// Those open now and all to come.
    All,
}

/// The orders in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    last: WatchId,
    orders: BTreeMap<Resource, Orders>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Orders {
    end: Option<(WatchId, Ending)>,
    stall: WatchId,
    bookmarks: u64,
}

impl Streams {
    /// The number of a new watch.
    pub fn open(&mut self) -> WatchId {
        self.last += 1;
        self.last
    }

    /// Ends the open watches of `resource`, or of every one.
    pub fn end(&mut self, resource: Option<Resource>, ending: Ending) {
        let last = self.last;
        self.each(resource, |orders| orders.end = Some((last, ending)));
    }

    /// Stalls watches: the connection stays, and nothing comes any more, not even its end.
    pub fn stall(&mut self, resource: Option<Resource>, which: Which) {
        let up_to = match which {
            Which::Open => self.last,
            Which::All => WatchId::MAX,
        };
        self.each(resource, |orders| orders.stall = up_to);
    }

    /// Lets stalled watches go on; they catch up.
    pub fn resume(&mut self, resource: Option<Resource>) {
        self.each(resource, |orders| orders.stall = 0);
    }

    /// Has every open watch that takes bookmarks send one.
    pub fn bookmark(&mut self, resource: Option<Resource>) {
        self.each(resource, |orders| orders.bookmarks += 1);
    }

    /// How the watch is to end, if it is to.
    pub fn ending(&self, resource: Resource, id: WatchId) -> Option<Ending> {
        self.of(resource)
            .end
            .filter(|(up_to, _)| id <= *up_to)
            .map(|(_, ending)| ending)
    }

    /// Whether the watch is stalled.
    pub fn is_stalled(&self, resource: Resource, id: WatchId) -> bool {
        id <= self.of(resource).stall
    }

    /// How many bookmarks have been ordered of `resource`.
    pub fn bookmarks(&self, resource: Resource) -> u64 {
        self.of(resource).bookmarks
    }

    fn of(&self, resource: Resource) -> Orders {
        self.orders.get(&resource).copied().unwrap_or_default()
    }

    fn each(&mut self, resource: Option<Resource>, order: impl Fn(&mut Orders)) {
        for one in Resource::ALL
            .into_iter()
            .filter(|one| resource.is_none_or(|r| r == *one))
        {
            order(self.orders.entry(one).or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICES: Resource = Resource::Services;

    #[test]
    fn an_ending_applies_to_open_watches_and_no_later_ones() {
        let mut streams = Streams::default();
        let first = streams.open();
        streams.end(Some(SERVICES), Ending::Abort);
        let second = streams.open();
        assert_eq!(streams.ending(SERVICES, first), Some(Ending::Abort));
        assert_eq!(streams.ending(SERVICES, second), None);
        assert_eq!(streams.ending(Resource::Nodes, first), None);
    }

    #[test]
    fn a_stall_applies_to_open_watches_or_all_until_it_is_lifted() {
        let mut streams = Streams::default();
        let first = streams.open();
        streams.stall(None, Which::Open);
        let second = streams.open();
        assert!(streams.is_stalled(SERVICES, first));
        assert!(!streams.is_stalled(SERVICES, second));
        streams.stall(Some(SERVICES), Which::All);
        let third = streams.open();
        assert!(streams.is_stalled(SERVICES, third) && !streams.is_stalled(Resource::Nodes, third));
        streams.resume(None);
        assert!(!streams.is_stalled(SERVICES, first));
    }
}
