// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! A packet at ingress that is of no known flow: to a Service, or past it.

use crate::flow::claim::claim;
use crate::flow::masquerade;
use crate::flow::pair::{forget, is_over};
use crate::flow::reject::reject;
use crate::lb::select::{ClientScope, backend, frontend};
use crate::lb::source::ClientSource;
use crate::maps::addresses::AddressFlags;
use crate::maps::config::Config;
use crate::maps::flow_state::State;
use crate::maps::flows::{Entry, FlowValue};
use crate::outcome::{Outcome, Verdict};
use crate::packet::Packet;
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
    let isn = work.headers.segment.sequence;
    work.value = FlowValue {
        last_seen: tables.now(),
        isn,
        ..FlowValue::default()
    };
    // One after the other, not one inside the other: together their frames are too large for the stack.
    let chosen = match branch(tables, work) {
        Branch::Frontend => choose(tables, work),
        Branch::MovePlain => {
            work.contested = work.headers.key.ports.source();
            Ok(())
        }
        Branch::Stale => {
            forget(tables, &work.other_key);
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
    let outcome = match open(tables, work) {
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
        Ok(_) if flags.has(AddressFlags::NODE) && has_owner(tables, work) => Branch::End(Outcome::OwnAddress),
        Ok(frontend) => {
            work.frontend = frontend;
            Branch::Frontend
        }
        Err(outcome) => Branch::End(outcome),
    }
}

/// Whether a packet to a frontend at one of the node's own addresses is for a socket of the node: the
/// answer to a connection or question of its own, from a port that a NodePort has too. Where the range
/// that the kernel gives sockets ports from has NodePorts in it, that happens. What opens a connection
/// is a client's, whoever may listen there.
#[inline(always)]
fn has_owner<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>) -> bool {
    !work.headers.segment.opens() && tables.has_socket(&work.headers.key)
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
        // Its entry was evicted: there will be no SYN-ACK to wait for.
        value.state = value.state.with(State::REPLIED);
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
        && work.headers.segment.sequence == holder.isn
        && !holder.state.has(State::REPLIED)
    {
        return Branch::End(Outcome::AlreadyTranslated);
    }
    if is_over(&work.other_key, &holder, work.value.last_seen) {
        return Branch::Stale;
    }
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
    if work.value.service.0 == 0 {
        return Ok(Outcome::PlainMoved);
    }
    tables.count_flow(work.value.service);
    Ok(if kept { Outcome::NewFlow } else { Outcome::Moved })
}
