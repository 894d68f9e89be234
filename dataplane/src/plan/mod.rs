// SPDX-License-Identifier: MIT OR Apache-2.0
//! From compiled Services to the ops that bring the kernel's tables in step. Pure: ids are given out here,
//! nothing is written.

mod diff;
mod draft;
mod ids;
mod maps;
mod memory;
mod mirror;
mod op;
mod planner;
mod resync;
mod slots;
mod tables;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use crate::compile::EmptyVerdict;
pub use diff::diff;
pub use maps::{Bound, Capacity, Maps, MapsError};
pub use memory::MemoryMaps;
pub use op::Op;
pub use planner::{Plan, Planner, Shortage};
pub use resync::Resync;
pub use slots::Slots;
pub use tables::{
    AddressFlags, Backend, BackendId, BackendState, FrontendValue, KernelState, ScopeValue, ServiceId, SetId,
    SetRef,
};
