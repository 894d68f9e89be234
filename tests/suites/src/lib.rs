// SPDX-License-Identifier: MIT OR Apache-2.0
//! The code that the suites share: packets as text and bytes, the case table, and the two datapaths that run the
//! table: the host build of the decisions and the loaded kernel programs.

#![expect(clippy::expect_used, clippy::panic, reason = "test code fails loudly")]

pub mod cases;
pub mod control;
pub mod host;
pub mod kernel;
pub mod packet;
pub mod packet_variants;
pub mod random;
pub mod setup;
pub mod upstream;
