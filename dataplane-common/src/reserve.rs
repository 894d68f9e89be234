// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Claiming a tuple for a flow's replies, and giving a flow's tuples back. Once per flow.

use crate::family::Family;
use crate::flow::{Entry, FlowKey, FlowValue};
use crate::hash::{hash, rehash, scale};
use crate::headers::Protocol;
use crate::outcome::Outcome;
use crate::state::Tick;
use crate::tables::{Insert, InsertError, Tables};
use crate::wire::Port;

/// Ports tried before a flow is refused. Even with nine tenths of the range taken, all of them
/// fail for one flow in two hundred thousand only if the range is spread over 100 ports or more.
const TRIES: u32 = 8;

/// Puts the entry that turns the replies of the flow `key` -> `value` back, under a tuple no other
/// live flow has. The insertion is the reservation: two CPUs cannot both win.
///
/// `preferred` is tried first, then ports of the node's range; `assign` writes the port tried into
/// the value. Whether the preferred port was had is returned.
#[inline(always)]
pub(crate) fn claim<F: Family, T: Tables<F>>(
    tables: &T,
    key: &FlowKey<F>,
    value: &mut FlowValue<F>,
    preferred: Option<Port>,
    assign: impl Fn(&mut FlowValue<F>, Port),
) -> Result<bool, Outcome> {
    let config = tables.config();
    let hash = hash(key);
    for attempt in 0..TRIES {
        let port = match preferred {
            Some(port) if attempt == 0 => port,
            _ => {
                let offset = scale(rehash(hash, attempt), config.ports_count as u32);
                Port::new(config.ports_first.wrapping_add(offset as u16))
            }
        };
        assign(value, port);
        match put_reply(tables, key, value) {
            Ok(()) => return Ok(preferred == Some(port)),
            Err(InsertError::Full) => return Err(Outcome::FlowTableFull),
            Err(InsertError::Exists) => {}
        }
    }
    Err(Outcome::PortsExhausted)
}

/// Puts the partner of `key` -> `value`, in the place of a flow that is over if need be.
#[inline(never)]
fn put_reply<F: Family, T: Tables<F>>(
    tables: &T,
    key: &FlowKey<F>,
    value: &FlowValue<F>,
) -> Result<(), InsertError> {
    let (reply_key, reply) = key.partner(value);
    match tables.insert_flow(&reply_key, &reply, Insert::New) {
        Err(InsertError::Exists) => {}
        other => return other,
    }
    let Some(entry) = tables.flow(&reply_key) else { return Err(InsertError::Exists) };
    let holder = entry.get();
    if (holder.addr, holder.port, holder.peer_port) == (reply.addr, reply.port, reply.peer_port) {
        // Left over from this very flow: its other half was evicted, or another CPU was quicker.
        entry.replace(reply);
        return Ok(());
    }
    if !is_over(&reply_key, &holder, value.last_seen) {
        return Err(InsertError::Exists);
    }
    release(tables, &reply_key, entry);
    tables.insert_flow(&reply_key, &reply, Insert::New)
}

/// Whether the flow of this entry has ended, by its own account or by time.
#[inline(always)]
pub(crate) fn is_over<F: Family>(key: &FlowKey<F>, value: &FlowValue<F>, now: Tick) -> bool {
    value.state.is_closed() || value.is_expired(Protocol(key.protocol), now)
}

/// Takes away all entries of the flow that this entry belongs to.
#[inline(never)]
pub(crate) fn release<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F>, entry: Entry<'_, F>) {
    let value = &entry.get();
    if value.state.has(crate::state::State::MASQUERADE) {
        let masquerade = key.masquerade(value);
        if let Some(entry) = tables.flow(&masquerade) {
            let (reply, _) = masquerade.partner(&entry.get());
            tables.remove_flow(&reply);
            tables.remove_flow(&masquerade);
        }
    }
    let (partner, _) = key.partner(value);
    tables.remove_flow(&partner);
    tables.remove_flow(key);
}
