// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The entries of a flow: what one has seen the other learns, and they are taken away together.

use crate::maps::flow_state::State;
use crate::maps::flows::{Entry, FlowKey, FlowValue};
use crate::tables::Tables;
use crate::value::family::Family;
use crate::value::hook::Hook;
use crate::value::protocol::Protocol;
use crate::value::tick::Tick;

/// Both entries of a pair learn what one has seen.
#[inline(never)]
pub(crate) fn learn<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F>, entry: Entry<'_, F>, seen: State) {
    entry.learn(seen);
    if let Some(partner) = tables.flow(&key.partner_key(&entry.get()))
        && (key.has_partner(partner) || partner.get().is_pending())
    {
        partner.learn(seen);
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
