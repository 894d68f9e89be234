// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The life of a connection: what a SYN, FIN or RST, or the first answer, means to its flow. SCTP's too (see `packet/sctp.rs`).

use crate::flow::masquerade;
use crate::flow::new_flow::NewFlowReason;
use crate::flow::pair::{learn, lost_partner, release};
use crate::maps::backends::BackendState;
use crate::maps::flow_state::State;
use crate::maps::flows::{Entry, FlowValue};
use crate::packet::headers::Segment;
use crate::tables::work::Work;
use crate::tables::{Insert, Tables};
use crate::value::family::Family;
use crate::value::hook::Hook;

/// How far beyond the SYN an answer may acknowledge: data sent with the SYN (TCP Fast Open).
const MAX_FAST_OPEN: u32 = 0xffff;

/// The meaning, for a flow, of a segment that opens, closes, breaks or first answers a connection.
pub(crate) enum TcpEvent {
    /// Part of it.
    Ours,
    /// Of another connection with the same tuple.
    Foreign,
    /// The flow is over, and its entries are gone: the packet starts another.
    Over(NewFlowReason),
}

/// Follows the connection's life.
#[inline(never)]
pub(crate) fn tcp_event<F: Family, T: Tables<F>>(
    tables: &T,
    work: &mut Work<F>,
    entry: Entry<'_, F>,
) -> TcpEvent {
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
            return TcpEvent::Foreign;
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
    TcpEvent::Ours
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
) -> TcpEvent {
    let (key, segment) = (&work.headers.key, &work.headers.segment);
    let is_repeated = segment.sequence == value.isn;
    let reason = if value.state.is_closed() {
        Some(NewFlowReason::Closed)
    } else if value.state.has(State::CONTESTED) {
        Some(NewFlowReason::Contested)
    } else if !backend_serves(tables, value) {
        Some(NewFlowReason::BackendGone)
    } else if !is_repeated && lost_partner(tables, key, entry) {
        Some(NewFlowReason::First)
    } else if value.state.has(State::REPLIED) && !is_repeated && backend_drains(tables, value) {
        Some(NewFlowReason::Closed)
    } else {
        None
    };
    if let Some(reason) = reason {
        if key.hook() == Hook::Egress {
            masquerade::expect_again(tables, work, entry);
            return TcpEvent::Ours;
        }
        // Only used when `reason` is `Contested`.
        work.contested = value.peer_port;
        release(tables, key, entry);
        return TcpEvent::Over(reason);
    }
    if !is_repeated {
        work.value = *value;
        work.value.state = value.state.afresh();
        work.value.isn = segment.sequence;
        entry.replace(&work.value);
        if work.value.is_pending() {
            return TcpEvent::Ours;
        }
        work.set_partner();
        // Should the table not take it, the answer is taken for another connection's, and the next
        // SYN goes by another port.
        let _ = tables.insert_flow(&work.other_key, &work.other, Insert::Any);
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

#[inline(always)]
fn backend_drains<F: Family, T: Tables<F>>(tables: &T, value: &FlowValue<F>) -> bool {
    tables
        .backend(value.backend)
        .is_some_and(|backend| backend.state() == BackendState::Draining)
}
