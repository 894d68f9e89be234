// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The lookup of a route, and its answer, as the helper `bpf_fib_lookup` has them.

use aya_ebpf::bindings::bpf_fib_lookup;
use dataplane_common::{Addr4, Addr6, Family, FibLookup};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// `struct bpf_fib_lookup` (linux/bpf.h), with a name for each thing that is in one place of it.
#[repr(C)]
pub(crate) struct FibParams {
    /// Of the packet; in the answer, of the neighbour.
    pub(crate) family: u8,
    protocol: u8,
    sport: u16,
    dport: u16,
    /// Bytes of the IP packet; in the answer, what the route takes.
    length: u16,
    /// Where the packet came in; in the answer, where it leaves.
    pub(crate) ifindex: u32,
    /// Of IPv4 the type of service, of IPv6 the traffic class and flow label; in the answer, a metric.
    class: u32,
    src: [u32; 4],
    /// The packet's destination; in the answer, the neighbour.
    pub(crate) dst: [u32; 4],
    table: u32,
    /// The device's link-layer address, then the neighbour's.
    link: [u16; 6],
}
const _: () = assert!(size_of::<FibParams>() == size_of::<bpf_fib_lookup>());

impl FibParams {
    /// For a packet that came in by this device. Rules by mark or class of traffic do not see it.
    #[inline(always)]
    pub(crate) fn to<F: Family>(lookup: &FibLookup<F>, ifindex: u32) -> Self {
        let (sport, dport) = lookup.ports;
        Self {
            family: if F::IS_V6 { AF_INET6 } else { AF_INET },
            protocol: lookup.protocol,
            sport: sport.memory(),
            dport: dport.memory(),
            length: lookup.length,
            ifindex,
            class: 0,
            src: F::words(&lookup.src),
            dst: F::words(&lookup.dst),
            table: 0,
            link: [0; 6],
        }
    }

    /// For a packet of the host's own that leaves by this device.
    #[inline(always)]
    pub(crate) fn of_host<F: Family>(dst: &F::Addr, ifindex: u32) -> Self {
        Self {
            family: if F::IS_V6 { AF_INET6 } else { AF_INET },
            protocol: 0,
            sport: 0,
            dport: 0,
            length: 0,
            ifindex,
            class: 0,
            src: [0; 4],
            dst: F::words(dst),
            table: 0,
            link: [0; 6],
        }
    }

    /// The source that routing has written.
    #[inline(always)]
    pub(crate) fn source<F: Family>(&self) -> F::Addr {
        let [first, ..] = self.src;
        F::pick(Addr4::from_memory(first), Addr6::from_memory(self.src))
    }

    #[inline(always)]
    pub(crate) fn as_ptr(&mut self) -> *mut bpf_fib_lookup {
        (&raw mut *self).cast()
    }

    /// As an Ethernet header begins: to the neighbour, from the device.
    #[inline(always)]
    pub(crate) fn link(&self) -> [u16; 6] {
        let [s0, s1, s2, d0, d1, d2] = self.link;
        [d0, d1, d2, s0, s1, s2]
    }
}
