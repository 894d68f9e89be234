// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Fragmented packets: only the first part has ports, and the later ones must go where it went.
//!
//! The first part goes the way of a whole packet. (Its transport checksum is over all parts, and
//! stays right by difference.) What was written to it is remembered under what all parts have in common,
//! and written to the later ones too. Not the ports, but the decision: a flow that changes its backend
//! meanwhile would otherwise leave half of a datagram with either.
//!
//! A part that comes before the first, or long after it, is dropped if it is to a VIP, and passes
//! elsewhere. Nothing is remembered of packets that are left as they are; but what an earlier packet
//! of the same number left behind is forgotten, because numbers come round again, within seconds
//! where much is fragmented.
//!
//! Costs a first part two lookups more, a later one a lookup instead of a flow's; other packets
//! the test of a word.

use crate::family::Family;
use crate::flow::{FlowValue, Hook};
use crate::headers::Headers;
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::rewrite::address_difference;
use crate::service::ServiceId;
use crate::state::{State, Tick, ticks};
use crate::tables::{Direction, Tables};
use crate::work::Work;

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

/// What is written to all parts of a packet: value of the maps `fragments4` and `fragments6`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FragmentValue<F: Family> {
    /// The new destination (at ingress) or source (at egress).
    addr: F::Addr,
    /// Whose packet it is; 0 for a direct flow that was moved.
    service: ServiceId,
    /// When the first part came.
    pub seen: Tick,
    /// Whether it is a reply: 0 or 1.
    reply: u32,
}

const _: () = {
    use crate::family::{V4, V6};
    // No padding, whose bytes would be part of a key.
    assert!(size_of::<FragmentKey<V4>>() == 2 * 4 + 4 + 4);
    assert!(size_of::<FragmentKey<V6>>() == 2 * 16 + 4 + 4);
    assert!(size_of::<FragmentValue<V4>>() == 4 + 3 * 4);
    assert!(size_of::<FragmentValue<V6>>() == 16 + 3 * 4);
};

/// No receiver waits longer for the rest of a packet (Linux: 30 s for IPv4, 60 s for IPv6).
const TIMEOUT: u32 = ticks(60);

impl<F: Family> FragmentKey<F> {
    #[inline(always)]
    pub(crate) fn of(headers: &Headers<F>) -> Self {
        let key = &headers.key;
        Self {
            src: key.src,
            dst: key.dst,
            id: headers.fragment,
            hook: key.hook() as u8,
            protocol: if F::IS_V6 { 0 } else { key.protocol },
            zero: [0; 2],
        }
    }
}

impl<F: Family> FragmentValue<F> {
    #[inline(always)]
    fn of(flow: &FlowValue<F>, now: Tick) -> Self {
        Self {
            addr: flow.addr,
            service: flow.service,
            seen: now,
            reply: flow.state.has(State::REPLY) as u32,
        }
    }
}

/// After a packet's first part: remembers what became of it, for the others.
#[inline(never)]
pub(crate) fn remember<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, outcome: Outcome) {
    work.fragment = FragmentKey::of(&work.headers);
    let flow = match outcome.writes_flow() {
        true => tables.flow(&work.headers.key),
        false => None,
    };
    match flow {
        Some(entry) => tables.put_fragment(&work.fragment, &FragmentValue::of(&entry.get(), tables.now())),
        None => tables.remove_fragment(&work.fragment),
    }
}

/// A later part: goes where the first went. `None`: the first is not known.
#[inline(never)]
pub(crate) fn follow<F: Family, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    work: &mut Work<F>,
) -> Option<Outcome> {
    work.fragment = FragmentKey::of(&work.headers);
    let first = tables.fragment(&work.fragment)?;
    if tables.now().since(first.seen) > TIMEOUT {
        return None;
    }
    let direction = match first.reply {
        0 => Direction::Request,
        _ => Direction::Reply,
    };
    tables.count(
        first.service,
        direction,
        packet.segments(),
        packet.length() as u64,
    );
    let key = &work.headers.key;
    let old = match key.hook() {
        Hook::Ingress => &key.dst,
        Hook::Egress => &key.src,
    };
    let sum = address_difference::<F>(old, &first.addr);
    match F::set_address(packet, key.hook(), first.addr, sum, false) {
        Ok(()) => Some(Outcome::FragmentTranslated),
        Err(_) => Some(Outcome::RewriteFailed),
    }
}
