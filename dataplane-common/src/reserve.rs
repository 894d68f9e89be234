// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Claiming a tuple for a flow's replies, and giving a flow's tuples back. Once per flow.

use crate::family::Family;
use crate::flow::{Entry, FlowKey, FlowValue, Hook};
use crate::hash::{hash, rehash, scale};
use crate::headers::Protocol;
use crate::outcome::Outcome;
use crate::service::FrontendKey;
use crate::state::{State, Tick};
use crate::tables::{Insert, InsertError, Tables};
use crate::wire::Port;
use crate::work::Work;

/// Ports tried before a flow is refused. With half of the range taken, one flow in 64 needs more
/// than these; each is another step of the verifier's way through the program.
const TRIES: u32 = 6;

/// Tries that leave ports alone whose connection has only just ended. The backend waits for the client's last
/// acknowledgement then, and takes another connection's SYN for a mistake; and that acknowledgement no longer finds its
/// flow. The tries after these take such ports, too: at thousands of connections a second there may be no others.
const PATIENT_TRIES: u32 = 4;

/// Ticks after its last packet until a port is anybody's.
const REST: u32 = 2;

/// Whether a tuple could be had for a flow's replies.
enum Claim {
    Had,
    /// Another flow has it, or a socket of the node, or its port is a NodePort.
    Taken,
    Full,
}

/// Puts the entry that turns the replies of the packet's flow back, under a tuple no
/// other live flow has. The insertion is the reservation: two CPUs cannot both win.
///
/// `preferred` is tried first, then ports of the node's range; where `work.contested` is a port, only those, and not that
/// one. `assign` writes the port tried into the value. Whether the preferred port was had is returned.
#[inline(always)]
pub(crate) fn claim<F: Family, T: Tables<F>>(
    tables: &T,
    work: &mut Work<F>,
    preferred: Option<Port>,
    assign: impl Fn(&mut FlowValue<F>, Port),
) -> Result<bool, Outcome> {
    if let Some(port) = preferred
        && work.contested == Port::default()
    {
        assign(&mut work.value, port);
        // On the client's own tuple, the client knows best; and SCTP can have no other port.
        let rest = match work.headers.key.hook() {
            Hook::Egress if work.headers.protocol() != Protocol::SCTP => REST,
            _ => 0,
        };
        match claim_as_is(tables, work, rest) {
            Claim::Had => return Ok(true),
            Claim::Full => return Err(Outcome::FlowTableFull),
            Claim::Taken => {}
        }
    }
    if work.headers.protocol() == Protocol::SCTP {
        return Err(Outcome::SctpPortChange);
    }
    for attempt in 0..TRIES {
        let port = port(tables, work, attempt);
        if port == work.contested {
            continue;
        }
        assign(&mut work.value, port);
        let rest = if attempt < PATIENT_TRIES { REST } else { 0 };
        match claim_as_is(tables, work, rest) {
            Claim::Had => return Ok(false),
            Claim::Full => return Err(Outcome::FlowTableFull),
            Claim::Taken => {}
        }
    }
    Err(Outcome::PortsExhausted)
}

/// The port of the node's range that this flow tries as its `attempt`-th. Which they are
/// depends on the one that proved contested: else two such would be tried in turns for ever.
#[inline(never)]
fn port<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>, attempt: u32) -> Port {
    let config = tables.config();
    let offset = scale(
        rehash(hash(&work.headers.key) ^ work.contested.get() as u32, attempt),
        config.ports_count as u32,
    );
    Port::new(config.ports_first.wrapping_add(offset as u16))
}

/// Puts the partner of the packet's flow, in the place of a flow that is over if need be, since `rest` ticks.
#[inline(always)]
fn claim_as_is<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, rest: u32) -> Claim {
    if held_by_finished(tables, work, rest) {
        forget(tables, &work.reply_key);
    }
    if is_nodes_own(tables, work) {
        return Claim::Taken;
    }
    put_reply(tables, work)
}

/// Whether the reply would be the node's own or a Service's, were it not this flow's. Only replies to the
/// node's own address can be, those of masqueraded flows: they are met at ingress.
#[inline(never)]
fn is_nodes_own<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>) -> bool {
    let key = &work.reply_key;
    key.hook() == Hook::Ingress
        && (tables.has_socket(key)
            || tables
                .frontend(&FrontendKey::node_port(key.ports.destination(), key.protocol))
                .is_some())
}

/// Works out the reply's tuple, and whether a flow has it that is over and has had no packet for `rest` ticks.
#[inline(never)]
fn held_by_finished<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, rest: u32) -> bool {
    work.set_reply();
    let now = work.value.last_seen;
    tables.flow(&work.reply_key).is_some_and(|entry| {
        let holder = entry.get();
        now.since(holder.last_seen) >= rest && is_over(&work.reply_key, &holder, now)
    })
}

#[inline(never)]
fn put_reply<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>) -> Claim {
    let (key, reply) = (&work.reply_key, &work.reply);
    match tables.insert_flow(key, reply, Insert::New) {
        Ok(()) => return Claim::Had,
        Err(InsertError::Full) => return Claim::Full,
        Err(InsertError::Exists) => {}
    }
    match tables.flow(key) {
        // Left over from this very flow: its other half was evicted, or another CPU was quicker.
        Some(entry) if work.headers.key.has_partner(entry) => {
            entry.replace(reply);
            Claim::Had
        }
        _ => Claim::Taken,
    }
}

/// Whether the flow of this entry has ended, by its own account or by time.
#[inline(always)]
pub(crate) fn is_over<F: Family>(key: &FlowKey<F>, value: &FlowValue<F>, now: Tick) -> bool {
    value.state.is_closed() || value.is_expired(Protocol(key.protocol), now)
}

/// Takes away the flow that has an entry with this key, if any. Its own frame would be the sixth on the stack.
#[inline(always)]
pub(crate) fn forget<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F>) {
    if let Some(entry) = tables.flow(key) {
        release(tables, key, entry);
    }
}

/// Takes away all entries of the flow that this entry belongs to.
#[inline(always)]
pub(crate) fn release<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F>, entry: Entry<'_, F>) {
    if entry.get().state.has(State::MASQUERADE) {
        release_masquerade(tables, key, entry);
    }
    release_pair(tables, key, entry);
}

/// The second pair is of the flow that has the first one's entry at egress, by whose tuple both are found.
#[inline(never)]
fn release_masquerade<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F>, entry: Entry<'_, F>) {
    if key.hook() == Hook::Ingress && lost_partner(tables, key, entry) {
        return;
    }
    let key = key.masquerade(&entry.get());
    if let Some(entry) = tables.flow(&key) {
        release_pair(tables, &key, entry);
    }
}

#[inline(never)]
fn release_pair<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F>, entry: Entry<'_, F>) {
    remove_partner(tables, key, &entry.get());
    tables.remove_flow(key);
}

/// Whether another flow has the place of this entry's partner, which was evicted.
#[inline(never)]
pub(crate) fn lost_partner<F: Family, T: Tables<F>>(
    tables: &T,
    key: &FlowKey<F>,
    entry: Entry<'_, F>,
) -> bool {
    tables
        .flow(&key.partner_key(&entry.get()))
        .is_some_and(|entry| !key.has_partner(entry))
}

/// Takes away the other entry of a pair, if it still is.
#[inline(always)]
pub(crate) fn remove_partner<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F>, value: &FlowValue<F>) {
    let partner = key.partner_key(value);
    if tables.flow(&partner).is_some_and(|entry| key.has_partner(entry)) {
        tables.remove_flow(&partner);
    }
}
