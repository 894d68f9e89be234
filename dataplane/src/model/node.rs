// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the agent needs to know of its own Node.

use std::fmt;
use std::sync::Arc;

/// A topology zone's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(pub Arc<str>);

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// This node. Without a zone, zone hints are not followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub zone: Option<Zone>,
}
