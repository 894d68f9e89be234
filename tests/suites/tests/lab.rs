// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real agent and its kernel programs on a cluster of namespaces, judged from the pods.
//!
//! Every test makes its own cluster, so they run in any order and side by side.

#[path = "lab/plain.rs"]
mod plain;
