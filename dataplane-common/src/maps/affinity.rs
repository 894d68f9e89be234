// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The backend that a client had last: maps `affinity4` and `affinity6`.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

use crate::maps::backends::BackendId;
use crate::maps::services::ServiceId;
use crate::value::family::Family;
use crate::value::tick::Tick;
use crate::value::wire::Port;

/// A client of a Service port: key of the maps `affinity4` and `affinity6`. One for all frontends of
/// a Service port.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AffinityKey<F: Family> {
    /// The client.
    pub client: F::Addr,
    /// The Service port.
    pub service: ServiceId,
}

/// The backend a client was given to last: value of the maps `affinity4` and `affinity6`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Affinity<F: Family> {
    /// The backend's address, which distinguishes it from another that has taken its slot.
    pub addr: F::Addr,
    /// The backend.
    pub backend: BackendId,
    /// When the client's last *new* flow began.
    pub last_new: Tick,
    /// The backend's port.
    pub port: Port,
    /// Zero.
    pub zero: [u8; 2],
}

impl<F: Family> Affinity<F> {
    /// Whether it is over at `now`, by a Service's timeout. Held at least that long, and at most two
    /// ticks longer.
    #[inline(always)]
    pub fn is_expired(&self, timeout_seconds: u32, now: Tick) -> bool {
        now.since(self.last_new) > Tick::from_nanoseconds(timeout_seconds as u64 * 1_000_000_000).0 + 1
    }
}

const _: () = {
    use crate::value::family::{V4, V6};
    // No padding anywhere: the fields fill the struct.
    assert!(size_of::<AffinityKey<V4>>() == 4 + 4);
    assert!(size_of::<AffinityKey<V6>>() == 16 + 4);
    assert!(size_of::<Affinity<V4>>() == 4 + 4 + 4 + 4);
    assert!(size_of::<Affinity<V6>>() == 16 + 4 + 4 + 4);
};
