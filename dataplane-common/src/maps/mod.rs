// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The pinned maps: one file for each, with its key and its value. An older agent may have filled them.
//!
//! **A change of a layout or of a meaning in this folder raises [`MAP_ABI`](crate::MAP_ABI).**

pub(crate) mod addresses;
pub(crate) mod affinity;
pub(crate) mod answers;
pub(crate) mod backends;
pub(crate) mod config;
pub(crate) mod devices;
mod display;
pub(crate) mod flow_state;
pub(crate) mod flows;
pub(crate) mod fragments;
pub(crate) mod frontends;
pub(crate) mod networks;
pub(crate) mod peers;
#[cfg(feature = "user")]
mod pod;
pub(crate) mod ranges;
pub(crate) mod services;
pub(crate) mod sets;
pub(crate) mod traffic;
