// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The life of a connection, and who may move it: rule 3 of docs/architecture.md. SCTP's too (see `packet/sctp.rs`).
//!
//! Anybody can send a segment with a flow's addresses and ports: a pod with a raw socket, a stranger outside, and
//! before the host's reverse path filter has seen it. So a segment changes what is known of a flow only by a number
//! that just the two ends know:
//!
//! ```text
//! learned            from                    if
//! REPLIED            SYN-ACK, RST-ACK        it acknowledges the client's SYN, or the candidate's
//! CONFIRMED          the client              it acknowledges the SYN-ACK
//!                    the backend (MIDWAY)    its numbers fit those of the segment that the flow began with
//! FIN_CLIENT         the backend             it acknowledges the client's FIN; FIN_BACKEND the other way round
//! RESET              RST                     its number is in reach of what the other end has acknowledged last;
//!                                            taken back by any later segment
//! a new connection   SYN-ACK                 it acknowledges the candidate: a SYN that came on a live flow
//! ```
//!
//! A segment that proves nothing is translated all the same. Its receiver judges it by RFC 9293 and RFC 5961.
//!
//! Costs: an established flow's segment compares its numbers with the last ones and stores them. Only segments that
//! open, close or break a connection come here, and others while one of these questions is open.

use crate::flow::masquerade;
use crate::flow::new_flow::NewFlowReason;
use crate::flow::pair::{learn, lost_partner, partner_of, release};
use crate::maps::flow_state::State;
use crate::maps::flows::{Entry, FlowValue};
use crate::packet::headers::Segment;
use crate::tables::Tables;
use crate::tables::work::Work;
use crate::value::family::Family;
use crate::value::hook::Hook;
use crate::value::protocol::Protocol;

/// How far beyond the SYN an answer may acknowledge, or beyond the SYN-ACK the client: data sent with it (TCP Fast
/// Open, RFC 7413), and what a server says before the client's first acknowledgement.
const REACH_OF_OPENING: u32 = 0xffff;

/// How far beyond the last acknowledgement a RST may be: what its sender had in flight. Receivers take only one that
/// is exact, and challenge others in their window (RFC 5961 section 3); the challenge takes our RESET back.
const REACH_OF_RESET: u32 = 0xffff;

/// How far one segment may be ahead of the last one of its direction: the largest windows in use.
const REACH_OF_SEGMENT: u32 = 1 << 25;

/// How far the answer to a segment in the middle of a connection may be from that segment's numbers.
const REACH_OF_MIDWAY: u32 = 1 << 20;

/// How a segment relates to its flow.
pub(crate) enum TcpEvent {
    /// Part of it.
    Ours,
    /// Part of it, and the proof that both ends take part.
    Confirms,
    /// Of another connection with the same tuple.
    Foreign,
    /// The flow is over; its entries are gone.
    Over(NewFlowReason),
}

/// Whether `number` is at most `reach` ahead of `from`.
#[inline(always)]
fn is_ahead(number: u32, from: u32, reach: u32) -> bool {
    number.wrapping_sub(from) <= reach
}

/// Whether `number` is at most `reach` ahead of `from` or behind it.
#[inline(always)]
fn is_near(number: u32, from: u32, reach: u32) -> bool {
    is_ahead(number, from.wrapping_sub(reach), 2 * reach)
}

/// Stores the numbers of an established flow's segment, if they go on from the last ones.
#[inline(always)]
pub(crate) fn advance<F: Family>(segment: &Segment, entry: Entry<'_, F>, value: &FlowValue<F>) {
    let (sequence, acked) = (segment.sequence, segment.acknowledgement);
    if (sequence, acked) != (value.sequence, value.acked)
        && is_ahead(sequence, value.sequence, REACH_OF_SEGMENT)
        && is_ahead(acked, value.acked, REACH_OF_SEGMENT)
    {
        entry.advance(sequence, acked);
    }
}

/// Follows the connection's life, by a segment that may change it.
#[inline(never)]
pub(crate) fn follow<F: Family, T: Tables<F>>(
    tables: &T,
    work: &mut Work<F>,
    entry: Entry<'_, F>,
) -> TcpEvent {
    work.value = entry.get();
    let state = work.value.state;
    if !state.has(State::REPLY) && work.headers.segment.opens() {
        syn(tables, work, entry)
    } else if state.has(State::CONFIRMED) {
        confirmed(tables, work, entry)
    } else if state.has(State::REPLY) {
        answer(tables, work, entry)
    } else {
        request(tables, work, entry)
    }
}

/// The backend's segment on a flow that is not confirmed.
#[inline(always)]
fn answer<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, entry: Entry<'_, F>) -> TcpEvent {
    let (segment, value) = (&work.headers.segment, &work.value);
    if value.state.has(State::MIDWAY) {
        let fits = is_near(segment.sequence, value.sequence, REACH_OF_MIDWAY)
            && is_near(segment.acknowledgement, value.acked, REACH_OF_MIDWAY);
        return match (fits, segment.is_reset()) {
            (true, false) => TcpEvent::Confirms,
            // Its receiver judges it. There is nothing left to be confirmed.
            (true, true) => TcpEvent::Ours,
            (false, _) => contested(tables, work, entry),
        };
    }
    if accepts(segment, value) {
        return replied(tables, work, entry);
    }
    if !value.state.has(State::REPLIED) {
        return contested(tables, work, entry);
    }
    if segment.is_reset() && is_ahead(segment.sequence, value.sequence, REACH_OF_RESET) {
        learn(tables, &work.headers.key, entry, State::RESET);
    }
    TcpEvent::Ours
}

/// Whether a segment is the backend's answer to the client's SYN or to the candidate's: SYN-ACK or RST-ACK.
///
/// Anything else on a tuple that awaits one is from a connection the client made past the Service, before (the
/// backend then answers our SYN with a "challenge ACK", RFC 5961 section 4).
#[inline(always)]
fn accepts<F: Family>(segment: &Segment, value: &FlowValue<F>) -> bool {
    let is_answer = segment.flags & Segment::ACK != 0 && segment.flags & (Segment::SYN | Segment::RST) != 0;
    is_answer
        && ((!value.state.has(State::CONFIRMED)
            && is_ahead(segment.acknowledgement, value.acked, REACH_OF_OPENING))
            || (value.state.has(State::CANDIDATE)
                && is_ahead(segment.acknowledgement, value.candidate, REACH_OF_OPENING)))
}

/// Both entries learn that the backend has answered a SYN, and with which number: the client must acknowledge it.
#[inline(never)]
fn replied<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, entry: Entry<'_, F>) -> TcpEvent {
    let segment = &work.headers.segment;
    let (sequence, acked) = (segment.sequence.wrapping_add(1), segment.acknowledgement);
    let seen = match segment.is_reset() {
        true => State::REPLIED.with(State::RESET),
        false => State::REPLIED,
    };
    let forgotten = work.value.state.events().with(State::FIN_SEEN).without(seen);
    entry.unlearn(forgotten);
    entry.advance(sequence, acked);
    entry.learn(seen);
    if let Some(partner) = partner_of(tables, work) {
        partner.unlearn(forgotten);
        partner.advance(acked, sequence);
        partner.learn(seen);
    }
    TcpEvent::Ours
}

/// Marks the flow, so that the client's next SYN takes another port.
#[inline(always)]
fn contested<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>, entry: Entry<'_, F>) -> TcpEvent {
    learn(tables, &work.headers.key, entry, State::CONTESTED);
    TcpEvent::Foreign
}

/// The client's segment, but a SYN, on a flow that is not confirmed.
#[inline(always)]
fn request<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, entry: Entry<'_, F>) -> TcpEvent {
    let (segment, value) = (&work.headers.segment, &work.value);
    let fits = value.state.has(State::REPLIED)
        && segment.is_midway()
        && is_ahead(segment.acknowledgement, value.acked, REACH_OF_OPENING)
        && (work.headers.protocol() == Protocol::SCTP
            || is_ahead(segment.sequence, value.sequence, REACH_OF_OPENING));
    if !fits {
        // A RST that refuses the SYN-ACK has no acknowledgement, but its very number.
        if value.state.has(State::REPLIED) && segment.is_reset() && segment.sequence == value.sequence {
            learn(tables, &work.headers.key, entry, State::RESET);
        }
        return TcpEvent::Ours;
    }
    if segment.is_reset() {
        learn(tables, &work.headers.key, entry, State::RESET);
        return TcpEvent::Ours;
    }
    TcpEvent::Confirms
}

/// A segment of a confirmed flow, but a client's SYN: one that closes or breaks it, or one that may answer a question.
#[inline(always)]
fn confirmed<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, entry: Entry<'_, F>) -> TcpEvent {
    let partner = partner_of(tables, work);
    let (segment, value) = (&work.headers.segment, &work.value);
    let is_reply = value.state.has(State::REPLY);
    let is_sctp = work.headers.protocol() == Protocol::SCTP;
    let mut seen = State::default();
    let mut refuted = State::default();
    if segment.is_reset() {
        // An ABORT may have the tag of either end (the T bit, RFC 9260 section 3.3.7).
        let is_proved = partner.is_some_and(|partner| {
            let acked = partner.get().acked;
            match is_sctp {
                true => segment.acknowledgement == value.acked || segment.acknowledgement == acked,
                false => is_ahead(segment.sequence, acked, REACH_OF_RESET),
            }
        });
        if is_proved {
            seen = State::RESET;
        }
    } else {
        if is_reply && value.state.has(State::CANDIDATE) {
            if accepts(segment, value) {
                return replied(tables, work, entry);
            }
            // The backend has its connection still, and says so.
            refuted = refuted.with(State::CANDIDATE);
        }
        if value.state.has(State::RESET) {
            refuted = refuted.with(State::RESET);
        }
        let (own, others) = match is_reply {
            true => (State::FIN_BACKEND, State::FIN_CLIENT),
            false => (State::FIN_CLIENT, State::FIN_BACKEND),
        };
        if value.state.has(State::FIN_SEEN) && segment.acknowledgement == value.fin {
            entry.unlearn(State::FIN_SEEN);
            seen = seen.with(others);
        }
        if segment.is_fin() {
            match partner {
                // Whoever knows the tag is an end.
                _ if is_sctp && segment.acknowledgement == value.acked => seen = seen.with(own),
                Some(partner) if !is_sctp && !value.state.has(own) => {
                    partner.note_fin(work.headers.sequence_after());
                }
                _ => {}
            }
        }
        advance(segment, entry, value);
    }
    if refuted != State::default() {
        entry.unlearn(refuted);
        partner.inspect(|partner| partner.unlearn(refuted));
    }
    if !value.state.has(seen) {
        entry.learn(seen);
        partner.inspect(|partner| partner.learn(seen));
    }
    TcpEvent::Ours
}

/// A SYN on a client's entry: a retransmission keeps the flow, a new connection may need a new one.
///
/// On a live flow it is a candidate beside it, never its end: the backend says which of the two it has.
#[inline(always)]
fn syn<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, entry: Entry<'_, F>) -> TcpEvent {
    let state = work.value.state;
    let number = work.headers.segment.sequence.wrapping_add(1);
    let is_candidate_again = state.has(State::CANDIDATE) && number == work.value.candidate;
    let is_repeated = number == work.value.sequence || is_candidate_again;
    let reason = if state.is_closed() {
        Some(NewFlowReason::Closed)
    } else if state.has(State::CONTESTED) {
        Some(NewFlowReason::Contested)
    } else if !backend_serves(tables, &work.value) {
        // A live connection outlives its backend's place in the Service. It is over if nobody answers a candidate,
        // not even with a challenge.
        let is_unanswered = is_candidate_again && work.value.last_seen != tables.now();
        match !state.has(State::CONFIRMED) || is_unanswered {
            true => Some(NewFlowReason::BackendGone),
            false => None,
        }
    } else if !is_repeated && lost_partner(tables, &work.headers.key, entry) {
        Some(NewFlowReason::First)
    } else {
        None
    };
    if let Some(reason) = reason {
        if work.headers.key.hook() == Hook::Egress {
            masquerade::expect_again(tables, work, entry);
            return TcpEvent::Ours;
        }
        // Only used when the reason is a contested port.
        work.contested = work.value.peer_port;
        release(tables, &work.headers.key, entry);
        return TcpEvent::Over(reason);
    }
    if !is_repeated {
        entry.note_candidate(number);
        if let Some(partner) = partner_of(tables, work) {
            partner.note_candidate(number);
        }
    }
    TcpEvent::Ours
}

/// Whether the flow's backend is still its Service's. Flows without one have nothing to lose.
#[inline(always)]
pub(crate) fn backend_serves<F: Family, T: Tables<F>>(tables: &T, value: &FlowValue<F>) -> bool {
    if value.backend.0 == 0 {
        return true;
    }
    tables
        .backend(value.backend)
        .is_some_and(|backend| backend.serves(value.service, &value.addr, value.port))
}
