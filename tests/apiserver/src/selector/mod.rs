// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which objects a list or watch asks for: label and field selectors together.

mod field;
mod label;

pub use field::{FieldSelector, FieldSelectorError};
pub use label::{LabelSelector, LabelSelectorError};

use crate::object::Object;

/// Both selectors of a request; the default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// `labelSelector`
    pub labels: LabelSelector,
    /// `fieldSelector`
    pub fields: FieldSelector,
}

impl Selector {
    /// Whether it selects this object.
    pub fn matches(&self, object: &Object) -> bool {
        self.labels.matches(&object.labels) && self.fields.matches(&object.fields)
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}
