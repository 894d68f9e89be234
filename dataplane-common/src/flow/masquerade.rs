// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Masquerade: a source address that the reply finds its way back to.
//!
//! Needed where the reply would not pass this node (an outside client's flow to a backend on
//! another node) and where it would not leave the pod (a pod that reaches itself: "hairpin").
//! Which address that is depends on the device the packet leaves by, and so is known only after
//! routing. At ingress, therefore, a *pending* entry is put for the client's packet as it will look
//! at egress, and the first packet there claims an address and a port. Where that port proves to be another
//! connection's, the entry is pending once more, and the client's next SYN claims another.
//! `pair.rs` has the picture of the four entries.

use crate::flow::claim::claim;
use crate::flow::pair::remove_partner;
use crate::maps::devices::DeviceKind;
use crate::maps::flow_state::State;
use crate::maps::flows::{Entry, FlowValue};
use crate::outcome::Outcome;
use crate::tables::work::Work;
use crate::tables::{Insert, InsertError, Tables};
use crate::value::family::Family;
use crate::value::protocol::Protocol;
use crate::value::wire::Port;

/// Inserts a pending entry for the packet's flow, unless it has one. An expired entry is replaced: with it, the packet
/// would leave untranslated. (An entry of a closed connection stays: a SYN makes it pending, see [`expect_again`].)
#[inline(always)]
pub(crate) fn expect<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>) -> Result<(), InsertError> {
    // Two calls one after the other, so that the one's stack is free again for the other (512 bytes along any chain).
    if is_expected(tables, work) {
        return Ok(());
    }
    put_pending(tables, work)
}

/// Whether there is an entry. One that has expired is taken away.
#[inline(never)]
fn is_expected<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>) -> bool {
    work.other_key = work.headers.key.masquerade(&work.value);
    let Some(entry) = tables.flow(&work.other_key) else {
        return false;
    };
    let old = entry.get();
    if old.is_expired(work.headers.protocol(), work.value.last_seen) {
        remove_partner(tables, &work.other_key, &old);
        tables.remove_flow(&work.other_key);
        return false;
    }
    true
}

/// Puts it under the key that [`is_expected`] has worked out.
#[inline(never)]
fn put_pending<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>) -> Result<(), InsertError> {
    // Counted, and followed when its backend goes, by the first pair.
    work.other = FlowValue {
        peer_port: work.other_key.ports.destination(),
        last_seen: work.value.last_seen,
        state: work.value.state.events().with(State::PENDING),
        sequence: work.value.sequence,
        acked: work.value.acked,
        candidate: work.value.candidate,
        ..FlowValue::default()
    }
    .of(&work.other_key);
    match tables.insert_flow(&work.other_key, &work.other, Insert::New) {
        Err(InsertError::Exists) => Ok(()),
        other => other,
    }
}

/// Has an entry at egress wait for its address again, because its connection is over or its port another's: the
/// client's SYN is on its way out, and must not leave as it is. A port that proved another's is kept in the entry
/// until then, so that it is not taken again.
#[inline(never)]
pub(crate) fn expect_again<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, entry: Entry<'_, F>) {
    work.value = entry.get();
    remove_partner(tables, &work.headers.key, &work.value);
    let contested = work.value.state.has(State::CONTESTED);
    work.value = FlowValue {
        addr: F::Addr::default(),
        port: match contested {
            true => work.value.port,
            false => Port::default(),
        },
        state: work.value.state.afresh().with(State::PENDING),
        sequence: work.headers.segment.sequence.wrapping_add(1),
        acked: 0,
        ..work.value
    };
    entry.replace(&work.value);
}

/// Has an entry at egress, of a flow in `work.value` whose replies have come to be another's, wait for a port of its
/// own.
#[inline(always)]
pub(crate) fn await_port<F: Family>(work: &mut Work<F>, entry: Entry<'_, F>) {
    work.value.addr = F::Addr::default();
    work.value.port = Port::default();
    work.value.state = work.value.state.with(State::PENDING);
    entry.replace(&work.value);
}

/// The address that a flow to `dst` takes: what the host's own packets there would have, or the one that the agent has
/// chosen for the device. IPv6 asks routing last, because its choice may be a floating address; so do the devices of
/// pods, whose neighbours know but the one.
#[inline(always)]
fn source<F: Family, T: Tables<F>>(tables: &T, dst: &F::Addr) -> F::Addr {
    let unspecified = F::Addr::default();
    let device = tables.device();
    let chosen = device.map(|device| device.source::<F>()).unwrap_or_default();
    let routed_first = !F::IS_V6 && device.is_some_and(|device| device.kind == DeviceKind::Uplink as u32);
    if !routed_first && chosen != unspecified {
        return chosen;
    }
    match tables.source_for(dst) {
        Some(routed) if routed != unspecified => routed,
        _ => chosen,
    }
}

/// Claims the out-device's address and a port for a pending entry.
///
/// Only that port distinguishes the flow's replies from replies to the node's own sockets. So it is one of the node's
/// range, from which the kernel gives sockets none, and that no socket has taken by name; the client's own
/// is kept if it is such a one. (Any free port would do now, but a socket could be given it later.) SCTP keeps
/// the client's in any case, because it can have no other.
#[inline(never)]
pub(crate) fn resolve<F: Family, T: Tables<F>>(
    tables: &T,
    work: &mut Work<F>,
    entry: Entry<'_, F>,
) -> Result<(), Outcome> {
    work.value = entry.get();
    work.contested = work.value.barred_port();
    if work.contested != Port::default() {
        // Should there be no other, the next SYN has it again.
        work.value.port = Port::default();
        entry.replace(&work.value);
    }
    work.value.addr = source(tables, &work.headers.key.dst);
    if work.value.addr == F::Addr::default() {
        return Err(Outcome::NoMasqueradeAddress);
    }
    work.value.state = work.value.state.without(State::PENDING);
    let sport = work.headers.key.ports.source();
    let keeps = tables.config().has_port(sport) || work.headers.protocol() == Protocol::SCTP;
    let preferred = if keeps { Some(sport) } else { None };
    claim(tables, work, preferred, |value, port| value.port = port)?;
    if !entry.is_of(&work.headers.key) {
        // Making room for the claim, the kernel took this very entry. The client sends its packet again.
        return Err(Outcome::FlowTableFull);
    }
    entry.settle_masquerade(work.value.addr, work.value.port);
    Ok(())
}
