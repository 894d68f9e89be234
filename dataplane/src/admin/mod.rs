// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent's own port: `/livez`, `/readyz`, `/metrics` and `/status`. It reads and never writes.

mod heartbeat;
mod ready;
mod server;
mod status;

pub use heartbeat::Heartbeat;
pub use ready::{Ready, Task};
pub use server::{Admin, serve};
pub use status::{RefusedObject, Status};
