// SPDX-License-Identifier: MIT OR Apache-2.0
//! The only interface to the kernel's maps.

use std::io;

use super::op::Op;
use super::state::KernelState;
use crate::model::{Family, ServicePortName};

/// The maps to which ops are applied.
pub trait Maps {
    /// The sizes that limit ids.
    fn capacity(&self) -> Capacity;

    /// Everything in the maps, invalid entries included: an entry that nothing refers to must be seen to be removed.
    fn load(&self) -> Result<KernelState, MapsError>;

    /// One change. After an error the entry is as before, except that a set may be half there.
    fn apply(&mut self, op: &Op) -> Result<(), MapsError>;

    /// Changes in order, as many at once as the maps accept. How many were made, from the first on; after an error
    /// the next of them was not.
    fn apply_all(&mut self, ops: &[&Op]) -> (usize, Result<(), MapsError>) {
        for (count, op) in ops.iter().enumerate() {
            if let Err(error) = self.apply(op) {
                return (count, Err(error));
            }
        }
        (ops.len(), Ok(()))
    }
}

/// The sizes of the maps that are indexed by ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub services: Bound,
    pub backends4: Bound,
    pub backends6: Bound,
}

impl Capacity {
    pub fn backends(&self, family: Family) -> Bound {
        match family {
            Family::V4 => self.backends4,
            Family::V6 => self.backends6,
        }
    }
}

/// A map's size and the flag that changes it. Ids go from 1 to `highest_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound {
    pub map: &'static str,
    pub flag: &'static str,
    pub highest_id: u32,
}

/// A ServicePort that could not get all the ids it needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shortage {
    pub port: ServicePortName,
    pub bound: Bound,
}

#[derive(Debug, thiserror::Error)]
pub enum MapsError {
    #[error("map {map} is full: it has {capacity} entries: start the agent with a larger {flag}")]
    Full {
        map: &'static str,
        capacity: u32,
        flag: &'static str,
    },
    #[error("cannot {action} map {map}: {source}")]
    System {
        map: &'static str,
        action: &'static str,
        source: io::Error,
    },
}

impl From<Bound> for MapsError {
    fn from(bound: Bound) -> Self {
        Self::Full {
            map: bound.map,
            capacity: bound.highest_id,
            flag: bound.flag,
        }
    }
}

impl MapsError {
    /// The map it is about, for the metric's label.
    pub fn map(&self) -> &'static str {
        match self {
            Self::Full { map, .. } | Self::System { map, .. } => map,
        }
    }
}
