// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! What is known of an address: maps `addresses4` and `addresses6`.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

/// What is known of an address: value of the maps `addresses4` and `addresses6`.
///
/// This one lookup, with a small key, sorts out most packets that are for no Service.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct AddressFlags(pub u32);

impl AddressFlags {
    /// At least one frontend has this address.
    pub const VIP: Self = Self(1);
    /// It is an address of this node: a ClusterIP that the node owns itself (a node-local DNS cache)
    /// is not translated.
    pub const NODE: Self = Self(1 << 1);
    /// It is an address of this node that serves NodePorts.
    pub const NODE_PORTS: Self = Self(1 << 2);
    /// At least one ClusterIP frontend has it: ports that no Service has there are refused. At a load
    /// balancer's or an external address, other ports may belong to something else.
    pub const CLUSTER_IP: Self = Self(1 << 3);

    /// These flags and those.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other`'s flags are set.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
