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

use crate::hooks::marks::mark_of;
use crate::maps::flow_state::State;
use crate::maps::fragments::{FragmentKey, FragmentValue};
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::packet::headers::FragmentPart;
use crate::packet::ip::Ip;
use crate::packet::rewrite::address_difference;
use crate::tables::work::Work;
use crate::tables::{Direction, Tables};
use crate::value::family::Family;
use crate::value::hook::Hook;
use crate::value::tick::ticks;

/// No receiver waits longer for the rest of a packet (Linux: 30 s for IPv4, 60 s for IPv6).
const TIMEOUT: u32 = ticks(60);

/// After a packet's first part: remembers what became of it, for the others.
#[inline(never)]
pub(crate) fn remember<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, outcome: Outcome) {
    work.fragment = FragmentKey::new(&work.headers.key, work.headers.fragment);
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
pub(crate) fn follow<F: Ip, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    work: &mut Work<F>,
) -> Option<Outcome> {
    work.fragment = FragmentKey::new(&work.headers.key, work.headers.fragment);
    let first = tables.fragment(&work.fragment)?;
    if tables.now().since(first.seen) > TIMEOUT {
        return None;
    }
    let direction = match first.kind.has(State::REPLY) {
        false => Direction::Request,
        true => Direction::Reply,
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
        Ok(()) => {
            if key.hook() == Hook::Ingress {
                packet.set_mark(mark_of(first.kind, FragmentPart::Later));
            }
            Some(Outcome::FragmentTranslated)
        }
        Err(_) => Some(Outcome::RewriteFailed),
    }
}
