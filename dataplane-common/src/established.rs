// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! A packet whose tuple is in the flow table.
//!
//! Per packet: the lookup that found the entry, a clock that is read without a trap, and for UDP
//! one array slot. At most once a tick: the entry and its partner are marked as used, and a partner
//! that was evicted is put back. Per TCP event (SYN, FIN, RST): the partner learns of it.

use crate::family::Family;
use crate::flow::{Entry, FlowKey, FlowValue};
use crate::headers::{Headers, Segment};
use crate::masquerade;
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::reserve::release;
use crate::rewrite::rewrite;
use crate::service::BackendState;
use crate::state::{State, Tick};
use crate::tables::{Direction, Insert, Tables};

/// How far beyond the SYN an answer may acknowledge: data sent with the SYN (TCP Fast Open).
const MAX_FAST_OPEN: u32 = 0xffff;

/// Why a packet starts a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// There was none, or it had expired.
    First,
    /// There was one, but its connection was over.
    Closed,
    /// There was one, but its backend is gone.
    BackendGone,
    /// There was one, but its tuple turned out to be another connection's.
    Contested,
}

/// Translates a packet of a known flow. `Err`: the flow is over and its entries are gone.
#[inline(always)]
pub(crate) fn established<F: Family, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    headers: &Headers<F>,
    entry: Entry<'_, F>,
) -> Result<Outcome, Why> {
    let key = &headers.key;
    let value = entry.get();
    let now = tables.now();
    let is_reply = value.state.has(State::REPLY);
    if value.is_expired(headers.protocol(), now) {
        release(tables, key, entry);
        return Err(Why::First);
    }
    let awaits_reply = is_reply && !value.state.has(State::REPLIED);
    if headers.is_tcp() {
        if awaits_reply || headers.segment.is_event() {
            match tcp_event(tables, &headers.segment, key, entry) {
                Event::Ours => {}
                Event::Foreign => return Ok(Outcome::Contested),
                Event::Over(why) => return Err(why),
            }
        }
    } else if awaits_reply {
        learn(tables, key, entry, State::REPLIED);
    } else if !is_reply && !backend_serves(tables, &value) {
        release(tables, key, entry);
        return Err(Why::BackendGone);
    }
    if value.last_seen != now {
        refresh(tables, key, entry, now);
    }
    let mut outcome = Outcome::Translated;
    if masquerade::is_pending(&value) {
        if let Err(failure) = masquerade::resolve(tables, key, entry) {
            return Ok(failure);
        }
        outcome = Outcome::Masqueraded;
    }
    let value = entry.get();
    let direction = if is_reply { Direction::Reply } else { Direction::Request };
    tables.count(value.service, direction, packet.segments(), packet.len() as u64);
    match rewrite(packet, headers, &value) {
        Ok(()) => Ok(outcome),
        Err(_) => Ok(Outcome::RewriteFailed),
    }
}

/// What a segment that opens, closes, breaks or first answers a connection is to its flow.
enum Event {
    /// Part of it.
    Ours,
    /// Of another connection with the same tuple.
    Foreign,
    /// The flow is over; its entries are gone.
    Over(Why),
}

/// Follows the connection's life.
#[inline(never)]
fn tcp_event<F: Family, T: Tables<F>>(
    tables: &T,
    segment: &Segment,
    key: &FlowKey<F>,
    entry: Entry<'_, F>,
) -> Event {
    let value = entry.get();
    let is_reply = value.state.has(State::REPLY);
    if segment.opens() && !is_reply {
        return syn(tables, segment, key, entry, &value);
    }
    let mut seen = State::default();
    if is_reply && !value.state.has(State::REPLIED) {
        if !answers(segment, value.isn) {
            learn(tables, key, entry, State::CONTESTED);
            return Event::Foreign;
        }
        seen = seen.with(State::REPLIED);
    }
    if segment.flags & Segment::FIN != 0 {
        seen = seen.with(if is_reply { State::FIN_BACKEND } else { State::FIN_CLIENT });
    }
    if segment.flags & Segment::RST != 0 {
        seen = seen.with(State::RESET);
    }
    if !value.state.has(seen) {
        learn(tables, key, entry, seen);
    }
    Event::Ours
}

/// Whether a segment is the backend's answer to the SYN with number `isn`: SYN-ACK or RST-ACK.
///
/// Anything else on this tuple is from a connection the client made past the Service, before (the
/// backend then answers our SYN with a "challenge ACK", RFC 5961 section 4).
#[inline(always)]
fn answers(segment: &Segment, isn: u32) -> bool {
    segment.flags & Segment::ACK != 0
        && segment.flags & (Segment::SYN | Segment::RST) != 0
        && segment.acknowledgement.wrapping_sub(isn.wrapping_add(1)) <= MAX_FAST_OPEN
}

/// A SYN on an entry: a retransmission keeps it, a new connection may need a new flow.
#[inline(always)]
fn syn<F: Family, T: Tables<F>>(
    tables: &T,
    segment: &Segment,
    key: &FlowKey<F>,
    entry: Entry<'_, F>,
    value: &FlowValue<F>,
) -> Event {
    let why = if value.state.is_closed() {
        Some(Why::Closed)
    } else if value.state.has(State::CONTESTED) {
        Some(Why::Contested)
    } else if !backend_serves(tables, value) {
        Some(Why::BackendGone)
    } else if value.state.has(State::REPLIED) && segment.sequence != value.isn && backend_drains(tables, value) {
        Some(Why::Closed)
    } else {
        None
    };
    if let Some(why) = why {
        release(tables, key, entry);
        return Event::Over(why);
    }
    if segment.sequence != value.isn {
        let mut afresh = *value;
        afresh.state = value.state.afresh();
        afresh.isn = segment.sequence;
        entry.replace(afresh);
        let (partner_key, partner) = key.partner(&afresh);
        // A full table loses only the repair, which the next tick tries again.
        let _ = tables.insert_flow(&partner_key, &partner, Insert::Any);
    }
    Event::Ours
}

/// Whether the flow's backend is still its Service's. Flows without one have nothing to lose.
#[inline(always)]
fn backend_serves<F: Family, T: Tables<F>>(tables: &T, value: &FlowValue<F>) -> bool {
    if value.backend.0 == 0 {
        return true;
    }
    tables.backend(value.backend).is_some_and(|backend| backend.serves(value.service, &value.addr, value.port))
}

#[inline(always)]
fn backend_drains<F: Family, T: Tables<F>>(tables: &T, value: &FlowValue<F>) -> bool {
    tables.backend(value.backend).is_some_and(|backend| backend.state() == BackendState::Draining)
}

/// Both entries of a pair learn what one has seen.
#[inline(always)]
fn learn<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F>, entry: Entry<'_, F>, seen: State) {
    entry.learn(seen);
    let (partner, _) = key.partner(&entry.get());
    if let Some(partner) = tables.flow(&partner) {
        partner.learn(seen);
    }
}

/// Marks all entries of a flow as used, and puts back those that were evicted.
#[inline(never)]
fn refresh<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F>, entry: Entry<'_, F>, now: Tick) {
    entry.touch(now);
    let value = entry.get();
    if masquerade::is_pending(&value) {
        return;
    }
    let (partner_key, partner) = key.partner(&value);
    match tables.flow(&partner_key) {
        Some(partner) => {
            partner.touch(now);
            partner.learn(value.state.events());
        }
        // Should the tuple have been taken meanwhile, the flow that took it keeps it.
        None => drop(tables.insert_flow(&partner_key, &partner, Insert::New)),
    }
    if value.state.has(State::MASQUERADE) && !value.state.has(State::REPLY) {
        match tables.flow(&key.masquerade(&value)) {
            Some(entry) => entry.touch(now),
            None => drop(masquerade::expect(tables, key, &value)),
        }
    }
}
