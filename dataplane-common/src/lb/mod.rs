// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Which Service a destination is, and which backend a new flow gets.

pub(crate) mod affinity;
pub(crate) mod hash;
pub(crate) mod select;
pub(crate) mod source;
