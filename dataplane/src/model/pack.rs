// SPDX-License-Identifier: MIT OR Apache-2.0
//! Trees that take no more memory than they have to.

use std::collections::BTreeMap;

/// Rebuilds a tree: one that grew in order is half empty (a full node is split behind its middle, and nothing comes
/// to the half before), and one made in one go is full.
pub(crate) fn pack<K: Ord, V>(tree: &mut BTreeMap<K, V>) {
    *tree = std::mem::take(tree).into_iter().collect();
}
