// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! A packet at ingress that is of no known flow: to a Service, or past it.

use crate::flow::claim::claim;
use crate::flow::masquerade;
use crate::flow::pair::{forget_finished, is_over};
use crate::flow::reject::reject;
use crate::lb::affinity;
use crate::lb::select::{ClientScope, backend, frontend};
use crate::lb::source::ClientSource;
use crate::maps::addresses::AddressFlags;
use crate::maps::config::Config;
use crate::maps::flow_state::State;
use crate::maps::flows::{Entry, FlowValue};
use crate::outcome::{Outcome, Verdict};
use crate::packet::Packet;
use crate::packet::headers::Headers;
use crate::packet::ip::Ip;
use crate::packet::rewrite::rewrite;
use crate::tables::work::Work;
use crate::tables::{Direction, Insert, Tables};
use crate::value::family::Family;
use crate::value::protocol::Protocol;
use crate::value::wire::Port;

/// Why a packet starts a flow. Goes from the one to the other by way of [`Work`]: held in a register across the
/// calls between, Linux 6.1 mixes the reasons up (its verifier takes the code for some of them for dead).
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NewFlowReason {
    /// There was none, or it had expired, or lost its replies to another.
    First = 0,
    /// There was one, but its connection was over.
    Closed = 1,
    /// There was one, but its backend is gone.
    BackendGone = 2,
    /// There was one, but its tuple turned out to be another connection's.
    Contested = 3,
}

impl NewFlowReason {
    /// The outcome of the packet that starts the flow.
    #[inline(always)]
    pub(crate) fn outcome(reason: u32) -> Outcome {
        if reason == Self::Closed as u32 {
            Outcome::Reopened
        } else if reason == Self::BackendGone as u32 {
            Outcome::Resteered
        } else {
            Outcome::NewFlow
        }
    }
}

/// Where a packet without a flow goes.
enum Branch {
    /// To a backend of `work.frontend`.
    Frontend,
    /// To no VIP, with the tuple of a live Service flow: by another source port.
    MovePlain,
    /// To no VIP, with the tuple of a Service flow that is over.
    Stale,
    /// Back to its sender as an error, nowhere, or on as it is: as the outcome's verdict says.
    End(Outcome),
}

/// Whether a packet to an address of no Service passes at once, as most packets on a node do.
#[inline(always)]
pub(crate) fn passes<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>) -> bool {
    work.flags == AddressFlags::default() && reply_conflict(tables, work).is_none()
}

/// The entry that the replies to a packet to no VIP would be taken for. A connection that goes on was looked at when
/// it began.
#[inline(always)]
fn reply_conflict<'a, F: Family, T: Tables<F>>(tables: &'a T, work: &mut Work<F>) -> Option<Entry<'a, F>> {
    if work.headers.continues() {
        return None;
    }
    work.other_key = work.headers.key.partner_unchanged();
    tables.flow(&work.other_key)
}

/// Gives a packet's flow to a backend, refuses it, or lets it pass. `work.reason` and `work.flags` say what came before,
/// and what is known of its destination.
#[inline(never)]
pub(crate) fn new_flow<F: Ip, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    work: &mut Work<F>,
) -> Outcome {
    if work.reason != NewFlowReason::Contested as u32 {
        work.contested = Port::default();
    }
    let now = tables.now();
    let segment = &work.headers.segment;
    work.value = FlowValue {
        last_seen: now,
        // After a SYN, the next number is the one after; and nothing is acknowledged yet.
        sequence: match segment.opens() {
            true => segment.sequence.wrapping_add(1),
            false => segment.sequence,
        },
        acked: segment.acknowledgement,
        peer_port: work.headers.key.ports.source(),
        candidate: match work.headers.has_connections() {
            true => 0,
            false => now.0,
        },
        ..FlowValue::default()
    }
    .of(&work.headers.key);
    // One after the other, not one inside the other: together their frames are too large for the stack.
    let chosen = match branch(tables, work) {
        Branch::Frontend => choose(tables, work),
        Branch::MovePlain => {
            work.contested = work.headers.key.ports.source();
            Ok(())
        }
        Branch::Stale => {
            forget_finished(tables, &work.other_key, now);
            return Outcome::StaleRemoved;
        }
        Branch::End(outcome) => Err(outcome),
    };
    if let Err(outcome) = chosen {
        return match outcome.verdict() {
            Verdict::Answer => reject(packet, tables, &work.headers, outcome),
            Verdict::Next | Verdict::Handed | Verdict::Drop => outcome,
        };
    }
    let opened = match work.headers.segment.is_reset() {
        // The connection that it breaks is over, so nothing is kept.
        true => Ok(Outcome::ResetTranslated),
        false => open(tables, work),
    };
    let outcome = match opened {
        Ok(outcome) => outcome,
        Err(failure) => return failure,
    };
    tables.count(
        work.value.service,
        Direction::Request,
        packet.segments(),
        packet.length() as u64,
    );
    match rewrite(packet, &work.headers, &work.value) {
        Ok(()) if outcome == Outcome::NewFlow => NewFlowReason::outcome(work.reason),
        Ok(()) => outcome,
        Err(_) => Outcome::RewriteFailed,
    }
}

#[inline(never)]
fn branch<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>) -> Branch {
    let flags = work.flags;
    match frontend(tables, &work.headers.key, flags) {
        Err(Outcome::NotOurs) => plain(tables, work),
        Err(Outcome::OwnAddress) => Branch::End(Outcome::OwnAddress),
        _ if !F::is_single_host(&work.headers.key.src) => Branch::End(Outcome::OddSource),
        Ok(_) if work.headers.has_connections() && !may_begin(&work.headers, flags) => {
            Branch::End(match flags.has(AddressFlags::NODE) {
                true => Outcome::OwnAddress,
                false => Outcome::NotOurs,
            })
        }
        Ok(frontend) => {
            work.frontend = frontend;
            Branch::Frontend
        }
        Err(outcome) => Branch::End(outcome),
    }
}

/// Whether a segment of no known flow may begin one at a frontend: a SYN, or a segment of a connection whose entries
/// were lost.
///
/// At the node's own addresses it must be a SYN. What else comes there answers the node itself, or a pod behind the
/// CNI's masquerade, whose port may be any frontend's: only the host's sockets and its connection tracking know. (What
/// answers a datagram is known by the note that the datagram left: `flow/foreign.rs`.) And SCTP tells nothing by which
/// an answer could be held against a packet in the middle of an association; netfilter takes none up either.
#[inline(always)]
fn may_begin<F: Family>(headers: &Headers<F>, flags: AddressFlags) -> bool {
    let segment = &headers.segment;
    let is_taken_up = (segment.is_midway() || segment.is_lone_reset()) && headers.protocol() == Protocol::TCP;
    segment.opens() || (is_taken_up && !flags.has(AddressFlags::NODE))
}

/// Gives the packet's flow to one of the frontend's backends.
#[inline(never)]
fn choose<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>) -> Result<(), Outcome> {
    let (headers, frontend, value) = (&work.headers, &work.frontend, &mut work.value);
    let key = &headers.key;
    let midway = headers.continues();
    if midway && tables.config().flags & Config::TAKE_OVER != 0 {
        return Err(Outcome::TakenOver);
    }
    let source = ClientSource::of(tables, &key.src);
    if source.scope == ClientScope::External
        && frontend.is_cluster_ip()
        && tables.config().flags & Config::REFUSE_EXTERNAL != 0
    {
        return Err(Outcome::RejectedExternal);
    }
    let backend = backend(tables, key, frontend, source.scope, value)?;
    if source.needs_masquerade(tables, key, frontend, &backend) {
        value.state = value.state.with(State::MASQUERADE);
    }
    if midway {
        value.state = value.state.with(State::MIDWAY);
    }
    Ok(())
}

/// A packet to no VIP. It passes; but if it opens a flow whose replies would be taken for a Service
/// flow's (same client port, same backend), that must be put right first: a finished Service flow is
/// forgotten, and beside a live one the plain flow goes on under another source port, as netfilter
/// would have it. Costs non-Service traffic one lookup per TCP connection or UDP packet.
#[inline(always)]
fn plain<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>) -> Branch {
    let passes = Branch::End(Outcome::NotOurs);
    let Some(entry) = reply_conflict(tables, work) else {
        return passes;
    };
    let holder = entry.get();
    if !holder.state.has(State::REPLY) {
        return passes;
    }
    // The SYN that made this entry, on its second way into the node, past a device that keeps no mark.
    if work.headers.segment.opens()
        && work.value.sequence == holder.acked
        && !holder.state.has(State::REPLIED)
    {
        return Branch::End(Outcome::AlreadyTranslated);
    }
    if is_over(&work.other_key, &holder, work.value.last_seen) {
        return Branch::Stale;
    }
    work.value.state = State::PLAIN;
    (work.value.addr, work.value.port) = (work.headers.key.dst, work.headers.key.ports.destination());
    Branch::MovePlain
}

/// Puts the entries of a new flow; under another source port if its own is another flow's.
#[inline(never)]
fn open<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>) -> Result<Outcome, Outcome> {
    let key = &work.headers.key;
    if work.headers.protocol() == Protocol::SCTP && work.value.port != key.ports.destination() {
        return Err(Outcome::SctpPortChange);
    }
    // A hairpin flow from the very port it goes to would be its own reply.
    let own_reply = work.value.addr == key.src && work.value.port == key.ports.source();
    let preferred = match own_reply {
        true => None,
        false => Some(key.ports.source()),
    };
    let kept = claim(tables, work, preferred, |value, port| value.peer_port = port)?;
    if tables
        .insert_flow(&work.headers.key, &work.value, Insert::Any)
        .is_err()
        || (work.value.state.has(State::MASQUERADE) && masquerade::expect(tables, work).is_err())
    {
        let key = &work.headers.key;
        tables.remove_flow(&key.partner(&work.value));
        tables.remove_flow(key);
        return Err(Outcome::FlowTableFull);
    }
    if work.value.state.has(State::PLAIN) {
        return Ok(Outcome::PlainMoved);
    }
    tables.count_flow(work.value.service);
    if work.frontend.affinity_seconds != 0 && !work.headers.continues() {
        affinity::remember(tables, &work.headers.key.src, &work.value);
    }
    Ok(if kept { Outcome::NewFlow } else { Outcome::Moved })
}
