// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The host's stand-in for the maps and what else decisions ask.

use core::cell::{Cell, RefCell, UnsafeCell};
use core::ptr::NonNull;
use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use crate::maps::addresses::AddressFlags;
use crate::maps::affinity::{Affinity, AffinityKey};
use crate::maps::answers::TokenBucket;
use crate::maps::backends::{Backend, BackendId};
use crate::maps::config::Config;
use crate::maps::devices::Device;
use crate::maps::flow_state::State;
use crate::maps::flows::{Entry, FlowKey, FlowValue};
use crate::maps::fragments::{FragmentKey, FragmentValue};
use crate::maps::frontends::{FrontendKey, FrontendValue};
use crate::maps::networks::{Networks, Prefix};
use crate::maps::ranges::RangeKey;
use crate::maps::services::ServiceId;
use crate::maps::sets::{SetId, SetRef};
use crate::maps::traffic::ServiceTraffic;
use crate::tables::route::{FibLookup, NextHop};
use crate::tables::work::Work;
use crate::tables::{Direction, Insert, InsertError, Tables};
use crate::value::family::Family;
use crate::value::tick::Tick;
use crate::value::wire::Port;

/// A removed entry is kept, because an [`Entry`] may still point to it, as in the kernel until the
/// program ends.
type Flows<F> = BTreeMap<FlowKey<F>, Box<Cell<FlowValue<F>>>>;

/// The maps of one family, as plain data.
#[derive(Debug)]
pub struct HostTables<F: Family> {
    /// Nanoseconds of the monotonic clock.
    pub clock: Cell<u64>,
    flows: RefCell<Flows<F>>,
    opening: RefCell<Flows<F>>,
    removed: RefCell<Vec<Box<Cell<FlowValue<F>>>>>,
    fragments: RefCell<BTreeMap<FragmentKey<F>, FragmentValue<F>>>,
    /// The protocols and ports on which sockets of the node listen, at all its addresses.
    pub sockets: BTreeSet<(u8, Port)>,
    /// How many flow entries fit.
    pub capacity: usize,
    /// `addresses4` or `addresses6`.
    pub addresses: BTreeMap<F::Addr, AddressFlags>,
    /// `frontends4` or `frontends6`.
    pub frontends: BTreeMap<FrontendKey<F>, FrontendValue>,
    /// `sets`, whole.
    pub sets: BTreeMap<SetId, Vec<BackendId>>,
    /// `backends4` or `backends6`.
    pub backends: BTreeMap<BackendId, Backend<F>>,
    /// `affinity4` or `affinity6`.
    pub affinity: RefCell<BTreeMap<AffinityKey<F>, Affinity<F>>>,
    /// `ranges4` or `ranges6`.
    pub ranges: Vec<(ServiceId, Prefix<F>)>,
    /// `networks4` or `networks6`.
    pub networks: Networks<F>,
    /// What the host's routing takes as the source of packets to an address.
    pub sources: BTreeMap<F::Addr, F::Addr>,
    /// The host's routes: where packets to an address go.
    pub routes: BTreeMap<F::Addr, NextHop>,
    /// Where the last packets were handed to.
    pub handed: RefCell<Vec<NextHop>>,
    /// The device of the next packet.
    pub device: Option<Device>,
    /// `config`.
    pub config: Config,
    work: Box<UnsafeCell<Work<F>>>,
    /// `answers`.
    pub answers: Cell<TokenBucket>,
    /// `traffic`.
    pub traffic: RefCell<BTreeMap<ServiceId, ServiceTraffic>>,
}

impl<F: Family> Default for HostTables<F> {
    fn default() -> Self {
        Self {
            clock: Cell::new(1 << 40),
            flows: RefCell::default(),
            opening: RefCell::default(),
            removed: RefCell::default(),
            fragments: RefCell::default(),
            sockets: BTreeSet::new(),
            capacity: usize::MAX,
            addresses: BTreeMap::new(),
            frontends: BTreeMap::new(),
            sets: BTreeMap::new(),
            backends: BTreeMap::new(),
            affinity: RefCell::default(),
            ranges: Vec::new(),
            networks: Networks::default(),
            sources: BTreeMap::new(),
            routes: BTreeMap::new(),
            handed: RefCell::default(),
            device: None,
            config: Config {
                ports_first: 61_000,
                ports_count: 4_000,
                ..Config::default()
            },
            work: Box::new(UnsafeCell::new(Work::empty())),
            answers: Cell::default(),
            traffic: RefCell::default(),
        }
    }
}

impl<F: Family> HostTables<F> {
    /// All flow entries, by key: those that are kept, and those of opening flows.
    pub fn flows(&self) -> BTreeMap<FlowKey<F>, FlowValue<F>> {
        let (kept, opening) = (self.flows.borrow(), self.opening.borrow());
        kept.iter()
            .chain(opening.iter())
            .map(|(key, value)| (*key, value.get()))
            .collect()
    }

    /// The table that has, or would get, an entry in this state.
    fn table_of(&self, state: State) -> &RefCell<Flows<F>> {
        match state.is_kept() {
            true => &self.flows,
            false => &self.opening,
        }
    }

    /// Lets time pass.
    pub fn advance(&self, seconds: u64) {
        self.clock.set(self.clock.get() + seconds * 1_000_000_000);
    }

    /// Makes it this late.
    pub fn set_clock(&self, now: Tick) {
        self.clock.set(u64::from(now.0) << 30);
    }
}

fn entry<'a, F: Family>(flows: &Flows<F>, key: &FlowKey<F>) -> Option<Entry<'a, F>> {
    let value = NonNull::new(flows.get(key)?.as_ptr())?;
    // SAFETY: the box is neither moved nor freed before the tables are (see `Flows`).
    Some(unsafe { Entry::new(value) })
}

impl<F: Family> Tables<F> for HostTables<F> {
    fn now(&self) -> Tick {
        Tick::from_nanoseconds(self.clock.get())
    }

    fn kept_flow(&self, key: &FlowKey<F>) -> Option<Entry<'_, F>> {
        entry(&self.flows.borrow(), key)
    }

    fn opening_flow(&self, key: &FlowKey<F>) -> Option<Entry<'_, F>> {
        entry(&self.opening.borrow(), key)
    }

    fn keep_flow(&self, key: &FlowKey<F>, value: &FlowValue<F>) {
        if self.insert_flow(key, value, Insert::Any).is_ok() {
            let opening = self.opening.borrow_mut().remove(key);
            self.removed.borrow_mut().extend(opening);
        }
    }

    fn insert_flow(&self, key: &FlowKey<F>, value: &FlowValue<F>, how: Insert) -> Result<(), InsertError> {
        if how == Insert::New && self.flow(key).is_some() {
            return Err(InsertError::Exists);
        }
        let mut table = self.table_of(value.state).borrow_mut();
        match table.get(key) {
            Some(entry) => entry.set(*value),
            None if table.len() >= self.capacity => return Err(InsertError::Full),
            None => drop(table.insert(*key, Box::new(Cell::new(*value)))),
        }
        Ok(())
    }

    fn remove_flow(&self, key: &FlowKey<F>) {
        for table in [&self.flows, &self.opening] {
            let entry = table.borrow_mut().remove(key);
            self.removed.borrow_mut().extend(entry);
        }
    }

    fn fragment(&self, key: &FragmentKey<F>) -> Option<FragmentValue<F>> {
        self.fragments.borrow().get(key).copied()
    }

    fn put_fragment(&self, key: &FragmentKey<F>, value: &FragmentValue<F>) {
        self.fragments.borrow_mut().insert(*key, *value);
    }

    fn remove_fragment(&self, key: &FragmentKey<F>) {
        self.fragments.borrow_mut().remove(key);
    }

    fn has_socket(&self, key: &FlowKey<F>) -> bool {
        self.sockets.contains(&(key.protocol, key.ports.destination()))
    }

    fn address(&self, addr: &F::Addr) -> Option<AddressFlags> {
        self.addresses.get(addr).copied()
    }

    fn frontend(&self, key: &FrontendKey<F>) -> Option<FrontendValue> {
        self.frontends.get(key).copied()
    }

    fn slot(&self, set: SetRef, slot: u32) -> Option<BackendId> {
        self.sets.get(&set.id)?.get(slot as usize).copied()
    }

    fn backend(&self, id: BackendId) -> Option<Backend<F>> {
        Some(self.backends.get(&id).copied().unwrap_or_default())
    }

    fn affinity(&self, key: &AffinityKey<F>) -> Option<Affinity<F>> {
        self.affinity.borrow().get(key).copied()
    }

    fn put_affinity(&self, key: &AffinityKey<F>, value: &Affinity<F>) {
        self.affinity.borrow_mut().insert(*key, *value);
    }

    fn is_in_ranges(&self, key: &RangeKey<F>) -> bool {
        self.ranges
            .iter()
            .any(|(service, range)| *service == key.service && range.covers(&key.addr))
    }

    fn networks(&self) -> Option<&Networks<F>> {
        Some(&self.networks)
    }

    fn device(&self) -> Option<Device> {
        self.device
    }

    fn source_for(&self, dst: &F::Addr) -> Option<F::Addr> {
        self.sources.get(dst).copied()
    }

    fn next_hop(&self, lookup: &FibLookup<F>, hop: &mut NextHop) -> bool {
        let route = self.routes.get(&lookup.dst);
        *hop = route.copied().unwrap_or_default();
        route.is_some()
    }

    fn hand_over(&self, hop: &NextHop) {
        self.handed.borrow_mut().push(*hop);
    }

    fn config(&self) -> Config {
        self.config
    }

    fn work(&self) -> Option<&mut Work<F>> {
        // SAFETY: the box lives as long as the tables; one packet at a time works in it.
        Some(unsafe { &mut *self.work.get() })
    }

    fn may_answer(&self) -> bool {
        let mut bucket = self.answers.get();
        let may = bucket.take(self.clock.get());
        self.answers.set(bucket);
        may
    }

    fn count(&self, service: ServiceId, direction: Direction, packets: u64, bytes: u64) {
        let mut traffic = self.traffic.borrow_mut();
        let entry = traffic.entry(service).or_default();
        match direction {
            Direction::Request => {
                (entry.packets, entry.bytes) = (entry.packets + packets, entry.bytes + bytes)
            }
            Direction::Reply => {
                (entry.reply_packets, entry.reply_bytes) =
                    (entry.reply_packets + packets, entry.reply_bytes + bytes);
            }
        }
    }

    fn count_flow(&self, service: ServiceId) {
        self.traffic.borrow_mut().entry(service).or_default().new_flows += 1;
    }
}
