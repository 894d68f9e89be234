// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The two hooks: from a packet to an [`Outcome`].
//!
//! Rule 1: ingress rewrites the destination, egress rewrites the source. Between the two the host's
//! own stack routes, and sees one flow from client to backend.

use crate::established::{Why, established};
use crate::family::Family;
use crate::flow::Hook;
use crate::headers::{Headers, Ip};
use crate::new_flow::new_flow;
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::service::AddressFlags;
use crate::tables::Tables;

/// A packet that comes in by a device, before it is routed. `l3` is the IP header's offset.
#[inline(always)]
pub fn ingress<F: Family, P: Packet, T: Tables<F>>(packet: &mut P, tables: &T, l3: usize) -> Outcome {
    let ip = match F::parse(packet, l3) {
        Ok(ip) => ip,
        Err(outcome) => return outcome,
    };
    if ip.fragment {
        return unless_vip(tables, &ip, Outcome::FragmentDropped);
    }
    let headers = match Headers::parse(packet, &ip, Hook::Ingress) {
        Ok(Some(headers)) => headers,
        Ok(None) => return unless_vip(tables, &ip, Outcome::UnknownProtocol),
        Err(outcome) => return outcome,
    };
    let why = match tables.flow(&headers.key) {
        None => Why::First,
        Some(entry) => match established(packet, tables, &headers, entry) {
            Ok(outcome) => return outcome,
            Err(why) => why,
        },
    };
    new_flow(packet, tables, &headers, why)
}

/// A packet that goes out by a device, after it was routed. `l3` is the IP header's offset.
#[inline(always)]
pub fn egress<F: Family, P: Packet, T: Tables<F>>(packet: &mut P, tables: &T, l3: usize) -> Outcome {
    let ip = match F::parse(packet, l3) {
        Ok(ip) => ip,
        Err(outcome) => return outcome,
    };
    let headers = match Headers::parse(packet, &ip, Hook::Egress) {
        Ok(Some(headers)) if !ip.fragment => headers,
        Ok(_) => return Outcome::NotOurs,
        Err(outcome) => return outcome,
    };
    match tables.flow(&headers.key) {
        None => Outcome::NotOurs,
        // A flow that is over claims nothing: the packet is somebody else's.
        Some(entry) => established(packet, tables, &headers, entry).unwrap_or(Outcome::NotOurs),
    }
}

/// `NotOurs`, or `otherwise` for a packet to a VIP that the node does not own itself.
#[inline(always)]
fn unless_vip<F: Family, T: Tables<F>>(tables: &T, ip: &Ip<F>, otherwise: Outcome) -> Outcome {
    let flags = tables.address(&ip.dst).unwrap_or_default();
    match flags.has(AddressFlags::VIP) && !flags.has(AddressFlags::NODE) {
        true => otherwise,
        false => Outcome::NotOurs,
    }
}
