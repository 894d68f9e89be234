// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The source ranges of Services: longest-prefix maps `ranges4` and `ranges6`.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

use crate::maps::services::ServiceId;
use crate::value::family::Family;

/// The clients that may use a load balancer's frontend: key of the longest-prefix maps `ranges4` and
/// `ranges6`, with a prefix of 32 bits for the Service and those of the range.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RangeKey<F: Family> {
    /// The Service port.
    pub service: ServiceId,
    /// The client, or the range.
    pub addr: F::Addr,
}

impl<F: Family> RangeKey<F> {
    /// Bits of the Service in a key's prefix.
    pub const SERVICE_BITS: u32 = 32;
}

const _: () = {
    use crate::value::family::{V4, V6};
    // No padding anywhere: the fields fill the struct.
    assert!(size_of::<RangeKey<V4>>() == 4 + 4);
    assert!(size_of::<RangeKey<V6>>() == 4 + 16);
};
