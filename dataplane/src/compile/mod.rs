// SPDX-License-Identifier: MIT OR Apache-2.0
//! One Service and its endpoints, compiled to what the kernel should hold. Pure.

mod port;

pub use port::{Compiled, EmptyVerdict, Frontend, Member, Port, Scope};
