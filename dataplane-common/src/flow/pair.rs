// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The entries of a flow: how one leads to another, and how they are removed together.
//!
//! ```text
//!            at ingress                              at egress
//!
//! request    forward                    -- next -->  masquerade
//!            client -> VIP                           client -> backend
//!            destination := backend                  source := node
//!                                   \      /
//!                                   partner
//!                                   /      \
//! reply      masquerade_reply           -- next -->  reply
//!            backend -> node                         backend -> client
//!            destination := client                   source := VIP
//! ```
//!
//! Every flow has `forward` and `reply`. Only a masqueraded flow has `masquerade` and `masquerade_reply`,
//! and until its port is claimed, `masquerade` is pending and alone. Each entry of a pair can be rebuilt from
//! its partner: so an evicted entry comes back, and a pair is removed together.

use crate::maps::flow_state::State;
use crate::maps::flows::{Entry, FlowKey, FlowValue};
use crate::tables::Tables;
use crate::tables::work::Work;
use crate::value::family::Family;
use crate::value::hook::Hook;
use crate::value::protocol::Protocol;
use crate::value::tick::Tick;
use crate::value::wire::Port;

impl<F: Family> FlowKey<F> {
    /// The arrow *partner*: the key of the other entry of the pair.
    #[inline(always)]
    pub fn partner(&self, value: &FlowValue<F>) -> Self {
        let (protocol, written) = (Protocol(self.protocol), (value.addr, value.port));
        match self.hook() {
            Hook::Ingress => Self::new(Hook::Egress, protocol, written, (self.src, value.peer_port)),
            Hook::Egress => Self::new(Hook::Ingress, protocol, (self.dst, value.peer_port), written),
        }
    }

    /// The value of the other entry of the pair, which restores what this one rewrites.
    #[inline(always)]
    pub fn partner_value(&self, value: &FlowValue<F>) -> FlowValue<F> {
        let mut partner = *value;
        (partner.addr, partner.port, partner.peer_port) = self.restored();
        partner.state = value.state.of_partner();
        (partner.sequence, partner.acked) = (value.acked, value.sequence);
        partner.of(&self.partner(value))
    }

    /// Whether an entry with the partner's key is the partner. It may also be another flow's, which took the place of
    /// an evicted one, or pending.
    #[inline(always)]
    pub(crate) fn has_partner(&self, entry: Entry<'_, F>) -> bool {
        let value = entry.get();
        (value.addr, value.port, value.peer_port) == self.restored()
    }

    /// What the partner writes: the address and the port that this entry rewrites, and the port on the other side.
    #[inline(always)]
    fn restored(&self) -> (F::Addr, Port, Port) {
        match self.hook() {
            Hook::Ingress => (self.dst, self.ports.destination(), self.ports.source()),
            Hook::Egress => (self.src, self.ports.source(), self.ports.destination()),
        }
    }

    /// The key of `masquerade`, from `forward` (the arrow *next*) or from `reply`.
    #[inline(always)]
    pub(crate) fn masquerade(&self, value: &FlowValue<F>) -> Self {
        let protocol = Protocol(self.protocol);
        match self.hook() {
            Hook::Ingress => Self::new(
                Hook::Egress,
                protocol,
                (self.src, value.peer_port),
                (value.addr, value.port),
            ),
            Hook::Egress => Self::new(
                Hook::Egress,
                protocol,
                (self.dst, self.ports.destination()),
                (self.src, self.ports.source()),
            ),
        }
    }

    /// The arrow *next* of a packet that ingress leaves as it is: its key at egress.
    #[inline(always)]
    pub(crate) fn next_unchanged(&self) -> Self {
        let mut next = *self;
        next.set_hook(Hook::Egress);
        next
    }

    /// The key at ingress of the answer to a packet that leaves as it is.
    #[inline(always)]
    pub(crate) fn answer_at_ingress(&self) -> Self {
        Self::new(
            Hook::Ingress,
            Protocol(self.protocol),
            (self.dst, self.ports.destination()),
            (self.src, self.ports.source()),
        )
    }

    /// The arrow *partner* of a packet that ingress leaves as it is: the key of its reply at egress.
    #[inline(always)]
    pub(crate) fn partner_unchanged(&self) -> Self {
        Self::new(
            Hook::Egress,
            Protocol(self.protocol),
            (self.dst, self.ports.destination()),
            (self.src, self.ports.source()),
        )
    }
}

impl<F: Family> Work<F> {
    /// Works out the partner of the entry of `headers.key` and `value`. Field by field: a whole value would need the
    /// stack.
    #[inline(never)]
    pub(crate) fn set_partner(&mut self) {
        let key = &self.headers.key;
        self.other_key = key.partner(&self.value);
        self.other = self.value;
        (self.other.addr, self.other.port, self.other.peer_port) = key.restored();
        self.other.state = self.value.state.of_partner();
        // What one end has sent is what the other is to acknowledge.
        (self.other.sequence, self.other.acked) = (self.value.acked, self.value.sequence);
        self.other.check = self.other_key.check();
    }
}

/// Both entries of a pair learn what one has seen.
#[inline(never)]
pub(crate) fn learn<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F>, entry: Entry<'_, F>, seen: State) {
    entry.learn(seen);
    if let Some(partner) = tables.flow(&key.partner(&entry.get()))
        && (key.has_partner(partner) || partner.get().is_pending())
    {
        partner.learn(seen);
    }
}

/// The other entry of the pair that `work.value` is of, if it is there: it may be another flow's that has its place.
#[inline(never)]
pub(crate) fn partner_of<'a, F: Family, T: Tables<F>>(
    tables: &'a T,
    work: &mut Work<F>,
) -> Option<Entry<'a, F>> {
    work.other_key = work.headers.key.partner(&work.value);
    let partner = tables.flow(&work.other_key)?;
    match work.headers.key.has_partner(partner) || partner.get().is_pending() {
        true => Some(partner),
        false => None,
    }
}

/// Moves the pair of the packet's entry to where unconfirmed flows cannot push it out. Nothing may hold an [`Entry`]
/// of the flow beyond this call: the memory is another flow's at once.
#[inline(never)]
pub(crate) fn confirm<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>) {
    let Some(entry) = tables.flow(&work.headers.key) else {
        return;
    };
    work.value = entry.get();
    if work.value.state.has(State::CONFIRMED) {
        return;
    }
    keep(tables, work);
}

/// Keeps both entries of the pair of `work.value`.
#[inline(never)]
fn keep<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>) {
    let confirmed = |state: State| {
        state
            .without(State::MIDWAY.with(State::CONTESTED).with(State::CANDIDATE))
            .with(State::REPLIED)
            .with(State::CONFIRMED)
    };
    work.value.state = confirmed(work.value.state);
    tables.keep_flow(&work.headers.key, &work.value);
    if work.value.state.has(State::FOREIGN) {
        return;
    }
    work.set_partner();
    match tables.flow(&work.other_key) {
        Some(partner) if work.headers.key.has_partner(partner) => {
            work.other = partner.get();
            work.other.state = confirmed(work.other.state);
        }
        Some(_) => return,
        None => {}
    }
    tables.keep_flow(&work.other_key, &work.other);
}

/// Whether the flow of this entry has ended, by its own account or by time.
#[inline(always)]
pub(crate) fn is_over<F: Family>(key: &FlowKey<F>, value: &FlowValue<F>, now: Tick) -> bool {
    value.state.is_closed() || value.is_expired(Protocol(key.protocol), now)
}

/// Takes away the flow that has an entry with this key, if it is over: another CPU may have put a live one there. Its
/// own frame would be the sixth on the stack.
#[inline(always)]
pub(crate) fn forget_finished<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F>, now: Tick) {
    if let Some(entry) = tables.flow(key)
        && is_over(key, &entry.get(), now)
    {
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
        .flow(&key.partner(&entry.get()))
        .is_some_and(|entry| !key.has_partner(entry))
}

/// Takes away the other entry of a pair, if it still is.
#[inline(always)]
pub(crate) fn remove_partner<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F>, value: &FlowValue<F>) {
    let partner = key.partner(value);
    if tables.flow(&partner).is_some_and(|entry| key.has_partner(entry)) {
        tables.remove_flow(&partner);
    }
}
