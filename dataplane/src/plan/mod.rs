// SPDX-License-Identifier: MIT OR Apache-2.0
//! From compiled Services to the ops that bring the kernel's maps in step. Pure: it assigns ids and writes nothing.

mod backend_map;
mod cache;
mod desired;
mod diff;
mod id;
mod id_pool;
mod maps;
mod memory_maps;
mod op;
mod planner;
mod resync;
mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use backend_map::BackendMap;
pub use dataplane_common::EmptyVerdict;
pub use diff::diff;
pub use id::{BackendId, ServiceId, SetId};
pub use maps::{Bound, Capacity, Maps, MapsError, Shortage};
pub use memory_maps::MemoryMaps;
pub use op::Op;
pub use planner::{Plan, Planner};
pub use resync::Resync;
pub use state::{AddressFlags, Backend, BackendState, FrontendValue, KernelState, ScopeValue, SetRef};
