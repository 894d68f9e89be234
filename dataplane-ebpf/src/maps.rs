// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The maps, all pinned but for the memory that programs work in. A size of [`SET_BY_AGENT`] is the agent's to set, before
//! it loads the programs.

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray};
use dataplane_common::{
    AddressFlags, Affinity, AffinityKey, Backend, Call, Config, Device, Family, FlowKey, FlowValue,
    FragmentKey, FragmentValue, FrontendKey, FrontendValue, Hook, Ip, Networks, Outcome, Peer, Peers,
    RangeKey, ServiceName, ServiceTraffic, SetChunk, SetKey, TokenBucket, V4, V6, Work,
};

/// The size of a map whose size the agent sets (`Sizes` of the agent has the defaults).
const SET_BY_AGENT: u32 = 1;

/// A family whose flows and Services are kept in maps of this object.
pub(crate) trait Stored: Ip {
    fn flows() -> &'static LruHashMap<FlowKey<Self>, FlowValue<Self>>;
    fn opening() -> &'static LruHashMap<FlowKey<Self>, FlowValue<Self>>;
    fn fragments() -> &'static LruHashMap<FragmentKey<Self>, FragmentValue<Self>>;
    fn addresses() -> &'static HashMap<Self::Addr, AddressFlags>;
    fn frontends() -> &'static HashMap<FrontendKey<Self>, FrontendValue>;
    fn backends() -> &'static Array<Backend<Self>>;
    fn affinity() -> &'static LruHashMap<AffinityKey<Self>, Affinity<Self>>;
    fn ranges() -> &'static LpmTrie<RangeKey<Self>, u8>;
    fn networks() -> &'static Array<Networks<Self>>;
    fn work() -> &'static PerCpuArray<Work<Self>>;
}

macro_rules! stored {
    ($family:ty, $flows:ident = $flows_name:literal, $opening:ident = $opening_name:literal,
     $fragments:ident = $fragments_name:literal,
     $addresses:ident = $addresses_name:literal,
     $frontends:ident = $frontends_name:literal, $backends:ident = $backends_name:literal,
     $affinity:ident = $affinity_name:literal, $ranges:ident = $ranges_name:literal,
     $networks:ident = $networks_name:literal, $work:ident = $work_name:literal) => {
        #[map(name = $flows_name)]
        static $flows: LruHashMap<FlowKey<$family>, FlowValue<$family>> = LruHashMap::pinned(SET_BY_AGENT, 0);
        /// Flows that are not confirmed: apart, so that no number of them pushes out a confirmed one.
        #[map(name = $opening_name)]
        static $opening: LruHashMap<FlowKey<$family>, FlowValue<$family>> =
            LruHashMap::pinned(SET_BY_AGENT, 0);
        /// A packet's parts follow each other at once: of 10 Gbit/s of fragments, this holds a tenth of a second.
        #[map(name = $fragments_name)]
        static $fragments: LruHashMap<FragmentKey<$family>, FragmentValue<$family>> =
            LruHashMap::pinned(16_384, 0);
        #[map(name = $addresses_name)]
        static $addresses: HashMap<<$family as Family>::Addr, AddressFlags> =
            HashMap::pinned(SET_BY_AGENT, BPF_F_NO_PREALLOC);
        #[map(name = $frontends_name)]
        static $frontends: HashMap<FrontendKey<$family>, FrontendValue> =
            HashMap::pinned(SET_BY_AGENT, BPF_F_NO_PREALLOC);
        #[map(name = $backends_name)]
        static $backends: Array<Backend<$family>> = Array::pinned(SET_BY_AGENT, 0);

        #[map(name = $affinity_name)]
        static $affinity: LruHashMap<AffinityKey<$family>, Affinity<$family>> =
            LruHashMap::pinned(SET_BY_AGENT, 0);
        #[map(name = $ranges_name)]
        static $ranges: LpmTrie<RangeKey<$family>, u8> = LpmTrie::pinned(SET_BY_AGENT, 0);
        #[map(name = $networks_name)]
        static $networks: Array<Networks<$family>> = Array::pinned(1, 0);

        /// Not pinned: nothing in it outlives a packet.
        #[map(name = $work_name)]
        static $work: PerCpuArray<Work<$family>> = PerCpuArray::with_max_entries(1, 0);

        impl Stored for $family {
            #[inline(always)]
            fn flows() -> &'static LruHashMap<FlowKey<Self>, FlowValue<Self>> {
                &$flows
            }

            #[inline(always)]
            fn opening() -> &'static LruHashMap<FlowKey<Self>, FlowValue<Self>> {
                &$opening
            }

            #[inline(always)]
            fn fragments() -> &'static LruHashMap<FragmentKey<Self>, FragmentValue<Self>> {
                &$fragments
            }

            #[inline(always)]
            fn addresses() -> &'static HashMap<Self::Addr, AddressFlags> {
                &$addresses
            }

            #[inline(always)]
            fn frontends() -> &'static HashMap<FrontendKey<Self>, FrontendValue> {
                &$frontends
            }

            #[inline(always)]
            fn backends() -> &'static Array<Backend<Self>> {
                &$backends
            }

            #[inline(always)]
            fn affinity() -> &'static LruHashMap<AffinityKey<Self>, Affinity<Self>> {
                &$affinity
            }

            #[inline(always)]
            fn ranges() -> &'static LpmTrie<RangeKey<Self>, u8> {
                &$ranges
            }

            #[inline(always)]
            fn networks() -> &'static Array<Networks<Self>> {
                &$networks
            }

            #[inline(always)]
            fn work() -> &'static PerCpuArray<Work<Self>> {
                &$work
            }
        }
    };
}

stored!(
    V4,
    FLOWS4 = "flows4",
    OPENING4 = "opening4",
    FRAGMENTS4 = "fragments4",
    ADDRESSES4 = "addresses4",
    FRONTENDS4 = "frontends4",
    BACKENDS4 = "backends4",
    AFFINITY4 = "affinity4",
    RANGES4 = "ranges4",
    NETWORKS4 = "networks4",
    WORK4 = "work4"
);
stored!(
    V6,
    FLOWS6 = "flows6",
    OPENING6 = "opening6",
    FRAGMENTS6 = "fragments6",
    ADDRESSES6 = "addresses6",
    FRONTENDS6 = "frontends6",
    BACKENDS6 = "backends6",
    AFFINITY6 = "affinity6",
    RANGES6 = "ranges6",
    NETWORKS6 = "networks6",
    WORK6 = "work6"
);

#[map(name = "sets")]
pub(crate) static SETS: HashMap<SetKey, SetChunk> = HashMap::pinned(SET_BY_AGENT, BPF_F_NO_PREALLOC);

/// Names, for the agent and the command line; no program reads them.
#[map(name = "services")]
static SERVICES: HashMap<u32, ServiceName> = HashMap::pinned(SET_BY_AGENT, BPF_F_NO_PREALLOC);

/// By interface index.
#[map(name = "devices")]
pub(crate) static DEVICES: HashMap<u32, Device> = HashMap::pinned(4_096, BPF_F_NO_PREALLOC);

#[map(name = "config")]
pub(crate) static CONFIG: Array<Config> = Array::pinned(1, 0);

/// By hook or call, and outcome: `hook * Outcome::COUNT + outcome`.
#[map(name = "outcomes")]
pub(crate) static OUTCOMES: PerCpuArray<u64> =
    PerCpuArray::pinned((Hook::ALL.len() + Call::ALL.len()) as u32 * Outcome::COUNT, 0);

/// By service id. A Service beyond its end is routed but not counted.
#[map(name = "traffic")]
pub(crate) static TRAFFIC: PerCpuArray<ServiceTraffic> = PerCpuArray::pinned(SET_BY_AGENT, 0);

#[map(name = "answers")]
pub(crate) static ANSWERS: PerCpuArray<TokenBucket> = PerCpuArray::pinned(1, 0);

/// Hangs on each socket that speaks with a Service, and goes with it.
#[btf_map(name = "peers")]
pub(crate) static PEERS: SkStorage<Peers> = SkStorage::new();

/// By socket cookie: connected UDP sockets, for the agent, which ends those whose backend goes. Kept
/// exact by `sock_release`; it forgets the oldest only where that was not called.
#[map(name = "connected")]
pub(crate) static CONNECTED: LruHashMap<u64, Peer> = LruHashMap::pinned(16_384, 0);
