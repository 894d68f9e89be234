// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Established flows past the host's stack (`--forwarding=direct`).
//!
//! At ingress, once both ends of a flow have been heard, the kernel's routing is asked where the packet goes, and it
//! is handed there at once: into the pod, or to the neighbour behind a device. Whatever the kernel does not answer
//! with "there, and its neighbour is known" takes the stack's way, from the next packet on: no route, an address of
//! the node itself, forwarding switched off, a packet too long for the route, one that has no hop left.
//!
//! Everything else between ingress and egress is skipped: netfilter's rules and its connection tracking, and of
//! the programs on a pod's device those at egress. That is why it is off by default.
//!
//! ```text
//! request, ingress entry    rewritten      -> the pod, or the neighbour
//! reply to a pod            egress entry, looked up and rewritten at ingress, because the pod's device
//!                           sees no egress -> the pod
//! reply to anybody else     as it is       -> the neighbour; egress rewrites it as ever
//! ```
//!
//! Per packet: the kernel's lookup of route and neighbour, one of the device, and for a reply one of its flow.

use crate::maps::flow_state::State;
use crate::maps::flows::{Entry, FlowValue};
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::packet::headers::FragmentPart;
use crate::packet::ip::Ip;
use crate::tables::Tables;
use crate::tables::route::FibLookup;
use crate::tables::work::Work;
use crate::value::family::Family;
use crate::value::hook::Hook;
use crate::value::protocol::Protocol;
use crate::value::wire::{Port, Wire};

/// Every so many ticks, well below the 30 s for which connection tracking remembers a datagram.
const TRACKED_EVERY: u32 = 8;

/// How a packet goes on.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NextStep {
    /// Through the host's stack.
    Stack = 0,
    /// Into the pod behind the device.
    Peer = 1,
    /// To the neighbour, through the device's egress.
    Neighbour = 2,
}

#[repr(transparent)]
#[derive(Clone, Copy)]
struct LinkAddresses([u16; 6]);
// SAFETY: integers without padding.
unsafe impl Wire for LinkAddresses {}

/// A packet at ingress without a flow there: is it a reply of an established flow, which egress would translate?
/// The way that it goes is then in `work.next_step`; if that is into a pod, its egress entry is returned, and
/// `work.headers.key` is from now on that entry's key.
#[inline(never)]
pub(crate) fn reply<'a, F: Ip, P: Packet, T: Tables<F>>(
    packet: &P,
    tables: &'a T,
    work: &mut Work<F>,
) -> Option<Entry<'a, F>> {
    work.next_step = NextStep::Stack as u32;
    work.other_key = work.headers.key.next_unchanged();
    let entry = tables.flow(&work.other_key)?;
    let value = entry.get();
    // A masqueraded reply has an entry at ingress. An entry that expects a masquerade is no reply's.
    if !value.state.has(State::REPLY)
        || !is_established(&value, work.headers.protocol())
        || value.state.has(State::MASQUERADE)
        || value.is_expired(work.headers.protocol(), tables.now())
        || (value.last_seen != tables.now() && is_for_tracking(tables))
    {
        return None;
    }
    let (dst, dport) = (work.headers.key.dst, work.headers.key.ports.destination());
    let next = next_step(packet, tables, work, dst, dport);
    work.next_step = next as u32;
    if next != NextStep::Peer {
        return None;
    }
    work.headers.key = work.other_key;
    Some(entry)
}

/// After a packet was translated at ingress.
#[inline(never)]
pub(crate) fn translated<F: Ip, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    work: &mut Work<F>,
    entry: Entry<'_, F>,
) -> Outcome {
    match goes_on(packet, tables, work, &entry.get()) {
        true => hand_over(packet, tables, work),
        false => Outcome::Translated,
    }
}

/// Whether a packet that was translated at ingress goes on without the host's stack.
#[inline(always)]
fn goes_on<F: Ip, P: Packet, T: Tables<F>>(
    packet: &P,
    tables: &T,
    work: &mut Work<F>,
    value: &FlowValue<F>,
) -> bool {
    if work.headers.key.hook() == Hook::Egress {
        // A reply to a pod: `reply` has found its way.
        return true;
    }
    if !is_established(value, work.headers.protocol()) || (work.refreshes != 0 && is_for_tracking(tables)) {
        return false;
    }
    match next_step(packet, tables, work, value.addr, value.port) {
        NextStep::Stack => false,
        NextStep::Neighbour => true,
        // A reply and a masquerade are written at egress, which the way to a pod does not have.
        NextStep::Peer => !value.state.has(State::REPLY) && !value.state.has(State::MASQUERADE),
    }
}

/// Whether both ends of a flow have been heard. A connection's third packet, which confirms it, goes through the
/// stack as well, so that connection tracking takes the connection for established.
#[inline(always)]
fn is_established<F: Family>(value: &FlowValue<F>, protocol: Protocol) -> bool {
    value.state.has(match protocol.has_connections() {
        true => State::CONFIRMED,
        false => State::REPLIED,
    })
}

/// Whether the first packet of each entry goes through the stack in this tick, so that connection tracking, which a
/// CNI's masquerade asks, does not forget the flow.
#[inline(always)]
fn is_for_tracking<F: Family, T: Tables<F>>(tables: &T) -> bool {
    tables.now().0.is_multiple_of(TRACKED_EVERY)
}

/// Hands the packet over to `work.hop`.
#[inline(never)]
pub(crate) fn hand_over<F: Ip, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    work: &mut Work<F>,
) -> Outcome {
    let hop = &work.hop;
    // Other devices have theirs written as the packet leaves. But the kernel counts these bytes into the sum that a card
    // took over the packet, and takes the new ones out of it at the next device: they must be the same.
    if P::L3 != 0 && packet.store(0, LinkAddresses(hop.link)).is_err() {
        return Outcome::RewriteFailed;
    }
    if F::take_hop(packet).is_err() {
        return Outcome::RewriteFailed;
    }
    tables.hand_over(hop);
    Outcome::FastPath
}

/// Asks routing for the way to `dst`.
#[inline(always)]
fn next_step<F: Ip, P: Packet, T: Tables<F>>(
    packet: &P,
    tables: &T,
    work: &mut Work<F>,
    dst: F::Addr,
    dport: Port,
) -> NextStep {
    let headers = &work.headers;
    // Options, extension headers and fragments are the stack's to judge.
    let usual = headers.layout.l4 == P::L3 + F::HEADER && headers.part == FragmentPart::All;
    let hops: u8 = packet.load(P::L3 + F::HOPS).unwrap_or_default();
    if !usual || hops < 2 || !packet.is_for_host() {
        return NextStep::Stack;
    }
    let length = match packet.segment_size() {
        0 => headers.layout.end - P::L3,
        payload => F::HEADER + header_length(packet, headers.protocol(), headers.layout.l4) + payload,
    };
    if length > u16::MAX as usize {
        return NextStep::Stack;
    }
    let lookup = FibLookup {
        src: headers.key.src,
        dst,
        ports: (headers.key.ports.source(), dport),
        protocol: headers.key.protocol,
        length: length as u16,
    };
    if !tables.next_hop(&lookup, &mut work.hop) {
        return NextStep::Stack;
    }
    match work.hop.peer {
        0 => NextStep::Neighbour,
        // From a device without link-layer headers there is nothing to put the pod's address in.
        _ if P::L3 == 0 => NextStep::Stack,
        _ => NextStep::Peer,
    }
}

/// Bytes of the transport header at `l4`, where it is in a packet without options.
#[inline(always)]
fn header_length<P: Packet>(packet: &P, protocol: Protocol, l4: usize) -> usize {
    const DATA_OFFSET: usize = 12;
    match protocol {
        Protocol::TCP => {
            let offset: u8 = packet.load_far(l4 + DATA_OFFSET).unwrap_or(0xf0);
            ((offset >> 4) as usize) << 2
        }
        _ => 8,
    }
}
