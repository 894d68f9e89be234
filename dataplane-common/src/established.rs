// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! A packet whose tuple is in the flow table.
//!
//! Per packet: the lookup that found the entry, a clock that is read without a trap, and for UDP
//! one array slot. At most once a tick: the entry and its partner are marked as used, and a partner
//! that was evicted is put back; a flow that gets no replies any more, because another has that
//! place, begins anew. Per TCP event (SYN, FIN, RST): the partner learns of it.

use crate::family::Family;
use crate::flow::{Entry, FlowKey, FlowValue, Hook};
use crate::headers::Segment;
use crate::masquerade;
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::reserve::{lost_partner, release};
use crate::rewrite::rewrite;
use crate::service::BackendState;
use crate::state::{State, Tick};
use crate::tables::{Direction, Insert, Tables};
use crate::work::Work;

/// How far beyond the SYN an answer may acknowledge: data sent with the SYN (TCP Fast Open).
const MAX_FAST_OPEN: u32 = 0xffff;

/// Why a packet starts a flow. Goes from the one to the other by way of [`Work`]: held in a register across the
/// calls between, Linux 6.1 mixes the reasons up (its verifier takes the code for some of them for dead).
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// There was none, or it had expired, or lost its replies to another.
    First = 0,
    /// There was one, but its connection was over.
    Closed = 1,
    /// There was one, but its backend is gone.
    BackendGone = 2,
    /// There was one, but its tuple turned out to be another connection's.
    Contested = 3,
}

impl Why {
    /// What the packet that starts the flow is counted as.
    #[inline(always)]
    pub(crate) fn outcome(why: u32) -> Outcome {
        if why == Self::Closed as u32 {
            Outcome::Reopened
        } else if why == Self::BackendGone as u32 {
            Outcome::Resteered
        } else {
            Outcome::NewFlow
        }
    }
}

/// Translates a packet of a known flow. `Err`: the flow is over and its entries are gone.
#[inline(always)]
pub(crate) fn established<F: Family, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    work: &mut Work<F>,
    entry: Entry<'_, F>,
) -> Result<Outcome, Why> {
    let headers = &work.headers;
    let key = &headers.key;
    let value = entry.get();
    let now = tables.now();
    let is_reply = value.state.has(State::REPLY);
    if value.is_expired(headers.protocol(), now) {
        release(tables, key, entry);
        return Err(Why::First);
    }
    let awaits_reply = is_reply && !value.state.has(State::REPLIED);
    if headers.has_connections() {
        if awaits_reply || headers.segment.is_event() {
            match tcp_event(tables, work, entry) {
                Event::Ours => {}
                Event::Foreign => return Ok(Outcome::Contested),
                Event::Over(why) => return Err(why),
            }
        }
    } else if awaits_reply {
        learn(tables, &work.headers.key, entry, State::REPLIED);
    } else if !is_reply && !backend_serves(tables, &value) {
        release(tables, key, entry);
        return Err(Why::BackendGone);
    }
    if value.last_seen != now && !refresh(tables, work, entry, now) {
        release(tables, &work.headers.key, entry);
        return Err(Why::First);
    }
    let mut outcome = Outcome::Translated;
    // Read anew: a SYN may have made it so.
    if masquerade::is_pending(&entry.get()) {
        if let Err(failure) = masquerade::resolve(tables, work, entry) {
            return Ok(failure);
        }
        outcome = Outcome::Masqueraded;
    }
    let value = entry.get();
    if masquerade::is_pending(&value) {
        // A SYN on another CPU made it so in between. The client sends this one again.
        return Ok(Outcome::RewriteFailed);
    }
    let direction = if is_reply {
        Direction::Reply
    } else {
        Direction::Request
    };
    tables.count(
        value.service,
        direction,
        packet.segments(),
        packet.length() as u64,
    );
    match rewrite(packet, &work.headers, &value) {
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
fn tcp_event<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, entry: Entry<'_, F>) -> Event {
    let (key, segment) = (&work.headers.key, &work.headers.segment);
    let value = entry.get();
    let is_reply = value.state.has(State::REPLY);
    if segment.opens() && !is_reply {
        return syn(tables, work, entry, &value);
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
        seen = seen.with(if is_reply {
            State::FIN_BACKEND
        } else {
            State::FIN_CLIENT
        });
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
    work: &mut Work<F>,
    entry: Entry<'_, F>,
    value: &FlowValue<F>,
) -> Event {
    let (key, segment) = (&work.headers.key, &work.headers.segment);
    let is_repeated = segment.sequence == value.isn;
    let why = if value.state.is_closed() {
        Some(Why::Closed)
    } else if value.state.has(State::CONTESTED) {
        Some(Why::Contested)
    } else if !backend_serves(tables, value) {
        Some(Why::BackendGone)
    } else if !is_repeated && lost_partner(tables, key, entry) {
        Some(Why::First)
    } else if value.state.has(State::REPLIED) && !is_repeated && backend_drains(tables, value) {
        Some(Why::Closed)
    } else {
        None
    };
    if let Some(why) = why {
        if key.hook() == Hook::Egress {
            masquerade::expect_again(tables, work, entry);
            return Event::Ours;
        }
        // Of use where that is why.
        work.contested = value.peer_port;
        release(tables, key, entry);
        return Event::Over(why);
    }
    if !is_repeated {
        work.value = *value;
        work.value.state = value.state.afresh();
        work.value.isn = segment.sequence;
        entry.replace(&work.value);
        if masquerade::is_pending(&work.value) {
            return Event::Ours;
        }
        work.set_reply();
        // Should the table not take it, the answer is taken for another connection's, and the next
        // SYN goes by another port.
        let _ = tables.insert_flow(&work.reply_key, &work.reply, Insert::Any);
    }
    Event::Ours
}

/// Whether the flow's backend is still its Service's. Flows without one have nothing to lose.
#[inline(always)]
fn backend_serves<F: Family, T: Tables<F>>(tables: &T, value: &FlowValue<F>) -> bool {
    if value.backend.0 == 0 {
        return true;
    }
    tables
        .backend(value.backend)
        .is_some_and(|backend| backend.serves(value.service, &value.addr, value.port))
}

#[inline(always)]
fn backend_drains<F: Family, T: Tables<F>>(tables: &T, value: &FlowValue<F>) -> bool {
    tables
        .backend(value.backend)
        .is_some_and(|backend| backend.state() == BackendState::Draining)
}

/// Both entries of a pair learn what one has seen.
#[inline(never)]
fn learn<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F>, entry: Entry<'_, F>, seen: State) {
    entry.learn(seen);
    if let Some(partner) = tables.flow(&key.partner_key(&entry.get()))
        && (key.has_partner(partner) || masquerade::is_pending(&partner.get()))
    {
        partner.learn(seen);
    }
}

/// Marks all entries of a flow as used, and puts back those that were evicted. `false` where a client's flow gets no
/// replies any more, because another has had the place of their entry since.
#[inline(never)]
fn refresh<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, entry: Entry<'_, F>, now: Tick) -> bool {
    entry.touch(now);
    work.value = entry.get();
    if masquerade::is_pending(&work.value) {
        return true;
    }
    work.set_reply();
    match tables.flow(&work.reply_key) {
        Some(partner) if work.headers.key.has_partner(partner) => {
            partner.touch(now);
            partner.learn(work.value.state.events());
        }
        // Replies go on to whom they belong, whatever is made of requests.
        Some(_) if work.value.state.has(State::REPLY) => {}
        Some(_) if work.headers.key.hook() == Hook::Egress => masquerade::await_port(work, entry),
        Some(_) => return false,
        None => drop(tables.insert_flow(&work.reply_key, &work.reply, Insert::New)),
    }
    let state = work.value.state;
    if state.has(State::MASQUERADE) && !state.has(State::REPLY) {
        // If it is there, this packet will meet it at egress, mark it and mend its partner.
        let _ = masquerade::expect(tables, work);
    }
    true
}
