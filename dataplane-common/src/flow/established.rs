// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! A packet whose tuple is in the flow table.
//!
//! Per packet: the lookup that found the entry, a clock that is read without a trap, for TCP two numbers compared and
//! stored, and for UDP one array slot that says whether its backend still exists. At most once a tick: the entry and
//! its partner are marked as used, and an evicted partner is put back. A flow whose reply entry has become another
//! flow's starts again. Per TCP event (SYN, FIN, RST): the partner is updated, too.

use crate::flow::masquerade;
use crate::flow::new_flow::NewFlowReason;
use crate::flow::pair::{learn, release};
use crate::flow::tcp::{self, TcpEvent, backend_serves};
use crate::lb::select::frontend;
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

/// Ticks for which packets must go both ways until a UDP flow counts as a stream: more than two seconds, as
/// netfilter has it. A question and its answer are none.
const UDP_STREAM: u32 = 2;

/// How a packet relates to the entry that was found.
enum Life {
    /// The flow goes on.
    GoesOn,
    /// The flow is over, its entries are gone.
    Over(NewFlowReason),
    /// The packet is of another connection.
    Foreign(Outcome),
}

/// What follows from looking at a packet's flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Nothing: this is the packet's outcome.
    Done(Outcome),
    /// The packet starts a flow. If there was one, it is over and its entries are gone.
    Start(NewFlowReason),
}

/// Translates a packet of a known flow. The caller lets [`confirm`](crate::flow::pair::confirm) move the entry if
/// `work.confirms` says so.
#[inline(always)]
pub(crate) fn established<F: Ip, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    work: &mut Work<F>,
    entry: Entry<'_, F>,
) -> Step {
    match judge(tables, work, entry) {
        Life::GoesOn => {}
        Life::Over(reason) => return Step::Start(reason),
        Life::Foreign(outcome) => return Step::Done(outcome),
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
    if value.is_pending() || !entry.is_of(&work.headers.key) {
        // A SYN on another CPU made it so, or the entry was evicted in between. The client sends this one again.
        return Step::Done(Outcome::RewriteFailed);
    }
    let direction = match value.state.has(State::REPLY) {
        true => Direction::Reply,
        false => Direction::Request,
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

/// Judges whether the flow goes on with this packet, and lets its entries learn from it.
#[inline(always)]
fn judge<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, entry: Entry<'_, F>) -> Life {
    let value = entry.get();
    let now = tables.now();
    let has_connections = work.headers.has_connections();
    work.confirms = 0;
    work.refreshes = 0;
    if !entry.is_of(&work.headers.key) {
        return Life::Over(NewFlowReason::First);
    }
    if value.is_expired(work.headers.protocol(), now) {
        release(tables, &work.headers.key, entry);
        return Life::Over(NewFlowReason::First);
    }
    if has_connections {
        if work.headers.segment.is_event() || value.state.has_open_questions() {
            match tcp::follow(tables, work, entry) {
                TcpEvent::Ours => {}
                TcpEvent::Confirms => work.confirms = 1,
                TcpEvent::Foreign => return Life::Foreign(Outcome::Contested),
                TcpEvent::Over(reason) => return Life::Over(reason),
            }
        } else {
            tcp::advance(&work.headers.segment, entry, &value);
        }
    } else if value.state.has(State::REPLY) {
        if !value.state.has(State::REPLIED) {
            learn(tables, &work.headers.key, entry, State::REPLIED);
        }
    } else if value.state.has(State::FOREIGN) {
        if !value.state.has(State::REPLIED) {
            entry.learn(State::REPLIED);
        }
    } else if !backend_serves(tables, &value) {
        release(tables, &work.headers.key, entry);
        return Life::Over(NewFlowReason::BackendGone);
    }
    if value.last_seen != now {
        work.refreshes = 1;
        if !has_connections
            && value.state.0 & (State::REPLIED.0 | State::CONFIRMED.0) == State::REPLIED.0
            && now.since(Tick(value.candidate)) > UDP_STREAM
        {
            work.confirms = 1;
        }
        if let Some(reason) = refresh(tables, work, entry, now) {
            release(tables, &work.headers.key, entry);
            return Life::Over(reason);
        }
    }
    match value.state.has(State::FOREIGN) {
        true => Life::Foreign(Outcome::ForeignAnswer),
        false => Life::GoesOn,
    }
}

/// Marks all entries of a flow as used, and puts back those that were evicted. Returns a reason if the client's flow must
/// start again: another flow has the place of its reply entry, or its frontend belongs to another Service now.
#[inline(never)]
fn refresh<F: Family, T: Tables<F>>(
    tables: &T,
    work: &mut Work<F>,
    entry: Entry<'_, F>,
    now: Tick,
) -> Option<NewFlowReason> {
    entry.touch(now);
    work.value = entry.get();
    if work.value.is_pending() || work.value.state.has(State::FOREIGN) {
        return None;
    }
    work.set_partner();
    match tables.flow(&work.other_key) {
        Some(partner) if work.headers.key.has_partner(partner) => partner.touch(now),
        // Replies go on to whom they belong, whatever is made of requests.
        Some(_) if work.value.state.has(State::REPLY) => {}
        Some(_) if work.headers.key.hook() == Hook::Egress => masquerade::await_port(work, entry),
        Some(_) => return Some(NewFlowReason::First),
        None => drop(tables.insert_flow(&work.other_key, &work.other, Insert::New)),
    }
    let state = work.value.state;
    if state.has(State::REPLY) || work.headers.key.hook() == Hook::Egress {
        return None;
    }
    if !work.headers.has_connections() && has_moved(tables, work) {
        return Some(NewFlowReason::BackendGone);
    }
    if state.has(State::MASQUERADE) {
        // If it is there, this packet will meet it at egress, mark it and mend its partner.
        let _ = masquerade::expect(tables, work);
    }
    None
}

/// Whether the frontend of a client's UDP flow is another Service's by now. kube-proxy takes the conntrack entries of
/// such flows away; a TCP connection goes on.
#[inline(never)]
fn has_moved<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>) -> bool {
    let flags = tables.address(&work.headers.key.dst).unwrap_or_default();
    work.value.service.0 != 0
        && frontend(tables, &work.headers.key, flags)
            .is_ok_and(|frontend| frontend.service != work.value.service)
}
