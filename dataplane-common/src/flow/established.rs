// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! A packet whose tuple is in the flow table.
//!
//! Per packet: the lookup that found the entry, a clock that is read without a trap, and for UDP
//! one array slot. At most once a tick: the entry and its partner are marked as used, and a partner
//! that was evicted is put back; a flow that gets no replies any more, because another has that
//! place, starts again on another port. Per TCP event (SYN, FIN, RST): the partner is updated.

use crate::flow::masquerade;
use crate::flow::new_flow::NewFlowReason;
use crate::flow::pair::{learn, release};
use crate::flow::tcp::{TcpEvent, backend_serves, tcp_event};
use crate::maps::flow_state::State;
use crate::maps::flows::Entry;
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::packet::ip::Ip;
use crate::packet::rewrite::rewrite;
use crate::tables::work::Work;
use crate::tables::{Direction, Insert, Tables};
use crate::value::family::Family;
use crate::value::hook::Hook;
use crate::value::tick::Tick;

/// What follows from looking at a packet's flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Nothing: this is the packet's outcome.
    Done(Outcome),
    /// The packet starts a flow. If there was one, it is over and its entries are gone.
    Start(NewFlowReason),
}

/// Translates a packet of a known flow.
#[inline(always)]
pub(crate) fn established<F: Ip, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    work: &mut Work<F>,
    entry: Entry<'_, F>,
) -> Step {
    let headers = &work.headers;
    let key = &headers.key;
    let value = entry.get();
    let now = tables.now();
    let is_reply = value.state.has(State::REPLY);
    if value.is_expired(headers.protocol(), now) {
        release(tables, key, entry);
        return Step::Start(NewFlowReason::First);
    }
    let awaits_reply = is_reply && !value.state.has(State::REPLIED);
    if headers.has_connections() {
        if awaits_reply || headers.segment.is_event() {
            match tcp_event(tables, work, entry) {
                TcpEvent::Ours => {}
                TcpEvent::Foreign => return Step::Done(Outcome::Contested),
                TcpEvent::Over(reason) => return Step::Start(reason),
            }
        }
    } else if awaits_reply {
        learn(tables, &work.headers.key, entry, State::REPLIED);
    } else if !is_reply && !backend_serves(tables, &value) {
        release(tables, key, entry);
        return Step::Start(NewFlowReason::BackendGone);
    }
    if value.last_seen != now && !refresh(tables, work, entry, now) {
        release(tables, &work.headers.key, entry);
        return Step::Start(NewFlowReason::First);
    }
    let mut outcome = Outcome::Translated;
    // Read again: a SYN may have made it pending.
    if entry.get().is_pending() {
        if let Err(failure) = masquerade::resolve(tables, work, entry) {
            return Step::Done(failure);
        }
        outcome = Outcome::Masqueraded;
    }
    let value = entry.get();
    if value.is_pending() {
        // A SYN on another CPU made it so in between. The client sends this one again.
        return Step::Done(Outcome::RewriteFailed);
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
        Ok(()) => Step::Done(outcome),
        Err(_) => Step::Done(Outcome::RewriteFailed),
    }
}

/// Marks all entries of a flow as used, and puts back those that were evicted. `false` where a client's flow gets no
/// replies any more, because another has had the place of their entry since.
#[inline(never)]
fn refresh<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, entry: Entry<'_, F>, now: Tick) -> bool {
    entry.touch(now);
    work.value = entry.get();
    if work.value.is_pending() {
        return true;
    }
    work.set_partner();
    match tables.flow(&work.other_key) {
        Some(partner) if work.headers.key.has_partner(partner) => {
            partner.touch(now);
            partner.learn(work.value.state.events());
        }
        // Replies keep going to the client of this flow, whatever happens to requests.
        Some(_) if work.value.state.has(State::REPLY) => {}
        Some(_) if work.headers.key.hook() == Hook::Egress => masquerade::await_port(work, entry),
        Some(_) => return false,
        None => drop(tables.insert_flow(&work.other_key, &work.other, Insert::New)),
    }
    let state = work.value.state;
    if state.has(State::MASQUERADE) && !state.has(State::REPLY) {
        // If the entry is there, this packet will use it at egress, refresh it and repair its partner.
        let _ = masquerade::expect(tables, work);
    }
    true
}
