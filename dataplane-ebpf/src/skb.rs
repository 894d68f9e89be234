// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The kernel's packet: the one place where packet memory is touched.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::{
    __sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_F_RECOMPUTE_CSUM,
    bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
};
use aya_ebpf::helpers::{
    bpf_csum_diff, bpf_l4_csum_replace, bpf_skb_adjust_room, bpf_skb_change_tail, bpf_skb_load_bytes,
    bpf_skb_pull_data, bpf_skb_store_bytes,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use dataplane_common::{Addressee, Checksum, ChecksumField, Fault, Mark, Packet, Wire};

/// `BPF_F_IPV6`: an IPv6 address changed, so the sum that a device took over the whole packet stays
/// right as it is. Since Linux 6.16 (commit ead7f9b8de65), and in stable kernels from then on.
const BPF_F_IPV6: u64 = 1 << 7;

/// The part of a mark that only this node has. Marks are in `tc_index`, which goes with the packet from a device's ingress
/// to another's egress, and which the kernel has had no use for since the dsmark scheduler and the tcindex classifier were
/// taken out (Linux 6.3), but for GRED with its low 4 bits. Cilium's programs use the low 5. Those are 0 here; above them
/// are 2 bits for the [`Mark`] and 9 for the node, because the nodes of kind share one kernel. Set by the agent, and
/// constant for the verifier.
#[unsafe(no_mangle)]
static NODE_MARK: u32 = 0x5300;
/// Where the [`Mark`] is.
const MARK_SHIFT: u32 = 5;
const MARK_BITS: u32 = 3 << MARK_SHIFT;

/// The value of [`NODE_MARK`] that the agent has set.
#[inline(always)]
fn node_mark() -> u32 {
    // SAFETY: a constant of this object. Volatile: its value here is not what it will be.
    unsafe { core::ptr::read_volatile(&raw const NODE_MARK) }
}

/// The longest headers that are read in place: Ethernet, IPv6, TCP.
const HEADERS: u32 = 14 + 40 + 20;

/// Room for a stretch of a packet, too large for the stack.
#[map(name = "scratch")]
static SCRATCH: PerCpuArray<[u64; <Skb<0> as Packet>::MAX_SUM / 8]> = PerCpuArray::with_max_entries(1, 0);

/// A packet in the kernel. Offsets are from its link-layer header, where the device has one.
#[derive(Clone, Copy)]
pub(crate) struct Skb<const L3: usize>(*mut __sk_buff);

impl<const L3: usize> Skb<L3> {
    #[inline(always)]
    pub(crate) fn new(skb: *mut __sk_buff) -> Self {
        Self(skb)
    }

    #[inline(always)]
    pub(crate) fn raw(self) -> *mut __sk_buff {
        self.0
    }

    #[inline(always)]
    fn get(&self) -> &__sk_buff {
        // SAFETY: the program's own context, valid for as long as it runs.
        unsafe { &*self.0 }
    }

    /// Makes the headers directly readable, where a driver or a tunnel left them elsewhere.
    #[inline(always)]
    pub(crate) fn linear(self) -> Self {
        let skb = self.get();
        let wanted = if skb.len > HEADERS { HEADERS } else { skb.len };
        if (skb.data_end - skb.data) < wanted {
            // SAFETY: a helper on the program's own context. Should it fail, reads fail, too.
            unsafe { bpf_skb_pull_data(self.0, wanted) };
        }
        self
    }

    #[inline(always)]
    pub(crate) fn ethertype(&self) -> u16 {
        u16::from_be(self.get().protocol as u16)
    }

    #[inline(always)]
    pub(crate) fn ifindex(&self) -> u32 {
        self.get().ifindex
    }

    /// The packet's bytes at `offset`, if they lie in its first, directly readable part.
    ///
    /// They are at any address, and yet accessed as if aligned, because otherwise the compiler
    /// reads a word as four bytes. The verifier lets this pass where the machine does the same
    /// (x86, arm64), and only there. LLVM's `allows-misaligned-mem-access` is no way out: with it,
    /// the stack is accessed unaligned too, which the verifier refuses everywhere.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let start = self.get().data as usize + offset;
        let end = self.get().data_end as usize;
        if start + size_of::<T>() > end {
            None
        } else {
            Some(start as *mut T)
        }
    }
}

impl<const L3: usize> Skb<L3> {
    #[inline(always)]
    fn set_index(&mut self, index: u32) {
        // SAFETY: the program's own context; the kernel lets this field be written.
        unsafe { (&raw mut (*self.0).tc_index).write(index) };
    }

    #[inline(always)]
    fn write<T: Wire>(&mut self, offset: usize, value: T, flags: u64) -> Result<(), Fault> {
        // SAFETY: the helper reads exactly the bytes of `value`.
        let result = unsafe {
            bpf_skb_store_bytes(
                self.0,
                offset as u32,
                (&raw const value).cast(),
                size_of::<T>() as u32,
                flags,
            )
        };
        if result == 0 { Ok(()) } else { Err(Fault) }
    }
}

impl<const L3: usize> Packet for Skb<L3> {
    const L3: usize = L3;

    #[inline(always)]
    fn length(&self) -> usize {
        self.get().len as usize
    }

    #[inline(always)]
    fn segments(&self) -> u64 {
        let segments = self.get().gso_segs;
        if segments == 0 { 1 } else { segments as u64 }
    }

    #[inline(always)]
    fn segment_size(&self) -> usize {
        self.get().gso_size as usize
    }

    #[inline(always)]
    fn is_for_host(&self) -> bool {
        /// `PACKET_HOST` (linux/if_packet.h).
        const TO_US: u32 = 0;
        let skb = self.get();
        skb.pkt_type == TO_US && skb.vlan_present == 0
    }

    #[inline(always)]
    fn addressee(&self) -> Addressee {
        // `PACKET_HOST`, `PACKET_OTHERHOST` (linux/if_packet.h).
        match self.get().pkt_type {
            0 => Addressee::Device,
            3 => Addressee::Other,
            _ => Addressee::Many,
        }
    }

    #[inline(always)]
    fn vlan(&self) -> u16 {
        // SAFETY: a field of the program's own context. Volatile, because the verifier lets it be read whole only.
        let tag = unsafe { (&raw const self.get().vlan_tci).read_volatile() };
        tag as u16 & 0xfff
    }

    #[inline(always)]
    fn load<T: Wire>(&self, offset: usize) -> Option<T> {
        // SAFETY: within the packet, as just checked; any bytes are a `T`. See `at` on alignment.
        self.at::<T>(offset).map(|value| unsafe { value.read() })
    }

    #[inline(always)]
    fn store<T: Wire>(&mut self, offset: usize, value: T) -> Result<(), Fault> {
        let place = self.at::<T>(offset).ok_or(Fault)?;
        // SAFETY: within the packet, as just checked; `T` has no padding. See `at` on alignment.
        unsafe { place.write(value) };
        Ok(())
    }

    #[inline(always)]
    fn load_far<T: Wire>(&self, offset: usize) -> Option<T> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the helper writes exactly the bytes of `value`, or fails.
        let result = unsafe {
            bpf_skb_load_bytes(
                self.0.cast(),
                offset as u32,
                value.as_mut_ptr().cast(),
                size_of::<T>() as u32,
            )
        };
        if result != 0 {
            return None;
        }
        // SAFETY: every byte was written, and any bytes are a `T`.
        Some(unsafe { value.assume_init() })
    }

    #[inline(always)]
    fn store_unbalanced<T: Wire>(&mut self, offset: usize, value: T) -> Result<(), Fault> {
        self.write(offset, value, BPF_F_RECOMPUTE_CSUM as u64)
    }

    #[inline(always)]
    fn store_far<T: Wire>(&mut self, offset: usize, value: T) -> Result<(), Fault> {
        self.write(offset, value, 0)
    }

    #[inline(always)]
    fn sum(&self, offset: usize, length: usize) -> Option<Checksum> {
        if length == 0 || length > Self::MAX_SUM {
            return None;
        }
        // The same number, in a form that every verifier reads as 1 to MAX_SUM: from "it is not 0" those before
        // Linux 6.8 learn nothing, and refuse a length that may be 0.
        let length = (self.opaque(length - 1) & (Self::MAX_SUM - 1)) as u32 + 1;
        let buffer = SCRATCH.get_ptr_mut(0)?;
        // SAFETY: this CPU's own buffer, of MAX_SUM bytes; the first helper writes `length` of them.
        unsafe {
            *buffer = [0; <Skb<0> as Packet>::MAX_SUM / 8];
            if bpf_skb_load_bytes(self.0.cast(), offset as u32, buffer.cast(), length) != 0 {
                return None;
            }
            // The bytes beyond `length` are zeros and add nothing.
            let sum = bpf_csum_diff(core::ptr::null_mut(), 0, buffer.cast(), Self::MAX_SUM as u32, 0);
            if sum < 0 { None } else { Some(Checksum(sum as u32)) }
        }
    }

    #[inline(always)]
    fn opaque(&self, offset: usize) -> usize {
        match SCRATCH.get_ptr_mut(0) {
            // SAFETY: this CPU's own buffer, at least a word long.
            Some(buffer) => unsafe {
                buffer.cast::<u64>().write_volatile(offset as u64);
                buffer.cast::<u64>().read_volatile() as usize
            },
            None => offset,
        }
    }

    #[inline(always)]
    fn adjust_checksum(&mut self, field: ChecksumField, difference: Checksum) -> Result<bool, Fault> {
        let mut flags = 0;
        if field.pseudo_header {
            flags |= BPF_F_PSEUDO_HDR as u64;
        }
        if field.zero_means_none {
            flags |= BPF_F_MARK_MANGLED_0 as u64;
        }
        let replace = |flags| {
            // SAFETY: a helper on the program's own context; size 0 means "by difference".
            unsafe { bpf_l4_csum_replace(self.0, field.offset as u32, 0, difference.0 as u64, flags) }
        };
        let ipv6_address = field.ipv6 && field.pseudo_header;
        if ipv6_address && replace(flags | BPF_F_IPV6) == 0 {
            return Ok(true);
        }
        // Also the way for kernels that do not know the flag and have changed nothing. They take the difference out of
        // the sum that a device took over the whole packet, as if an IPv4 header made up for it. So the address has to
        // be put into that sum as it is written.
        match replace(flags) {
            0 => Ok(!ipv6_address),
            _ => Err(Fault),
        }
    }

    #[inline(always)]
    fn mark(&self) -> Option<Mark> {
        let index = self.get().tc_index;
        if index & !MARK_BITS != node_mark() {
            return None;
        }
        match (index & MARK_BITS) >> MARK_SHIFT {
            1 => Some(Mark::Done),
            2 => Some(Mark::Translated),
            3 => Some(Mark::Masquerade),
            _ => None,
        }
    }

    #[inline(always)]
    fn set_mark(&mut self, mark: Mark) {
        self.set_index(node_mark() | (mark as u32) << MARK_SHIFT);
    }

    #[inline(always)]
    fn clear_mark(&mut self) {
        self.set_index(0);
    }

    #[inline(always)]
    fn make_room(&mut self, keep: usize, room: usize) -> Result<(), Fault> {
        // SAFETY: helpers on the program's own context.
        let result = unsafe {
            match bpf_skb_change_tail(self.0, (L3 + keep) as u32, 0) {
                0 => bpf_skb_adjust_room(self.0, room as i32, BPF_ADJ_ROOM_MAC, 0),
                error => error,
            }
        };
        if result == 0 { Ok(()) } else { Err(Fault) }
    }
}
