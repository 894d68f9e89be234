// SPDX-License-Identifier: MIT OR Apache-2.0
//! The part of the status that only the agent knows. The rest is read from the kernel's maps.

use serde::{Deserialize, Serialize};

/// Published by the agent, read by the admin server and, through it, by `shunt status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// First lists that have not arrived.
    pub awaited: Vec<String>,
    /// The kernel holds all it should.
    pub in_step: bool,
    /// Why not, after a failed write.
    pub failures: Vec<String>,
    pub refusals: Vec<RefusedObject>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedObject {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub reason: String,
}
