// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! A packet at ingress that is of no known flow: to a Service, or past it.

use crate::device::{Config, DeviceKind};
use crate::established::Why;
use crate::family::Family;
use crate::flow::{FlowKey, FlowValue};
use crate::hash::{hash, scale};
use crate::headers::Headers;
use crate::masquerade;
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::reject::reject;
use crate::reserve::{claim, is_over, release};
use crate::rewrite::rewrite;
use crate::service::{
    AddressFlags, Backend, BackendId, BackendState, EmptyVerdict, FrontendKey, FrontendValue, ServiceId,
};
use crate::state::State;
use crate::tables::{Direction, Insert, Tables};

/// Gives a packet's flow to a backend, refuses it, or lets it pass.
#[inline(never)]
pub(crate) fn new_flow<F: Family, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    headers: &Headers<F>,
    why: Why,
) -> Outcome {
    let key = &headers.key;
    let flags = tables.address(&key.dst).unwrap_or_default();
    if !flags.has(AddressFlags::VIP) {
        return direct(packet, tables, headers);
    }
    if flags.has(AddressFlags::NODE) {
        return Outcome::OwnAddress;
    }
    let Some(frontend) = tables.frontend(&FrontendKey::new(key.dst, key.dport, key.protocol)) else {
        return reject(packet, tables, headers, Outcome::RejectedUnknownPort);
    };
    if headers.is_tcp() && !headers.segment.opens() && tables.config().flags & Config::TAKE_OVER != 0 {
        return Outcome::TakenOver;
    }
    let external = tables.device().is_some_and(|device| device.kind == DeviceKind::Uplink as u32);
    let (id, backend) = match choose(tables, key, &frontend, external) {
        Ok(chosen) => chosen,
        Err(Outcome::RejectedNoEndpoint) => {
            return reject(packet, tables, headers, Outcome::RejectedNoEndpoint);
        }
        Err(failure) => return failure,
    };
    let mut state = State::default();
    if backend.addr == key.src || (external && !backend.is_local()) {
        state = state.with(State::MASQUERADE);
    }
    let mut value = first_value(tables, headers, &backend, id, state);
    match open(tables, key, &mut value, why) {
        Ok(outcome) => send(packet, tables, headers, &value, outcome),
        Err(failure) => failure,
    }
}

/// The backend for a new flow: the same one for the same tuple while the set is the same, so that a
/// flow whose entry was lost, or a retransmitted SYN, lands where it was before.
#[inline(always)]
fn choose<F: Family, T: Tables<F>>(
    tables: &T,
    key: &FlowKey<F>,
    frontend: &FrontendValue,
    external: bool,
) -> Result<(BackendId, Backend<F>), Outcome> {
    let (set, empty) = frontend.scope(external);
    if set.size == 0 {
        return Err(match empty {
            EmptyVerdict::Reject => Outcome::RejectedNoEndpoint,
            EmptyVerdict::Drop => Outcome::PolicyDropped,
        });
    }
    let slot = scale(hash(key), set.size);
    let id = tables.slot(set, slot).ok_or(Outcome::BackendMissing)?;
    match tables.backend(id) {
        Some(backend) if backend.state() != BackendState::Gone && backend.service == frontend.service => {
            Ok((id, backend))
        }
        _ => Err(Outcome::BackendMissing),
    }
}

#[inline(always)]
fn first_value<F: Family, T: Tables<F>>(
    tables: &T,
    headers: &Headers<F>,
    backend: &Backend<F>,
    id: BackendId,
    state: State,
) -> FlowValue<F> {
    // A connection met in the middle (its entry was evicted): there will be no SYN-ACK to wait for.
    let midway = headers.is_tcp() && !headers.segment.opens();
    FlowValue {
        addr: backend.addr,
        port: backend.port,
        peer_port: headers.key.sport,
        backend: id,
        service: backend.service,
        last_seen: tables.now(),
        state: if midway { state.with(State::REPLIED) } else { state },
        isn: headers.segment.sequence,
    }
}

/// Puts the entries of a new flow; under another source port if its own is another flow's.
#[inline(always)]
fn open<F: Family, T: Tables<F>>(
    tables: &T,
    key: &FlowKey<F>,
    value: &mut FlowValue<F>,
    why: Why,
) -> Result<Outcome, Outcome> {
    // A hairpin flow from the very port it goes to would be its own reply.
    let own_reply = value.addr == key.src && value.port == key.sport;
    let preferred = if why == Why::Contested || own_reply { None } else { Some(key.sport) };
    let kept = claim(tables, key, value, preferred, |value, port| value.peer_port = port)?;
    if tables.insert_flow(key, value, Insert::Any).is_err()
        || (value.state.has(State::MASQUERADE) && masquerade::expect(tables, key, value).is_err())
    {
        tables.remove_flow(&key.partner(value).0);
        tables.remove_flow(key);
        return Err(Outcome::FlowTableFull);
    }
    tables.count_flow(value.service);
    Ok(match why {
        _ if !kept => Outcome::Moved,
        Why::First | Why::Contested => Outcome::NewFlow,
        Why::Closed => Outcome::Reopened,
        Why::BackendGone => Outcome::Resteered,
    })
}

#[inline(always)]
fn send<F: Family, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    headers: &Headers<F>,
    value: &FlowValue<F>,
    outcome: Outcome,
) -> Outcome {
    tables.count(value.service, Direction::Request, packet.segments(), packet.len() as u64);
    match rewrite(packet, headers, value) {
        Ok(()) => outcome,
        Err(_) => Outcome::RewriteFailed,
    }
}

/// A packet to no VIP. It passes; but if it opens a flow whose replies would be taken for a Service
/// flow's (same client port, same backend), that must be put right first: a finished Service flow is
/// forgotten, and beside a live one the direct flow goes on under another source port, as netfilter
/// would have it. Costs non-Service traffic one lookup per TCP connection or UDP packet.
#[inline(never)]
fn direct<F: Family, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    headers: &Headers<F>,
) -> Outcome {
    let key = &headers.key;
    if headers.is_tcp() && !headers.segment.opens() {
        return Outcome::NotOurs;
    }
    let reply = key.reply();
    let Some(entry) = tables.flow(&reply) else { return Outcome::NotOurs };
    let holder = entry.get();
    if !holder.state.has(State::REPLY) {
        return Outcome::NotOurs;
    }
    let now = tables.now();
    if is_over(&reply, &holder, now) {
        release(tables, &reply, entry);
        return Outcome::StaleRemoved;
    }
    let mut value = FlowValue {
        addr: key.dst,
        port: key.dport,
        peer_port: key.sport,
        backend: BackendId::default(),
        service: ServiceId::default(),
        last_seen: now,
        state: State::default(),
        isn: headers.segment.sequence,
    };
    match open(tables, key, &mut value, Why::Contested) {
        Ok(_) => send(packet, tables, headers, &value, Outcome::DirectMoved),
        Err(failure) => failure,
    }
}
