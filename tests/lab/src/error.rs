// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can go wrong in a lab. An error says what was being done; the lab is test equipment, so nobody
//! matches on the reason, people read it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{doing}: {source}")]
    Io { doing: String, source: io::Error },
    #[error("{doing}: {source}")]
    Netlink { doing: String, source: rtnetlink::Error },
    #[error("waited {waited:?} for {what}: last seen: {last}")]
    Timeout {
        what: String,
        waited: Duration,
        last: String,
    },
    #[error("{name} ended early ({status}): its log says: {log}")]
    Ended {
        name: String,
        status: String,
        log: String,
    },
    #[error("no `{name}` binary at {tried:?}: build it, or name it with {variable}")]
    NoBinary {
        name: &'static str,
        variable: &'static str,
        tried: Vec<PathBuf>,
    },
    #[error("{doing}: cannot read {what}: {why}")]
    Malformed {
        doing: String,
        what: String,
        why: String,
    },
    #[error("{0}")]
    Failed(String),
}

/// Says what was being done when a call failed.
pub trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io {
            doing: what(),
            source,
        })
    }
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| Error::Io {
            doing: what(),
            source: errno.into(),
        })
    }
}

impl<T> Doing<T> for Result<T, rtnetlink::Error> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Netlink {
            doing: what(),
            source,
        })
    }
}

impl Error {
    /// The kind of an I/O error, for tests that expect a certain refusal.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}
