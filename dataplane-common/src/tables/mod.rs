// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The maps as the decisions see them.

pub(crate) mod route;
pub(crate) mod work;

use crate::maps::addresses::AddressFlags;
use crate::maps::affinity::{Affinity, AffinityKey};
use crate::maps::backends::{Backend, BackendId};
use crate::maps::config::Config;
use crate::maps::devices::Device;
#[cfg(doc)]
use crate::maps::flow_state::State;
use crate::maps::flows::{Entry, FlowKey, FlowValue};
use crate::maps::fragments::{FragmentKey, FragmentValue};
use crate::maps::frontends::{FrontendKey, FrontendValue};
use crate::maps::networks::Networks;
use crate::maps::ranges::RangeKey;
use crate::maps::services::ServiceId;
use crate::maps::sets::SetRef;
use crate::tables::route::{FibLookup, NextHop};
use crate::tables::work::Work;
use crate::value::family::Family;
use crate::value::tick::Tick;

/// Whether an insertion may replace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Insert {
    /// Only if there is no entry: the insertion is the reservation.
    New,
    /// In any case.
    Any,
}

/// Why an entry was not inserted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InsertError {
    /// There is one already.
    Exists,
    /// The table took none.
    Full,
}

/// Everything a decision reads besides the packet, for one family, on one CPU, at one time.
pub trait Tables<F: Family> {
    /// The current time.
    fn now(&self) -> Tick;

    /// The flow with this key, in place.
    #[inline(always)]
    fn flow(&self, key: &FlowKey<F>) -> Option<Entry<'_, F>> {
        self.kept_flow(key).or_else(|| self.opening_flow(key))
    }

    /// The flow with this key, if it is one of those that others cannot push out ([`State::is_kept`]).
    fn kept_flow(&self, key: &FlowKey<F>) -> Option<Entry<'_, F>>;

    /// The flow with this key, if it is not confirmed.
    fn opening_flow(&self, key: &FlowKey<F>) -> Option<Entry<'_, F>>;

    /// Puts an entry of a confirmed flow in the place of the one that it had while the flow was opening.
    fn keep_flow(&self, key: &FlowKey<F>, value: &FlowValue<F>);

    /// Puts a flow's entry where its state says ([`State::is_kept`]).
    fn insert_flow(&self, key: &FlowKey<F>, value: &FlowValue<F>, how: Insert) -> Result<(), InsertError>;

    /// Takes a flow's entry away, if it is there.
    fn remove_flow(&self, key: &FlowKey<F>);

    /// What became of the first part of a fragmented packet.
    fn fragment(&self, key: &FragmentKey<F>) -> Option<FragmentValue<F>>;

    /// Remembers what became of the first part of a fragmented packet. That there is no room for it is no
    /// error: others make room.
    fn put_fragment(&self, key: &FragmentKey<F>, value: &FragmentValue<F>);

    /// Forgets it, if it is there.
    fn remove_fragment(&self, key: &FragmentKey<F>);

    /// Whether a socket of the node itself would get the packet with this tuple.
    fn has_socket(&self, key: &FlowKey<F>) -> bool;

    /// What is known of an address.
    fn address(&self, addr: &F::Addr) -> Option<AddressFlags>;

    /// The frontend at an address and port.
    fn frontend(&self, key: &FrontendKey<F>) -> Option<FrontendValue>;

    /// The backend in a slot of a set; `slot` is below the set's size.
    fn slot(&self, set: SetRef, slot: u32) -> Option<BackendId>;

    /// A backend. A slot that was never filled reads as one that is gone.
    fn backend(&self, id: BackendId) -> Option<Backend<F>>;

    /// The backend that a client had last. `put_affinity`'s are kept as long as there is room.
    fn affinity(&self, key: &AffinityKey<F>) -> Option<Affinity<F>>;

    /// Remembers the backend that a client has.
    fn put_affinity(&self, key: &AffinityKey<F>, value: &Affinity<F>);

    /// Whether an address is in one of a Service's source ranges.
    fn is_in_ranges(&self, key: &RangeKey<F>) -> bool;

    /// The cluster's address ranges.
    fn networks(&self) -> Option<&Networks<F>>;

    /// The device that the packet came in or goes out by.
    fn device(&self) -> Option<Device>;

    /// The source that the host's routing would give a packet of its own to `dst` that leaves by this packet's device.
    /// None where the kernel does not tell. Asked once per masqueraded flow.
    fn source_for(&self, dst: &F::Addr) -> Option<F::Addr>;

    /// Where the host's routing sends a packet, if it passes it on to a known neighbour by a device that carries
    /// service traffic. Written into `hop`; whether there is such a way. Asked per packet, so that a change of a
    /// route, a neighbour or a device counts from the next packet on.
    fn next_hop(&self, lookup: &FibLookup<F>, hop: &mut NextHop) -> bool;

    /// Hands the packet over to there, once the program ends.
    fn hand_over(&self, hop: &NextHop);

    /// The node's settings.
    fn config(&self) -> Config;

    /// This CPU's memory to put flows together in. One at a time.
    #[expect(
        clippy::mut_from_ref,
        reason = "the memory is in a map, not in the tables' value"
    )]
    fn work(&self) -> Option<&mut Work<F>>;

    /// Takes from the budget of "unreachable" answers.
    fn may_answer(&self) -> bool;

    /// Counts a packet of a Service, `bytes` long and standing for `packets` on the wire.
    fn count(&self, service: ServiceId, direction: Direction, packets: u64, bytes: u64);

    /// Counts a new flow of a Service.
    fn count_flow(&self, service: ServiceId);
}

/// Which end of a flow a packet is from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the client.
    Request,
    /// From the backend.
    Reply,
}
