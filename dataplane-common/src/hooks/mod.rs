// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The two hooks: from a packet to an [`Outcome`].
//!
//! Rule 1 of docs/architecture.md: ingress rewrites the destination, egress rewrites the source. Between
//! the two the host's own stack routes, and sees one flow from client to backend.

pub(crate) mod fast_path;
pub(crate) mod fragment;
pub(crate) mod icmp_error;

use crate::flow::established::{Step, established};
use crate::flow::new_flow::{NewFlowReason, new_flow, passes};
use crate::flow::reject::reject;
use crate::hooks::fast_path::NextStep;
use crate::maps::addresses::AddressFlags;
use crate::maps::config::Config;
use crate::maps::flow_state::State;
use crate::maps::flows::Entry;
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::packet::headers::{FragmentPart, Parsed};
use crate::packet::ip::Ip;
use crate::tables::Tables;
use crate::tables::work::Work;
use crate::value::family::Family;
use crate::value::hook::Hook;
use crate::value::protocol::Protocol;

/// A packet that comes in by a device, before it is routed.
#[inline(always)]
pub fn ingress<F: Ip, P: Packet, T: Tables<F>>(packet: &mut P, tables: &T) -> Outcome {
    // The mark is not ours: a pod can forward packets with one, or set one itself.
    packet.take_mark();
    let Some(work) = tables.work() else {
        return Outcome::NoMemory;
    };
    match work.headers.parse(packet, Hook::Ingress) {
        Parsed::Whole => {}
        Parsed::Fragment => return later_part(packet, tables, work),
        Parsed::OtherProtocol => return other_protocol(packet, tables, work),
        Parsed::Malformed => return Outcome::Malformed,
    }
    // Read again each time: keeping it would need stack space that there is not.
    let takes_fast_path = || tables.config().flags & Config::FAST_PATH != 0;
    let mut found = tables.flow(&work.headers.key);
    if found.is_none() && takes_fast_path() {
        found = fast_path::reply(packet, tables, work);
        if work.next_step == NextStep::Neighbour as u32 {
            return fast_path::hand_over(packet, tables, work);
        }
    }
    let step = match found {
        None => Step::Start(NewFlowReason::First),
        Some(entry) => match established(packet, tables, work, entry) {
            Step::Done(Outcome::Translated) => {
                let outcome = match takes_fast_path() {
                    true => fast_path::translated(packet, tables, work, entry),
                    false => Outcome::Translated,
                };
                // A pod's device has no egress that would take the mark away.
                if outcome == Outcome::Translated || work.hop.peer == 0 {
                    mark_done(packet, work, entry);
                }
                Step::Done(outcome)
            }
            // A reply's entry starts no flow.
            Step::Start(_) if work.headers.key.hook() == Hook::Egress => Step::Done(Outcome::NotOurs),
            step => step,
        },
    };
    let outcome = match step {
        Step::Done(outcome) => outcome,
        Step::Start(reason) => {
            work.reason = reason as u32;
            work.flags = tables.address(&work.headers.key.dst).unwrap_or_default();
            match passes(tables, work) {
                true => Outcome::NotOurs,
                false => new_flow(packet, tables, work),
            }
        }
    };
    if work.headers.part == FragmentPart::First {
        fragment::remember(tables, work, outcome);
    }
    outcome
}

/// A packet that goes out by a device, after it was routed.
#[inline(always)]
pub fn egress<F: Ip, P: Packet, T: Tables<F>>(packet: &mut P, tables: &T) -> Outcome {
    if packet.take_mark() {
        return Outcome::EgressSkipped;
    }
    let Some(work) = tables.work() else {
        return Outcome::NoMemory;
    };
    match work.headers.parse(packet, Hook::Egress) {
        Parsed::Whole => {}
        Parsed::Fragment => {
            let followed = fragment::follow(packet, tables, work);
            return followed.unwrap_or_else(|| leaving(tables, work));
        }
        Parsed::OtherProtocol => {
            return match icmp_error::error(packet, tables, work) {
                Outcome::NotOurs => leaving(tables, work),
                outcome => outcome,
            };
        }
        Parsed::Malformed => return Outcome::Malformed,
    }
    let outcome = match tables.flow(&work.headers.key) {
        None if work.headers.continues() => Outcome::NotOurs,
        None => leaving(tables, work),
        Some(entry) => match established(packet, tables, work, entry) {
            Step::Done(outcome) => outcome,
            // A flow that is over claims nothing: this is another flow's packet.
            Step::Start(_) => Outcome::NotOurs,
        },
    };
    if work.headers.part == FragmentPart::First {
        fragment::remember(tables, work, outcome);
    }
    outcome
}

/// Marks a packet that was translated at ingress, so that egress need not look at it. Not marked are packets that
/// egress has something for: a reply's source, a masquerade, or what later parts of the packet need.
#[inline(always)]
fn mark_done<F: Ip, P: Packet>(packet: &mut P, work: &Work<F>, entry: Entry<'_, F>) {
    let at_egress = State::REPLY.0 | State::MASQUERADE.0;
    if entry.get().state.0 & at_egress == 0 && work.headers.part == FragmentPart::All {
        packet.mark_done();
    }
}

/// A later part of a fragmented packet, at ingress.
#[inline(never)]
fn later_part<F: Ip, P: Packet, T: Tables<F>>(packet: &mut P, tables: &T, work: &mut Work<F>) -> Outcome {
    match fragment::follow(packet, tables, work) {
        Some(outcome) => outcome,
        None => {
            // In IPv6 only the first part has the protocol.
            let taken_over = F::IS_V6 || work.headers.protocol() != Protocol::UDP;
            unless_vip(tables, work, taken_over, Outcome::FragmentDropped)
        }
    }
}

/// Neither TCP, UDP nor SCTP, at ingress.
#[inline(never)]
fn other_protocol<F: Ip, P: Packet, T: Tables<F>>(packet: &mut P, tables: &T, work: &mut Work<F>) -> Outcome {
    let outcome = match icmp_error::error(packet, tables, work) {
        Outcome::NotOurs => {
            let taken_over = icmp_error::is_error(packet, &work.headers);
            let otherwise = match icmp_error::may_be_answered(packet, &work.headers) {
                true => Outcome::RejectedProtocol,
                false => Outcome::StrayIcmp,
            };
            unless_vip(tables, work, taken_over, otherwise)
        }
        outcome => outcome,
    };
    if outcome == Outcome::RejectedProtocol {
        return reject(packet, tables, &work.headers, outcome);
    }
    outcome
}

/// `NotOurs`, or `otherwise` for a packet to a ClusterIP that the node does not own itself. `taken_over`: it
/// may be part of, or about, a connection that is kube-proxy's still.
#[inline(always)]
fn unless_vip<F: Family, T: Tables<F>>(
    tables: &T,
    work: &Work<F>,
    taken_over: bool,
    otherwise: Outcome,
) -> Outcome {
    let flags = tables.address(&work.headers.key.dst).unwrap_or_default();
    if !flags.has(AddressFlags::CLUSTER_IP) || flags.has(AddressFlags::NODE) {
        Outcome::NotOurs
    } else if taken_over && tables.config().flags & Config::TAKE_OVER != 0 {
        Outcome::TakenOver
    } else {
        otherwise
    }
}

/// A packet of no flow that is about to leave the node: `NotOurs`, unless it is to an address that
/// ClusterIPs come from and no Service has. Judged here and not at ingress, because a Service may be
/// another proxy's, which has put the backend's address in its place by now.
#[inline(always)]
fn leaving<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>) -> Outcome {
    let dst = &work.headers.key.dst;
    match tables.networks() {
        Some(networks) if networks.is_service(dst) && tables.address(dst).is_none() => {
            Outcome::UnallocatedDropped
        }
        _ => Outcome::NotOurs,
    }
}
