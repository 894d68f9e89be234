// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! ICMP errors about packets of a translated flow, as the two ends must see them.
//!
//! An error quotes the packet it is about, which has come as far as where the error was made. It now
//! travels back to that packet's sender, the way that the flow's other packets travel from the
//! quoted destination to the quoted source. So one lookup, with the quoted tuple reversed and the
//! hook that handles the error, finds what a hook writes to packets that go this way:
//!
//! ```text
//! ingress  reversed: client -> VIP      quoted source := backend, outer destination := backend
//! egress   reversed: backend -> client  quoted destination := VIP, outer source := VIP
//! ```
//!
//! and the same for the second pair of a masqueraded flow. The outer source stays where it is not the
//! quoted destination: then a router made the error, in its own name. Errors that the node makes
//! itself leave by an egress as well, so both pairs are used as above.
//!
//! An error is no sign of life: it neither refreshes a flow nor makes one. Anybody can send one.
//! Only what is quoted is read or written, which may be no more than 8 bytes of the transport header
//! (RFC 792).
//!
//! Costs an ICMP packet one read; an error one lookup, and the writes of some ten fields.

use crate::maps::flows::FlowKey;
use crate::outcome::Outcome;
use crate::packet::headers::{Headers, Parsed, checksum_in};
use crate::packet::ip::Ip;
use crate::packet::rewrite::{address_difference, ports_difference};
use crate::packet::{Fault, Packet};
use crate::tables::Tables;
use crate::tables::work::Work;
use crate::value::checksum::Checksum;
use crate::value::hook::Hook;
use crate::value::protocol::Protocol;
use crate::value::wire::Ports;

/// Bytes of an ICMP header: type, code, checksum, and four more.
const HEADER: usize = 8;
const CHECKSUM: usize = 2;

/// Translates an ICMP error about a packet of a known flow. Any other packet is left as it is, and
/// `NotOurs`.
#[inline(never)]
pub(crate) fn error<F: Ip, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    work: &mut Work<F>,
) -> Outcome {
    if !reads_quoted(packet, work) {
        return Outcome::NotOurs;
    }
    let quoted = &work.quoted.key;
    // An error goes to the sender of what it quotes. Any other is no part of the flow, whatever it quotes (netfilter
    // holds the same since Linux 5.1, commit 1025ce75212b).
    if work.headers.key.dst != quoted.src {
        return Outcome::NotOurs;
    }
    let key = &mut work.other_key;
    *key = FlowKey::new(
        work.headers.key.hook(),
        Protocol(quoted.protocol),
        (quoted.dst, quoted.ports.destination()),
        (quoted.src, quoted.ports.source()),
    );
    let Some(entry) = tables.flow(&work.other_key) else {
        return Outcome::NotOurs;
    };
    work.value = entry.get();
    let protocol = work.quoted.protocol();
    if work.value.is_expired(protocol, tables.now()) || work.value.is_pending() {
        return Outcome::NotOurs;
    }
    match write(packet, work) {
        Ok(()) => Outcome::ErrorTranslated,
        Err(Fault) => Outcome::RewriteFailed,
    }
}

/// Whether a packet is an ICMP error.
#[inline(always)]
pub(crate) fn is_error<F: Ip, P: Packet>(packet: &P, headers: &Headers<F>) -> bool {
    headers.protocol() == F::ICMP && packet.load_far::<u8>(headers.layout.l4).is_some_and(F::is_error)
}

/// Whether a packet may be answered with an ICMP error: of ICMP's own, only an echo request.
#[inline(always)]
pub(crate) fn may_be_answered<F: Ip, P: Packet>(packet: &P, headers: &Headers<F>) -> bool {
    headers.protocol() != F::ICMP || packet.load_far::<u8>(headers.layout.l4) == Some(F::ECHO_REQUEST)
}

/// Reads the quoted packet's tuple, if the packet is an error and quotes as much.
#[inline(always)]
fn reads_quoted<F: Ip, P: Packet>(packet: &P, work: &mut Work<F>) -> bool {
    let outer = &work.headers.layout;
    let quoted = &mut work.quoted;
    if !is_error(packet, &work.headers) || F::parse_quoted(packet, outer.l4 + HEADER, quoted) != Parsed::Whole
    {
        return false;
    }
    let is_known = matches!(quoted.protocol(), Protocol::TCP | Protocol::UDP | Protocol::SCTP);
    if !is_known || quoted.layout.l4 + size_of::<Ports>() > outer.end {
        return false;
    }
    match packet.load_far::<Ports>(quoted.layout.l4) {
        Some(ports) => {
            quoted.key.ports = ports;
            true
        }
        None => false,
    }
}

/// Writes `work.value` to the error and to what it quotes.
#[inline(always)]
fn write<F: Ip, P: Packet>(packet: &mut P, work: &Work<F>) -> Result<(), Fault> {
    let (outer, value) = (&work.headers, &work.value);
    let inner = write_quoted(packet, work)?;
    let hook = outer.key.hook();
    let old = match hook {
        Hook::Ingress => &outer.key.dst,
        Hook::Egress => &outer.key.src,
    };
    let mut difference = inner;
    if hook == Hook::Ingress || *old == work.quoted.key.dst {
        let address = address_difference::<F>(old, &value.addr);
        if F::IS_V6 {
            // ICMPv6's checksum is over the addresses too (RFC 4443 section 2.3).
            difference = difference.and(address);
        }
        F::set_address(packet, hook, value.addr, address, true)?;
    }
    update(packet, outer.layout.l4 + CHECKSUM, difference)
}

/// Writes to the quoted packet. Returns what that changes in the sum over it.
#[inline(always)]
fn write_quoted<F: Ip, P: Packet>(packet: &mut P, work: &Work<F>) -> Result<Checksum, Fault> {
    let (quoted, value) = (&work.quoted, &work.value);
    let l4 = quoted.layout.l4;
    // What travels back is quoted as it was sent: its source is what the hook would write as a
    // destination, and the other way round.
    let (end, old) = match work.headers.key.hook() {
        Hook::Ingress => (Hook::Egress, &quoted.key.src),
        Hook::Egress => (Hook::Ingress, &quoted.key.dst),
    };
    let ports = match end {
        Hook::Egress => Ports::new(value.port, value.peer_port),
        Hook::Ingress => Ports::new(value.peer_port, value.port),
    };
    let address = address_difference::<F>(old, &value.addr);
    let moved = ports_difference(quoted.key.ports, ports);
    let mut difference = F::write_quoted(packet, work.headers.layout.l4 + HEADER, end, value.addr, address)?;
    if ports != quoted.key.ports {
        packet.store_far(l4, ports)?;
        difference = difference.and(moved);
    }
    let at = l4 + checksum_in(quoted.protocol());
    if quoted.protocol() != Protocol::SCTP && at + size_of::<[u8; 2]>() <= work.headers.layout.end {
        let old: [u8; 2] = packet.load_far(at).ok_or(Fault)?;
        let new = checksum(quoted.protocol(), old, address.and(moved));
        packet.store_far(at, new)?;
        difference = difference.sub16(old).add16(new);
    }
    Ok(difference)
}

/// A quoted transport checksum after what it covers changed. UDP's may be absent: zero.
#[inline(always)]
fn checksum(protocol: Protocol, old: [u8; 2], difference: Checksum) -> [u8; 2] {
    let is_udp = protocol == Protocol::UDP;
    match difference.update(old) {
        _ if is_udp && old == [0, 0] => old,
        [0, 0] if is_udp => [0xff, 0xff],
        new => new,
    }
}

#[inline(always)]
fn update<P: Packet>(packet: &mut P, at: usize, difference: Checksum) -> Result<(), Fault> {
    let old: [u8; 2] = packet.load_far(at).ok_or(Fault)?;
    packet.store_far(at, difference.update(old))
}
