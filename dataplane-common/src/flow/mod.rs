// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The life of a flow: how it begins, what its packets do to it, how it ends.

pub(crate) mod claim;
pub(crate) mod established;
pub(crate) mod foreign;
pub(crate) mod masquerade;
pub(crate) mod new_flow;
pub(crate) mod pair;
pub(crate) mod reject;
pub(crate) mod tcp;
