// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ids by which the kernel's maps refer to each other.

use std::fmt;

pub use dataplane_common::{ServiceId, SetId};

use crate::model::Family;

/// An index from 1 into the backends of one family. A freed one is assigned again only after all others: flows
/// remember their backend by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId {
    pub family: Family,
    pub index: u32,
}

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "backend {}/{}", self.family, self.index)
    }
}
