// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Values: addresses, ports, protocols, time. Nothing in here uses another folder.

pub(crate) mod checksum;
pub(crate) mod family;
pub(crate) mod hook;
pub(crate) mod protocol;
pub(crate) mod tick;
pub(crate) mod wire;
