// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The cluster's address ranges: maps `networks4` and `networks6`.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

use crate::value::family::Family;

/// An address range: value of a longest prefix. The default is none, which no address is in; nor can
/// it be *every* address (a mask without a bit in its first word).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Prefix<F: Family> {
    /// Its first address.
    pub addr: F::Addr,
    /// Ones where an address must be the same.
    pub mask: F::Addr,
}

impl<F: Family> Prefix<F> {
    /// Whether `addr` is in it.
    #[inline(always)]
    pub fn contains(&self, addr: &F::Addr) -> bool {
        self.is_some() && self.covers(addr)
    }

    /// The same where a mask without ones is no absence: every address.
    #[inline(always)]
    pub(crate) fn covers(&self, addr: &F::Addr) -> bool {
        let (own, mask, other) = (F::words(&self.addr), F::words(&self.mask), F::words(addr));
        own.iter()
            .zip(mask.iter())
            .zip(other.iter())
            .take(F::WORDS)
            .fold(0, |differs, ((own, mask), other)| {
                differs | ((own ^ other) & mask)
            })
            == 0
    }

    /// Whether it is a range at all.
    #[inline(always)]
    pub fn is_some(&self) -> bool {
        let [first, ..] = F::words(&self.mask);
        first != 0
    }
}

/// How a client is recognised as one of this node's pods.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Detect {
    /// By the device its packets come in by ([`Device::local`](crate::Device)).
    #[default]
    Device = 0,
    /// By its address, which is in [`Networks::pods`].
    Range = 1,
    /// Not at all: everybody is from outside, and ClusterIPs are not masqueraded.
    Nobody = 2,
}

/// Ranges of ClusterIPs that [`Networks`] has room for.
pub const SERVICE_RANGES: usize = 4;

/// Ranges that make a difference, for one family: the one value of `networks4` and of `networks6`.
/// Read for a flow's first packet, and for packets of no flow that leave the node.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Networks<F: Family> {
    /// A [`Detect`]; an unknown number counts as [`Detect::Device`].
    pub detect: u32,
    /// The cluster's secret in the hash that chooses backends and ports, so that clients cannot; the same on all
    /// nodes. 0 for none.
    pub hash_seed: u32,
    /// Where this node's pods are, for [`Detect::Range`].
    pub pods: Prefix<F>,
    /// The node's own address: what its processes' connections to Services count as coming from.
    /// Unspecified if it has none of this family.
    pub node: F::Addr,
    /// Where ClusterIPs come from. Filled from the first on.
    pub services: [Prefix<F>; SERVICE_RANGES],
}

impl<F: Family> Networks<F> {
    /// How pods are recognised.
    #[inline(always)]
    pub fn detect(&self) -> Detect {
        match self.detect {
            1 => Detect::Range,
            2 => Detect::Nobody,
            _ => Detect::Device,
        }
    }

    /// Whether ClusterIPs come from a range that `addr` is in.
    #[inline(always)]
    pub fn is_service(&self, addr: &F::Addr) -> bool {
        self.services.iter().any(|prefix| prefix.contains(addr))
    }

    /// Whether `addr` may be a ClusterIP: so may any where the ranges are not known.
    #[inline(always)]
    pub(crate) fn may_be_service(&self, addr: &F::Addr) -> bool {
        let [first, ..] = &self.services;
        !first.is_some() || self.is_service(addr)
    }
}

const _: () = {
    use crate::value::family::{V4, V6};
    assert!(size_of::<Networks<V4>>() == 8 + 5 * 8 + 4);
    assert!(size_of::<Networks<V6>>() == 8 + 5 * 32 + 16);
};

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::value::family::{V4, V6};

    #[test]
    fn a_range_has_its_addresses_and_none_has_nobody() {
        let v4 = |text: &str| text.parse::<Ipv4Addr>().map(Into::into).unwrap_or_default();
        let v6 = |text: &str| text.parse::<Ipv6Addr>().map(Into::into).unwrap_or_default();
        let cluster = Prefix::<V4> {
            addr: v4("10.96.0.0"),
            mask: v4("255.240.0.0"),
        };
        assert!(cluster.contains(&v4("10.111.255.255")));
        assert!(!cluster.contains(&v4("10.112.0.0")));
        let cluster = Prefix::<V6> {
            addr: v6("fd00:10:96::"),
            mask: v6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:0"),
        };
        assert!(cluster.contains(&v6("fd00:10:96::ffff")));
        assert!(!cluster.contains(&v6("fd00:10:96::1:0")));
        assert!(!Prefix::<V4>::default().contains(&v4("0.0.0.0")));
        assert!(!Networks::<V6>::default().is_service(&v6("::")));
    }
}
