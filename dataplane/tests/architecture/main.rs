// SPDX-License-Identifier: MIT OR Apache-2.0
//! What docs/architecture.md says of the folders is true: which folder uses which, and that the core is pure.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod arrows;
mod paths;
mod sources;
mod words;
