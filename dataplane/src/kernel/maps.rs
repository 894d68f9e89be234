// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pinned maps, typed.

use std::io;
use std::path::PathBuf;

use aya::Pod;
use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};
use dataplane_common::{
    AddressFlags, Affinity, AffinityKey, Backend, Config, Device, FlowKey, FlowValue, FragmentKey,
    FragmentValue, FrontendKey, FrontendValue, Networks, Peer, RangeKey, ServiceName, ServiceTraffic,
    SetChunk, SetKey, V4, V6,
};

use super::family::HostFamily;
use super::pins::Pins;
use super::syscall::{read_array, write_slots};
use crate::causes::Causes;

/// The maps of one family.
pub struct FamilyMaps<F: HostFamily>
where
    F::Addr: Pod,
{
    pub flows: HashMap<MapData, FlowKey<F>, FlowValue<F>>,
    /// Flows that are not confirmed.
    pub opening: HashMap<MapData, FlowKey<F>, FlowValue<F>>,
    pub fragments: HashMap<MapData, FragmentKey<F>, FragmentValue<F>>,
    pub addresses: HashMap<MapData, F::Addr, AddressFlags>,
    pub frontends: HashMap<MapData, FrontendKey<F>, FrontendValue>,
    pub backends: Array<MapData, Backend<F>>,
    pub affinity: HashMap<MapData, AffinityKey<F>, Affinity<F>>,
    pub ranges: LpmTrie<MapData, RangeKey<F>, u8>,
    pub networks: Array<MapData, Networks<F>>,
    /// The same map, for many slots at once.
    slots: MapData,
}

/// All maps of a node.
pub struct PinnedMaps {
    pub v4: FamilyMaps<V4>,
    pub v6: FamilyMaps<V6>,
    pub sets: HashMap<MapData, SetKey, SetChunk>,
    pub services: HashMap<MapData, u32, ServiceName>,
    pub devices: HashMap<MapData, u32, Device>,
    pub config: Array<MapData, Config>,
    pub outcomes: PerCpuArray<MapData, u64>,
    pub traffic: PerCpuArray<MapData, ServiceTraffic>,
    /// By socket cookie: UDP sockets that were connected to a backend.
    pub connected: HashMap<MapData, u64, Peer>,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot open the map at {}: {}: run an agent of this version first", path.display(), Causes(source))]
pub struct OpenError {
    path: PathBuf,
    source: MapError,
}

impl PinnedMaps {
    /// Opens the maps that an agent has pinned.
    pub fn open(pins: &Pins) -> Result<Self, OpenError> {
        Ok(Self {
            v4: FamilyMaps::open(pins)?,
            v6: FamilyMaps::open(pins)?,
            sets: open(pins, "sets")?,
            services: open(pins, "services")?,
            devices: open(pins, "devices")?,
            config: open(pins, "config")?,
            outcomes: open(pins, "outcomes")?,
            traffic: open(pins, "traffic")?,
            connected: open(pins, "connected")?,
        })
    }
}

impl<F: HostFamily> FamilyMaps<F>
where
    F::Addr: Pod,
{
    fn open(pins: &Pins) -> Result<Self, OpenError> {
        let name = |stem: &str| format!("{stem}{}", F::SUFFIX);
        Ok(Self {
            flows: open(pins, &name("flows"))?,
            opening: open(pins, &name("opening"))?,
            fragments: open(pins, &name("fragments"))?,
            addresses: open(pins, &name("addresses"))?,
            frontends: open(pins, &name("frontends"))?,
            backends: open(pins, &name("backends"))?,
            affinity: open(pins, &name("affinity"))?,
            ranges: open(pins, &name("ranges"))?,
            networks: open(pins, &name("networks"))?,
            slots: open_data(pins, &name("backends"))?,
        })
    }

    /// How many flow entries there are, of confirmed and of opening flows.
    pub fn flow_count(&self) -> usize {
        self.flows.keys().count() + self.opening.keys().count()
    }

    /// Every slot of `backends`, in order; one never filled holds a backend that is gone.
    pub fn all_backends(&self) -> io::Result<Vec<Backend<F>>> {
        read_array(&self.slots, self.backends.len())
    }

    /// Writes slots of `backends`: how many, in order, and why not all.
    pub(super) fn write_backends(&self, slots: &[u32], values: &[Backend<F>]) -> (usize, io::Result<()>) {
        write_slots(&self.slots, slots, values)
    }
}

fn open<M: TryFrom<Map, Error = MapError>>(pins: &Pins, name: &str) -> Result<M, OpenError> {
    let data = open_data(pins, name)?;
    Map::from_map_data(data)
        .and_then(M::try_from)
        .map_err(|source| OpenError {
            path: pins.map(name),
            source,
        })
}

fn open_data(pins: &Pins, name: &str) -> Result<MapData, OpenError> {
    let path = pins.map(name);
    MapData::from_pin(&path).map_err(|source| OpenError { path, source })
}
