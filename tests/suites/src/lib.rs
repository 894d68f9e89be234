// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the suites share: packets as text and bytes, the case table, and the two machines that the
//! table is run through — the host build of the decisions and the loaded kernel programs.

#![expect(clippy::expect_used, clippy::panic, reason = "test code fails loudly")]

pub mod cases;
pub mod control;
pub mod forge;
pub mod host;
pub mod kernel;
pub mod packet;
pub mod random;
pub mod upstream;
pub mod world;
