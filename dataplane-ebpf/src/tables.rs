// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The kernel's maps as `dataplane-common` reads and writes them.

use core::ptr::NonNull;

use aya_ebpf::bindings::{
    __sk_buff, BPF_ANY, BPF_FIB_LKUP_RET_SUCCESS, BPF_NOEXIST, bpf_redir_neigh, bpf_redir_neigh__bindgen_ty_1,
};
use aya_ebpf::helpers::{
    bpf_fib_lookup, bpf_ktime_get_coarse_ns, bpf_redirect_neigh, bpf_redirect_peer, bpf_sk_lookup_udp,
    bpf_sk_release, bpf_skc_lookup_tcp,
};
use aya_ebpf::maps::lpm_trie;
use dataplane_common::{
    AddressFlags, Affinity, AffinityKey, Backend, BackendId, Config, Device, Direction, Entry, Family,
    FibLookup, FlowKey, FlowValue, FragmentKey, FragmentValue, FrontendKey, FrontendValue, Insert,
    InsertError, Networks, NextHop, Protocol, RangeKey, SET_CHUNK, ServiceId, SetKey, SetRef, Tables, Tick,
    Work,
};

use crate::count::count_one;
use crate::maps::{ANSWERS, CONFIG, DEVICES, SETS, Stored, TRAFFIC};
use crate::route::FibParams;

/// `-EEXIST`, as map updates return it.
const EXISTS: i32 = -17;

/// The maps, for the packet that is being handled.
pub(crate) struct KernelTables {
    skb: *mut __sk_buff,
}

impl KernelTables {
    /// For this packet.
    #[inline(always)]
    pub(crate) fn new(skb: *mut __sk_buff) -> Self {
        Self { skb }
    }

    /// For a socket's call, which asks for nothing that only a packet has.
    #[inline(always)]
    pub(crate) fn without_packet() -> Self {
        Self {
            skb: core::ptr::null_mut(),
        }
    }
}

/// Whether this kernel's route lookup tells the source that it would take (6.7 and later). Set by the agent, and constant
/// for the verifier.
#[unsafe(no_mangle)]
static CAN_ASK_SOURCE: u8 = 0;

/// Of `enum` in linux/bpf.h: for a packet of the host's own, without its neighbour, with its source.
const LOOKUP_OUTPUT: u32 = 1 << 1;
const LOOKUP_SKIP_NEIGH: u32 = 1 << 2;
const LOOKUP_SRC: u32 = 1 << 4;

/// A frame of its own: the route is large, and there only for this.
#[inline(never)]
fn routed_source<F: Family>(skb: *mut __sk_buff, dst: &F::Addr) -> Option<F::Addr> {
    // SAFETY: the packet's own context.
    let route = &mut FibParams::of_host::<F>(dst, unsafe { (*skb).ifindex });
    let flags = LOOKUP_OUTPUT | LOOKUP_SKIP_NEIGH | LOOKUP_SRC;
    // SAFETY: the helper reads and writes just `route`. What it returns does not matter: a source that it found is there,
    // even if the packet is too long for the route.
    unsafe { bpf_fib_lookup(skb.cast(), route.as_ptr(), size_of::<FibParams>() as i32, flags) };
    let source = route.source::<F>();
    (source != F::Addr::default()).then_some(source)
}

/// Whether a key has an entry in the map that a new one was not put into.
#[inline(always)]
fn other_has<F: Stored>(key: &FlowKey<F>, is_kept: bool) -> bool {
    match is_kept {
        true => F::opening().get_ptr(key).is_some(),
        false => F::flows().get_ptr(key).is_some(),
    }
}

/// This packet's network namespace, for socket lookups.
const OWN_NETNS: u64 = u64::MAX;

/// The coarse clock: that of the last timer tick (1 to 10 ms ago), read without touching hardware.
#[inline(always)]
fn nanoseconds() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_coarse_ns() }
}

impl<F: Stored> Tables<F> for KernelTables {
    #[inline(always)]
    fn now(&self) -> Tick {
        Tick::from_nanoseconds(nanoseconds())
    }

    #[inline(always)]
    fn kept_flow(&self, key: &FlowKey<F>) -> Option<Entry<'_, F>> {
        let value = NonNull::new(F::flows().get_ptr_mut(key)?)?;
        // SAFETY: memory of the map stays valid until the program ends. It may become another key's entry meanwhile:
        // its check word tells.
        Some(unsafe { Entry::new(value) })
    }

    #[inline(always)]
    fn opening_flow(&self, key: &FlowKey<F>) -> Option<Entry<'_, F>> {
        let value = NonNull::new(F::opening().get_ptr_mut(key)?)?;
        // SAFETY: as above.
        Some(unsafe { Entry::new(value) })
    }

    #[inline(always)]
    fn keep_flow(&self, key: &FlowKey<F>, value: &FlowValue<F>) {
        // First the new place, so that a packet on another CPU finds one of the two.
        if F::flows().insert(key, value, BPF_ANY as u64).is_ok() {
            let _ = F::opening().remove(key);
        }
    }

    #[inline(always)]
    fn insert_flow(&self, key: &FlowKey<F>, value: &FlowValue<F>, how: Insert) -> Result<(), InsertError> {
        let flags = match how {
            Insert::New => BPF_NOEXIST,
            Insert::Any => BPF_ANY,
        };
        let is_kept = value.state.is_kept();
        let result = match is_kept {
            true => F::flows().insert(key, value, flags as u64),
            false => F::opening().insert(key, value, flags as u64),
        };
        match result {
            Ok(()) => {}
            Err(EXISTS) => return Err(InsertError::Exists),
            Err(_) => return Err(InsertError::Full),
        }
        // The other map may have it. Looked up afterwards: an entry that is moved is in its new place first.
        if how == Insert::New && other_has::<F>(key, is_kept) {
            let _ = match is_kept {
                true => F::flows().remove(key),
                false => F::opening().remove(key),
            };
            return Err(InsertError::Exists);
        }
        Ok(())
    }

    #[inline(always)]
    fn remove_flow(&self, key: &FlowKey<F>) {
        // That there was none is as good.
        if F::flows().remove(key).is_err() {
            let _ = F::opening().remove(key);
        }
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey<F>) -> Option<FragmentValue<F>> {
        // SAFETY: read at once. Should the entry be another packet's by now, so is its tuple's hash and
        // all that was evicted with it: a part goes astray, as it would without an entry.
        unsafe { F::fragments().get(key) }.copied()
    }

    #[inline(always)]
    fn put_fragment(&self, key: &FragmentKey<F>, value: &FragmentValue<F>) {
        let _ = F::fragments().insert(key, value, BPF_ANY as u64);
    }

    #[inline(always)]
    fn remove_fragment(&self, key: &FragmentKey<F>) {
        let _ = F::fragments().remove(key);
    }

    #[inline(always)]
    fn has_socket(&self, key: &FlowKey<F>) -> bool {
        // A flow's key begins as the kernel's socket tuple does: addresses, then ports.
        let (tuple, size) = ((&raw const *key).cast_mut().cast(), 2 * size_of::<F::Addr>() + 4);
        // SAFETY: the helpers read `size` bytes of the key, which has as many; a socket found is given back.
        unsafe {
            let socket = match Protocol(key.protocol) {
                Protocol::TCP => bpf_skc_lookup_tcp(self.skb.cast(), tuple, size as u32, OWN_NETNS, 0),
                Protocol::UDP => bpf_sk_lookup_udp(self.skb.cast(), tuple, size as u32, OWN_NETNS, 0),
                // There is no such helper for SCTP.
                _ => return false,
            };
            if socket.is_null() {
                return false;
            }
            bpf_sk_release(socket.cast());
        }
        true
    }

    #[inline(always)]
    fn address(&self, addr: &F::Addr) -> Option<AddressFlags> {
        // SAFETY: read at once; the map is not preallocated, so the value is not reused under us.
        unsafe { F::addresses().get(addr) }.copied()
    }

    #[inline(always)]
    fn frontend(&self, key: &FrontendKey<F>) -> Option<FrontendValue> {
        // SAFETY: as above. An update replaces the element: the old or the new value is read, whole.
        unsafe { F::frontends().get(key) }.copied()
    }

    #[inline(always)]
    fn slot(&self, set: SetRef, slot: u32) -> Option<BackendId> {
        // SAFETY: as above.
        let chunk = unsafe {
            SETS.get(SetKey {
                set: set.id,
                chunk: slot / SET_CHUNK,
            })
        }?;
        chunk.get((slot % SET_CHUNK) as usize).copied()
    }

    #[inline(always)]
    fn backend(&self, id: BackendId) -> Option<Backend<F>> {
        F::backends().get(id.0).copied()
    }

    #[inline(always)]
    fn affinity(&self, key: &AffinityKey<F>) -> Option<Affinity<F>> {
        // SAFETY: read at once. An entry that is evicted and reused under us may read as a mixture, which
        // its backend's slot or set does not bear out.
        unsafe { F::affinity().get(key) }.copied()
    }

    #[inline(always)]
    fn put_affinity(&self, key: &AffinityKey<F>, value: &Affinity<F>) {
        // The map makes room for it; if it cannot, the client is not remembered.
        let _ = F::affinity().insert(key, value, BPF_ANY as u64);
    }

    #[inline(always)]
    fn is_in_ranges(&self, key: &RangeKey<F>) -> bool {
        let whole = 8 * size_of::<RangeKey<F>>() as u32;
        F::ranges().get(lpm_trie::Key::new(whole, *key)).is_some()
    }

    #[inline(always)]
    fn networks(&self) -> Option<&Networks<F>> {
        F::networks().get(0)
    }

    #[inline(always)]
    fn device(&self) -> Option<Device> {
        // SAFETY: as above.
        unsafe { DEVICES.get((*self.skb).ifindex) }.copied()
    }

    #[inline(always)]
    fn source_for(&self, dst: &F::Addr) -> Option<F::Addr> {
        // SAFETY: a byte of this object; volatile, or the compiler would take the value it has here for granted.
        if unsafe { core::ptr::read_volatile(&raw const CAN_ASK_SOURCE) } == 0 {
            return None;
        }
        routed_source::<F>(self.skb, dst)
    }

    #[inline(always)]
    fn next_hop(&self, lookup: &FibLookup<F>, hop: &mut NextHop) -> bool {
        // SAFETY: the packet's own context.
        let ifindex = unsafe { (*self.skb).ifindex };
        let route = &mut FibParams::to(lookup, ifindex);
        // SAFETY: the helper reads and writes just `route`.
        let found =
            unsafe { bpf_fib_lookup(self.skb.cast(), route.as_ptr(), size_of::<FibParams>() as i32, 0) };
        if found != BPF_FIB_LKUP_RET_SUCCESS as i64 {
            return false;
        }
        // SAFETY: as above.
        let Some(device) = (unsafe { DEVICES.get(route.ifindex) }) else {
            return false;
        };
        *hop = NextHop {
            device: route.ifindex,
            peer: device.peer,
            family: route.family as u32,
            neighbour: route.dst,
            link: route.link(),
        };
        true
    }

    #[inline(always)]
    fn hand_over(&self, hop: &NextHop) {
        // SAFETY: helpers that read their arguments, and say what the kernel does when the program ends.
        unsafe {
            match hop.peer {
                0 => {
                    let neighbour = &mut bpf_redir_neigh {
                        nh_family: hop.family,
                        __bindgen_anon_1: bpf_redir_neigh__bindgen_ty_1 {
                            ipv6_nh: hop.neighbour,
                        },
                    };
                    bpf_redirect_neigh(hop.device, neighbour, size_of::<bpf_redir_neigh>() as i32, 0);
                }
                _ => {
                    bpf_redirect_peer(hop.device, 0);
                }
            }
        }
    }

    #[inline(always)]
    fn config(&self) -> Config {
        CONFIG.get(0).copied().unwrap_or_default()
    }

    #[inline(always)]
    fn work(&self) -> Option<&mut Work<F>> {
        // SAFETY: this CPU's own memory; programs of one CPU run one after the other.
        F::work().get_ptr_mut(0).map(|work| unsafe { &mut *work })
    }

    #[inline(always)]
    fn may_answer(&self) -> bool {
        match ANSWERS.get_ptr_mut(0) {
            // SAFETY: this CPU's own bucket, valid until the program ends.
            Some(bucket) => unsafe { (*bucket).take(nanoseconds()) },
            None => false,
        }
    }

    #[inline(always)]
    fn count(&self, service: ServiceId, direction: Direction, packets: u64, bytes: u64) {
        let Some(traffic) = TRAFFIC.get_ptr_mut(service.0) else {
            return;
        };
        // SAFETY: this CPU's own counters, valid until the program ends.
        unsafe {
            match direction {
                Direction::Request => {
                    (*traffic).packets += packets;
                    (*traffic).bytes += bytes;
                }
                Direction::Reply => {
                    (*traffic).reply_packets += packets;
                    (*traffic).reply_bytes += bytes;
                }
            }
        }
    }

    #[inline(always)]
    fn count_flow(&self, service: ServiceId) {
        if let Some(traffic) = TRAFFIC.get_ptr_mut(service.0) {
            // SAFETY: as above, and aligned. Processes count here too.
            unsafe { count_one(&raw mut (*traffic).new_flows) };
        }
    }
}
