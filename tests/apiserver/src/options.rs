// SPDX-License-Identifier: MIT OR Apache-2.0
//! The query of a request: ListOptions.

use std::collections::BTreeMap;

use crate::object::Revision;
use crate::resource::Resource;
use crate::selector::{FieldSelector, LabelSelector, Selector};
use crate::status::Status;
use crate::store::{Continue, Version};

/// The query, read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `labelSelector` and `fieldSelector`
    pub selector: Selector,
    /// `watch`
    pub watch: bool,
    /// `limit`
    pub limit: Option<usize>,
    /// `continue`
    pub continuation: Option<Continue>,
    /// `timeoutSeconds`
    pub timeout_seconds: Option<u64>,
    /// `allowWatchBookmarks`
    pub bookmarks: bool,
    /// `sendInitialEvents`
    pub send_initial_events: Option<bool>,
    resource: Option<Resource>,
    version: Option<u64>,
    version_match: Option<Match>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    NotOlderThan,
    Exact,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the present as additions, then changes.
    Present {
        /// Refuse to start before this revision is there.
        not_before: Revision,
        /// Mark their end with a bookmark (a streaming list).
        end_mark: bool,
    },
    /// With the next change.
    Now,
    /// With the changes after this revision.
    After(Revision),
}

impl Options {
    /// Reads a query string.
    pub fn parse(query: &str, resource: Resource) -> Result<Self, Status> {
        let pairs: BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let text = |name: &str| pairs.get(name).map(String::as_str).unwrap_or_default();
        let continuation = match text("continue") {
            "" => None,
            token => Some(Continue::decode(token).ok_or_else(|| bad("continue", token))?),
        };
        Ok(Self {
            selector: Selector {
                labels: LabelSelector::parse(text("labelSelector"))?,
                fields: FieldSelector::parse(text("fieldSelector"), resource)?,
            },
            watch: flag("watch", text("watch"))?.unwrap_or_default(),
            limit: number("limit", text("limit"))?,
            continuation,
            timeout_seconds: number("timeoutSeconds", text("timeoutSeconds"))?,
            bookmarks: flag("allowWatchBookmarks", text("allowWatchBookmarks"))?.unwrap_or_default(),
            send_initial_events: flag("sendInitialEvents", text("sendInitialEvents"))?,
            resource: Some(resource),
            version: number("resourceVersion", text("resourceVersion"))?,
            version_match: version_match(text("resourceVersionMatch"))?,
        })
    }

    /// Narrows the selection to one name: a watch on one object is a watch on its name.
    pub fn only(&mut self, name: &str) -> Result<(), Status> {
        if let Some(resource) = self.resource {
            self.selector.fields = FieldSelector::parse(&format!("metadata.name={name}"), resource)?;
        }
        Ok(())
    }

    /// The revision a list asks for.
    pub fn list_version(&self) -> Result<Version, Status> {
        if self.continuation.is_some() && (self.version.is_some() || self.version_match.is_some()) {
            return Err(forbidden("resourceVersion is forbidden together with continue"));
        }
        if self.send_initial_events.is_some() {
            return Err(forbidden("sendInitialEvents is forbidden for list"));
        }
        match (self.version, self.version_match) {
            (None, Some(_)) => Err(forbidden(
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            )),
            (None, None) => Ok(Version::MostRecent),
            (Some(0), Some(Match::Exact)) => Err(forbidden(
                "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
            )),
            (Some(0), _) => Ok(Version::Any),
            (Some(revision), Some(Match::Exact)) => Ok(Version::Exact(Revision(revision))),
            // A first page at an unqualified revision has always meant that very revision.
            (Some(revision), None) if self.limit.is_some_and(|limit| limit > 0) => {
                Ok(Version::Exact(Revision(revision)))
            }
            (Some(revision), _) => Ok(Version::NotOlderThan(Revision(revision))),
        }
    }

    /// Where a watch begins; `streaming` tells whether the server offers streaming lists.
    pub fn watch_start(&self, streaming: bool) -> Result<Start, Status> {
        let version = self.version.unwrap_or_default();
        let Some(initial) = self.send_initial_events else {
            return match (self.version_match, version) {
                (Some(_), _) => Err(forbidden(
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                )),
                (None, 0) => Ok(Start::Present {
                    not_before: Revision(0),
                    end_mark: false,
                }),
                (None, revision) => Ok(Start::After(Revision(revision))),
            };
        };
        if !streaming {
            return Err(forbidden(
                "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
            ));
        }
        if self.version_match != Some(Match::NotOlderThan) {
            return Err(forbidden(
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        match (initial, version) {
            (true, revision) => Ok(Start::Present {
                not_before: Revision(revision),
                end_mark: self.bookmarks,
            }),
            (false, 0) => Ok(Start::Now),
            (false, revision) => Ok(Start::After(Revision(revision))),
        }
    }
}

fn number<N: std::str::FromStr>(name: &str, text: &str) -> Result<Option<N>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| bad(name, text))
}

fn flag(name: &str, text: &str) -> Result<Option<bool>, Status> {
    match text {
        "" => Ok(None),
        "true" | "1" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        other => Err(bad(name, other)),
    }
}

fn version_match(text: &str) -> Result<Option<Match>, Status> {
    match text {
        "" => Ok(None),
        "NotOlderThan" => Ok(Some(Match::NotOlderThan)),
        "Exact" => Ok(Some(Match::Exact)),
        other => Err(bad("resourceVersionMatch", other)),
    }
}

fn bad(name: &str, text: &str) -> Status {
    Status::new(400, format!("invalid value for {name}: {text:?}"))
}

fn forbidden(message: &str) -> Status {
    Status::new(422, format!("ListOptions.meta.k8s.io \"\" is invalid: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(query: &str) -> Result<Version, u16> {
        Options::parse(query, Resource::Services)
            .and_then(|o| o.list_version())
            .map_err(|s| s.code)
    }

    fn watch(query: &str) -> Result<Start, u16> {
        Options::parse(query, Resource::Services)
            .and_then(|o| o.watch_start(true))
            .map_err(|s| s.code)
    }

    #[test]
    fn the_version_of_a_list() {
        assert_eq!(list(""), Ok(Version::MostRecent));
        assert_eq!(list("resourceVersion="), Ok(Version::MostRecent));
        assert_eq!(list("resourceVersion=0"), Ok(Version::Any));
        assert_eq!(
            list("resourceVersion=0&resourceVersionMatch=NotOlderThan"),
            Ok(Version::Any)
        );
        assert_eq!(list("resourceVersion=7"), Ok(Version::NotOlderThan(Revision(7))));
        assert_eq!(list("resourceVersion=7&limit=2"), Ok(Version::Exact(Revision(7))));
        assert_eq!(
            list("resourceVersion=7&resourceVersionMatch=Exact"),
            Ok(Version::Exact(Revision(7)))
        );
    }

    #[test]
    fn invalid_versions_are_refused() {
        assert_eq!(list("resourceVersionMatch=Exact"), Err(422));
        assert_eq!(list("resourceVersion=0&resourceVersionMatch=Exact"), Err(422));
        assert_eq!(list("resourceVersion=x"), Err(400));
        assert_eq!(list("resourceVersion=1&resourceVersionMatch=Sometimes"), Err(400));
        assert_eq!(list("continue=nonsense"), Err(400));
    }

    #[test]
    fn where_a_watch_begins() {
        let present = Start::Present {
            not_before: Revision(0),
            end_mark: false,
        };
        assert_eq!(watch(""), Ok(present));
        assert_eq!(watch("resourceVersion=0"), Ok(present));
        assert_eq!(watch("resourceVersion=7"), Ok(Start::After(Revision(7))));
        assert_eq!(
            watch("resourceVersion=7&resourceVersionMatch=NotOlderThan"),
            Err(422)
        );
    }

    #[test]
    fn a_streaming_list_needs_its_match_and_the_feature() {
        let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
        assert_eq!(
            watch(query),
            Ok(Start::Present {
                not_before: Revision(0),
                end_mark: true
            })
        );
        assert_eq!(watch("sendInitialEvents=true"), Err(422));
        assert_eq!(
            watch("sendInitialEvents=false&resourceVersionMatch=NotOlderThan"),
            Ok(Start::Now)
        );
        let options = Options::parse(query, Resource::Services).unwrap();
        assert_eq!(options.watch_start(false).unwrap_err().code, 422);
    }

    #[test]
    fn selectors_are_decoded() {
        let query = "labelSelector=%21service.kubernetes.io%2Fheadless%2Ca+in+%28b%29";
        let options = Options::parse(query, Resource::Services).unwrap();
        assert_eq!(
            options.selector.labels,
            LabelSelector::parse("!service.kubernetes.io/headless,a in (b)").unwrap()
        );
    }
}
