// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! What becomes of a fragmented packet's parts: maps `fragments4` and `fragments6`.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

use crate::maps::flow_state::State;
use crate::maps::flows::{FlowKey, FlowValue};
use crate::maps::services::ServiceId;
use crate::value::family::Family;
use crate::value::tick::Tick;

/// What the parts of a packet have in common at a hook: key of the maps `fragments4` and `fragments6`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FragmentKey<F: Family> {
    src: F::Addr,
    dst: F::Addr,
    id: u32,
    hook: u8,
    /// IPv4's, which numbers each protocol's packets on their own (RFC 791); 0 for IPv6, of which only the
    /// first part's next header counts (RFC 8200 section 4.5).
    protocol: u8,
    zero: [u8; 2],
}

impl<F: Family> FragmentKey<F> {
    /// The key of the packet with number `id` that `key`'s packet is a part of.
    #[inline(always)]
    pub(crate) fn new(key: &FlowKey<F>, id: u32) -> Self {
        Self {
            src: key.src,
            dst: key.dst,
            id,
            hook: key.hook() as u8,
            protocol: if F::IS_V6 { 0 } else { key.protocol },
            zero: [0; 2],
        }
    }
}

/// What is written to all parts of a packet: value of the maps `fragments4` and `fragments6`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FragmentValue<F: Family> {
    /// The new destination (at ingress) or source (at egress).
    pub(crate) addr: F::Addr,
    /// Whose packet it is; 0 for a plain flow (to no Service) that was moved.
    pub(crate) service: ServiceId,
    /// When the first part came.
    pub seen: Tick,
    /// Whether it is a reply, and whether its flow is masqueraded: of its state, these bits.
    pub(crate) kind: State,
}

impl<F: Family> FragmentValue<F> {
    #[inline(always)]
    pub(crate) fn of(flow: &FlowValue<F>, now: Tick) -> Self {
        Self {
            addr: flow.addr,
            service: flow.service,
            seen: now,
            kind: State(flow.state.0 & (State::REPLY.0 | State::MASQUERADE.0)),
        }
    }
}

const _: () = {
    use crate::value::family::{V4, V6};
    // No padding, whose bytes would be part of a key.
    assert!(size_of::<FragmentKey<V4>>() == 2 * 4 + 4 + 4);
    assert!(size_of::<FragmentKey<V6>>() == 2 * 16 + 4 + 4);
    assert!(size_of::<FragmentValue<V4>>() == 4 + 3 * 4);
    assert!(size_of::<FragmentValue<V6>>() == 16 + 3 * 4);
};
