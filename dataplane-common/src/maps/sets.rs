// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The backends that a frontend chooses from: map `sets`.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

use crate::maps::backends::BackendId;

/// An immutable set of backends. Numbers are not used again, so a packet that read a frontend just
/// before it changed finds the old set or no set, never another's.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SetId(pub u32);

/// The backends for one source scope.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SetRef {
    /// The set.
    pub id: SetId,
    /// How many backends it has; at 0 there is no set and the frontend's [`EmptyVerdict`](crate::EmptyVerdict) holds.
    pub size: u32,
}

impl SetRef {
    /// No set.
    pub const EMPTY: Self = Self {
        id: SetId(0),
        size: 0,
    };
}

/// Backends per entry of the map `sets`: a Service of up to this many endpoints is one entry, one
/// write and one lookup.
pub const SET_CHUNK: u32 = 16;

/// Key of the map `sets`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SetKey {
    /// The set.
    pub set: SetId,
    /// Which of its chunks: slot / [`SET_CHUNK`].
    pub chunk: u32,
}

/// Value of the map `sets`: backends of the family that the frontend is of.
pub type SetChunk = [BackendId; SET_CHUNK as usize];

// No padding anywhere: the fields fill the struct.
const _: () = assert!(size_of::<SetKey>() == 8);
const _: () = assert!(size_of::<SetChunk>() == 64);
