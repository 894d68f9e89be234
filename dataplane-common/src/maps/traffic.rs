// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! What each Service port has carried: map `traffic`.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

/// What a Service port has carried since the map was made: value of the per-CPU array `traffic`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ServiceTraffic {
    /// Flows begun.
    pub new_flows: u64,
    /// Packets from clients.
    pub packets: u64,
    /// Their bytes, link-layer headers included.
    pub bytes: u64,
    /// Packets to clients.
    pub reply_packets: u64,
    /// Their bytes.
    pub reply_bytes: u64,
}

// No padding anywhere: the fields fill the struct.
const _: () = assert!(size_of::<ServiceTraffic>() == 5 * 8);
