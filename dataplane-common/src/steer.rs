// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The two hooks: from a packet to an [`Outcome`].
//!
//! Rule 1: ingress rewrites the destination, egress rewrites the source. Between the two the host's
//! own stack routes, and sees one flow from client to backend.

use crate::established::{Why, established};
use crate::family::Family;
use crate::flow::Hook;
use crate::headers::Parsed;
use crate::new_flow::new_flow;
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::service::AddressFlags;
use crate::tables::Tables;

/// A packet that comes in by a device, before it is routed.
#[inline(always)]
pub fn ingress<F: Family, P: Packet, T: Tables<F>>(packet: &mut P, tables: &T) -> Outcome {
    let Some(work) = tables.work() else {
        return Outcome::NoMemory;
    };
    match work.headers.parse(packet, Hook::Ingress) {
        Parsed::Whole => {}
        Parsed::Fragment => return unless_vip(tables, &work.headers.key.dst, Outcome::FragmentDropped),
        Parsed::OtherProtocol => return unless_vip(tables, &work.headers.key.dst, Outcome::UnknownProtocol),
        Parsed::Malformed => return Outcome::Malformed,
    }
    let why = match tables.flow(&work.headers.key) {
        None => Why::First,
        Some(entry) => match established(packet, tables, work, entry) {
            Ok(outcome) => return outcome,
            Err(why) => why,
        },
    };
    match new_flow(packet, tables, work, why == Why::Contested) {
        Outcome::NewFlow => why.outcome(),
        outcome => outcome,
    }
}

/// A packet that goes out by a device, after it was routed.
#[inline(always)]
pub fn egress<F: Family, P: Packet, T: Tables<F>>(packet: &mut P, tables: &T) -> Outcome {
    let Some(work) = tables.work() else {
        return Outcome::NoMemory;
    };
    match work.headers.parse(packet, Hook::Egress) {
        Parsed::Whole => {}
        Parsed::Fragment | Parsed::OtherProtocol => return Outcome::NotOurs,
        Parsed::Malformed => return Outcome::Malformed,
    }
    match tables.flow(&work.headers.key) {
        None => Outcome::NotOurs,
        // A flow that is over claims nothing: the packet is somebody else's.
        Some(entry) => established(packet, tables, work, entry).unwrap_or(Outcome::NotOurs),
    }
}

/// `NotOurs`, or `otherwise` for a packet to a VIP that the node does not own itself.
#[inline(always)]
fn unless_vip<F: Family, T: Tables<F>>(tables: &T, addr: &F::Addr, otherwise: Outcome) -> Outcome {
    let flags = tables.address(addr).unwrap_or_default();
    match flags.has(AddressFlags::VIP) && !flags.has(AddressFlags::NODE) {
        true => otherwise,
        false => Outcome::NotOurs,
    }
}
