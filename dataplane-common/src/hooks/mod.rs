// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The two hooks: from a packet to an [`Outcome`].
//!
//! Rule 1 of docs/architecture.md: ingress rewrites the destination, egress rewrites the source. Between
//! the two the host's own stack routes, and sees one flow from client to backend.

pub(crate) mod fast_path;
pub(crate) mod fragment;
pub(crate) mod icmp_error;
pub(crate) mod marks;

use crate::flow::established::{Step, established};
use crate::flow::foreign;
use crate::flow::new_flow::{NewFlowReason, new_flow, passes};
use crate::flow::pair::confirm;
use crate::flow::reject::reject;
use crate::hooks::fast_path::NextStep;
use crate::hooks::marks::{first_mark, mark_of};
use crate::maps::addresses::AddressFlags;
use crate::maps::config::Config;
use crate::maps::devices::DeviceKind;
use crate::outcome::Outcome;
use crate::packet::headers::{FragmentPart, Parsed};
use crate::packet::ip::Ip;
use crate::packet::{Addressee, Mark, Packet};
use crate::tables::Tables;
use crate::tables::work::Work;
use crate::value::family::Family;
use crate::value::hook::Hook;
use crate::value::protocol::Protocol;

/// A packet that comes in by a device, before it is routed.
#[inline(always)]
pub fn ingress<F: Ip, P: Packet, T: Tables<F>>(packet: &mut P, tables: &T) -> Outcome {
    if !packet.is_for_host() && !is_met_here(packet, tables) {
        return Outcome::NotForDevice;
    }
    // It came by another device of this node before. (A pod may set the mark, too: its packets are then left as they are.)
    if packet.mark().is_some() {
        return Outcome::AlreadyTranslated;
    }
    let Some(work) = tables.work() else {
        return Outcome::NoMemory;
    };
    match work.headers.parse(packet, Hook::Ingress) {
        Parsed::Whole => {}
        Parsed::Fragment => return later_part(packet, tables, work),
        Parsed::OtherProtocol => return other_protocol(packet, tables, work),
        Parsed::Malformed => return malformed(tables, work),
    }
    // Read again each time: keeping it would need stack space that there is not.
    let takes_fast_path = || tables.config().flags & Config::FAST_PATH != 0;
    work.confirms = 0;
    let mut found = tables.kept_flow(&work.headers.key);
    if found.is_none() && takes_fast_path() {
        found = fast_path::reply(packet, tables, work);
        if work.next_step == NextStep::Neighbour as u32 {
            return fast_path::hand_over(packet, tables, work);
        }
    }
    if found.is_none() {
        work.flags = tables.address(&work.headers.key.dst).unwrap_or_default();
        // At other addresses, flows are kept from their first packet on.
        if work.flags != AddressFlags::default() {
            found = tables.opening_flow(&work.headers.key);
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
                    packet.set_mark(mark_of(entry.get().state, work.headers.part));
                }
                Step::Done(outcome)
            }
            // A reply's entry starts no flow.
            Step::Start(_) if work.headers.key.hook() == Hook::Egress => Step::Done(Outcome::NotOurs),
            Step::Start(reason) => {
                work.flags = tables.address(&work.headers.key.dst).unwrap_or_default();
                Step::Start(reason)
            }
            done => done,
        },
    };
    if work.confirms != 0 {
        confirm(tables, work);
    }
    let outcome = match step {
        Step::Done(outcome) => outcome,
        Step::Start(reason) => {
            work.reason = reason as u32;
            match passes(tables, work) {
                true => Outcome::NotOurs,
                false => {
                    let outcome = new_flow(packet, tables, work);
                    if outcome.writes_flow() || outcome == Outcome::ResetTranslated {
                        packet.set_mark(first_mark(work.value.state));
                    }
                    outcome
                }
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
    let mark = packet.take_mark();
    if mark == Some(Mark::Done) {
        return Outcome::EgressSkipped;
    }
    let Some(work) = tables.work() else {
        return Outcome::NoMemory;
    };
    work.is_masqueraded = (mark == Some(Mark::Masquerade)) as u32;
    match work.headers.parse(packet, Hook::Egress) {
        Parsed::Whole => {}
        Parsed::Fragment => {
            let followed = fragment::follow(packet, tables, work);
            return followed.unwrap_or_else(|| of_no_flow(tables, work));
        }
        Parsed::OtherProtocol => {
            return match icmp_error::error(packet, tables, work) {
                Outcome::NotOurs => leaving(tables, work),
                outcome => outcome,
            };
        }
        Parsed::Malformed => return malformed_leaving(tables, work),
    }
    work.confirms = 0;
    let outcome = match tables.flow(&work.headers.key) {
        None if work.headers.continues() && work.is_masqueraded == 0 => Outcome::NotOurs,
        None => {
            if !work.headers.has_connections() {
                foreign::note(tables, work);
            }
            of_no_flow(tables, work)
        }
        Some(entry) => match established(packet, tables, work, entry) {
            Step::Done(outcome) => outcome,
            Step::Start(_) if work.is_masqueraded != 0 => of_no_flow(tables, work),
            // A flow that is over claims nothing: this is another flow's packet.
            Step::Start(_) => Outcome::NotOurs,
        },
    };
    if work.confirms != 0 {
        confirm(tables, work);
    }
    if work.headers.part == FragmentPart::First {
        fragment::remember(tables, work, outcome);
    }
    outcome
}

/// A packet at egress that no flow claims. One that ingress gave to a backend under the client's own address must not
/// leave with it: the backend's answer would pass this node by. Something else may have put an address of the node in
/// its place, as CNIs do.
#[inline(never)]
fn of_no_flow<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>) -> Outcome {
    let is_nodes = || {
        tables
            .address(&work.headers.key.src)
            .is_some_and(|flags| flags.has(AddressFlags::NODE))
    };
    match work.is_masqueraded != 0 && !is_nodes() {
        true => Outcome::MasqueradeLost,
        false => leaving(tables, work),
    }
}

/// Whether this device is the place to look at a frame that has a VLAN tag, or another link-layer address than the
/// device's. Elsewhere the stack gives such a frame to another device (VLAN, macvlan), which has programs of its own, or
/// to none. But a bridge's port also sees the frames that are for the bridge, which routes for its ports; tagged ones only
/// where they are addressed to the port itself.
#[inline(never)]
fn is_met_here<F: Family, P: Packet, T: Tables<F>>(packet: &P, tables: &T) -> bool {
    let is_untagged = packet.vlan() == 0;
    let is_bridge_port = || tables.device().is_some_and(|device| device.bridge_port != 0);
    match packet.addressee() {
        Addressee::Device => is_untagged || is_bridge_port(),
        Addressee::Other => is_untagged && is_bridge_port(),
        Addressee::Many => false,
    }
}

/// Headers that cannot be read, at ingress. A first part too short for its ports must not pass to a Service as it is;
/// the stack would put it together with the others.
#[inline(never)]
fn malformed<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>) -> Outcome {
    if work.headers.part != FragmentPart::First {
        return Outcome::Malformed;
    }
    fragment::remember(tables, work, Outcome::Malformed);
    let flags = tables.address(&work.headers.key.dst).unwrap_or_default();
    let is_service = flags.has(AddressFlags::VIP) || flags.has(AddressFlags::NODE_PORTS);
    let is_owned = flags.has(AddressFlags::CLUSTER_IP.with(AddressFlags::NODE));
    if !is_service || is_owned {
        Outcome::Malformed
    } else if tables.config().flags & Config::TAKE_OVER != 0 {
        Outcome::TakenOver
    } else {
        Outcome::FragmentDropped
    }
}

/// The same at egress.
#[inline(never)]
fn malformed_leaving<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>) -> Outcome {
    if work.headers.part == FragmentPart::First {
        fragment::remember(tables, work, Outcome::Malformed);
    }
    match leaving(tables, work) {
        Outcome::NotOurs => Outcome::Malformed,
        outcome => outcome,
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
    if outcome == Outcome::ErrorTranslated {
        packet.set_mark(Mark::Translated);
    }
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

/// A packet of no flow that is about to leave the node: `NotOurs`, unless it is to a ClusterIP, or to an address that
/// ClusterIPs come from and no Service has. Judged here and not at ingress, because a Service may be another proxy's,
/// which has put the backend's address in its place by now. A segment of a connection that goes on is not judged: what
/// opened it was.
#[inline(always)]
fn leaving<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>) -> Outcome {
    let dst = &work.headers.key.dst;
    match tables.networks() {
        Some(networks) if networks.may_be_service(dst) => leaving_to_service(tables, work),
        _ => Outcome::NotOurs,
    }
}

/// The same for an address that may be a ClusterIP.
#[inline(never)]
fn leaving_to_service<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>) -> Outcome {
    let dst = &work.headers.key.dst;
    let Some(flags) = tables.address(dst) else {
        return match tables.networks() {
            Some(networks) if networks.is_service(dst) => Outcome::UnallocatedDropped,
            _ => Outcome::NotOurs,
        };
    };
    let is_cluster_ip = flags.has(AddressFlags::CLUSTER_IP) && !flags.has(AddressFlags::NODE);
    if is_cluster_ip && tables.config().flags & Config::TAKE_OVER == 0 && by_uplink(tables) {
        Outcome::UntranslatedDropped
    } else {
        Outcome::NotOurs
    }
}

#[inline(always)]
fn by_uplink<F: Family, T: Tables<F>>(tables: &T) -> bool {
    tables
        .device()
        .is_some_and(|device| device.kind == DeviceKind::Uplink as u32)
}
