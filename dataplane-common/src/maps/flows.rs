// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The flow table (maps `flows4` and `flows6`): the whole decision in one entry (rule 2 of docs/architecture.md).
//!
//! A flow has an entry for each direction: what the client sends is matched at *ingress* and gets
//! its destination rewritten, what the backend answers is matched at *egress* and gets its source
//! rewritten. A masqueraded flow has a second such pair with the hooks exchanged. `flow/pair.rs` has
//! the picture of the four, and how one leads to another.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::maps::backends::BackendId;
use crate::maps::flow_state::State;
use crate::maps::services::ServiceId;
use crate::value::family::Family;
use crate::value::hook::Hook;
use crate::value::protocol::Protocol;
use crate::value::tick::Tick;
use crate::value::wire::{Port, Ports};

/// A packet's tuple as it looks at a hook.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowKey<F: Family> {
    /// Source address.
    pub src: F::Addr,
    /// Destination address.
    pub dst: F::Addr,
    /// Source and destination port.
    pub ports: Ports,
    /// IANA number of the transport.
    pub protocol: u8,
    hook: u8,
    zero: [u8; 2],
}

impl<F: Family> FlowKey<F> {
    /// The key of a packet from `src` to `dst`.
    #[inline(always)]
    pub fn new(hook: Hook, protocol: Protocol, src: (F::Addr, Port), dst: (F::Addr, Port)) -> Self {
        Self {
            src: src.0,
            dst: dst.0,
            ports: Ports::new(src.1, dst.1),
            protocol: protocol.0,
            hook: hook as u8,
            zero: [0; 2],
        }
    }

    /// Makes it a key at this hook.
    #[inline(always)]
    pub(crate) fn set_hook(&mut self, hook: Hook) {
        self.hook = hook as u8;
    }

    /// Whether a single host can have sent the packet, other than the one that it goes to.
    #[inline(always)]
    pub(crate) fn has_host_source(&self) -> bool {
        F::is_single_host(&self.src) && self.src != self.dst
    }

    /// A word that tells this key from others, for `FlowValue::check`. No hash: it needs not be hard to forge, only
    /// seldom the same for two flows.
    #[inline(always)]
    pub(crate) fn check(&self) -> u32 {
        let (src, dst) = (F::words(&self.src), F::words(&self.dst));
        let ports = (self.ports.source().get() as u32) << 16 | self.ports.destination().get() as u32;
        let mut check = ports.rotate_left(7) ^ (self.protocol as u32) << 8 ^ self.hook as u32;
        for word in src.iter().take(F::WORDS) {
            check = check.rotate_left(5) ^ *word;
        }
        for word in dst.iter().take(F::WORDS) {
            check = check.rotate_left(5) ^ *word;
        }
        check
    }

    /// The hook this key belongs to.
    #[inline(always)]
    pub fn hook(&self) -> Hook {
        if self.hook == Hook::Ingress as u8 {
            Hook::Ingress
        } else {
            Hook::Egress
        }
    }
}

/// The rewrite of a flow's packets, and the flow's life so far.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowValue<F: Family> {
    /// A word made of this entry's key. The kernel gives an evicted entry's memory to another key at once: a
    /// packet that was just about to read it sees by this word that it is not its own any more. Written first and
    /// read last.
    pub check: u32,
    /// The new destination (at ingress) or source (at egress).
    pub addr: F::Addr,
    /// The port that goes with it. Of a pending masquerade, the port that it must not be; 0 for none.
    pub port: Port,
    /// The port to write on the other side: the client's, as the other end knows it. It differs
    /// from the packet's own only where two flows would otherwise have had one tuple.
    pub peer_port: Port,
    /// The backend this flow was given to; 0 for a plain flow (to no Service) that was moved to another port.
    pub backend: BackendId,
    /// The Service port it came by; 0 as above.
    pub service: ServiceId,
    /// When a packet of it last passed, as exact as [`Tick`] is.
    pub last_seen: Tick,
    /// What it has seen.
    pub state: State,
    /// TCP: the highest sequence number that was seen in this entry's direction, or is expected there next. Of a
    /// client's entry that has seen only the SYN, the number after the SYN's. Host byte order, as the others.
    pub sequence: u32,
    /// TCP: the highest acknowledgement that was seen in this entry's direction, or is expected there. SCTP: the
    /// verification tag that packets of this direction carry, plus one.
    pub acked: u32,
    /// TCP: the number after that of a SYN which came beside the flow's own ([`State::CANDIDATE`]). UDP: the
    /// [`Tick`] in which the flow began.
    pub candidate: u32,
    /// TCP: the acknowledgement in this entry's direction that would prove the other end's FIN ([`State::FIN_SEEN`]).
    pub fin: u32,
}

impl<F: Family> FlowValue<F> {
    /// The value of the entry with this key.
    #[must_use]
    #[inline(always)]
    pub fn of(self, key: &FlowKey<F>) -> Self {
        Self {
            check: key.check(),
            ..self
        }
    }

    /// Whether the flow is over at `now`, by time alone.
    #[inline(always)]
    pub fn is_expired(&self, protocol: Protocol, now: Tick) -> bool {
        now.since(self.last_seen) > self.state.timeout(protocol)
    }

    /// Whether it is a masquerade's that still waits for its address.
    #[inline(always)]
    pub(crate) fn is_pending(&self) -> bool {
        self.state.has(State::PENDING)
    }

    /// The port that a pending masquerade must not take, because it proved to be another connection's; 0 for none.
    #[inline(always)]
    pub(crate) fn barred_port(&self) -> Port {
        self.port
    }
}

const _: () = {
    use crate::value::family::{V4, V6};
    // The fields fill the structs: there is no padding, whose bytes would be part of a key.
    assert!(size_of::<FlowKey<V4>>() == 2 * 4 + 2 * 2 + 4);
    assert!(size_of::<FlowKey<V6>>() == 2 * 16 + 2 * 2 + 4);
    assert!(size_of::<FlowValue<V4>>() == 4 + 4 + 2 * 2 + 8 * 4);
    assert!(size_of::<FlowValue<V6>>() == 4 + 16 + 2 * 2 + 8 * 4);
};

/// A flow's entry in place, in a map that other CPUs read and write at the same time.
///
/// Single words are read and written, never more at once: a torn state is one that another CPU's
/// packet could have left as well.
pub struct Entry<'a, F: Family> {
    value: NonNull<FlowValue<F>>,
    map: PhantomData<&'a ()>,
}

impl<F: Family> Clone for Entry<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Family> Copy for Entry<'_, F> {}

impl<F: Family> Entry<'_, F> {
    /// An entry at `value`.
    ///
    /// # Safety
    /// `value` must stay valid for reads and writes for this entry's lifetime.
    #[inline(always)]
    pub unsafe fn new(value: NonNull<FlowValue<F>>) -> Self {
        Self {
            value,
            map: PhantomData,
        }
    }

    /// The entry's value as it is now.
    #[inline(always)]
    pub fn get(self) -> FlowValue<F> {
        // SAFETY: valid by the contract of `new`.
        unsafe { self.value.read() }
    }

    /// Whether the memory is still the entry of this key.
    #[inline(always)]
    pub(crate) fn is_of(self, key: &FlowKey<F>) -> bool {
        // SAFETY: valid by the contract of `new`. Volatile, so that it is read where this stands.
        let check = unsafe { (&raw const (*self.value.as_ptr()).check).read_volatile() };
        check == key.check()
    }

    /// Writes the time of the last packet.
    #[inline(always)]
    pub(crate) fn touch(self, now: Tick) {
        // SAFETY: valid by the contract of `new`.
        unsafe { (&raw mut (*self.value.as_ptr()).last_seen).write(now) }
    }

    /// Writes the numbers of the last segment.
    #[inline(always)]
    pub(crate) fn advance(self, sequence: u32, acked: u32) {
        // SAFETY: valid by the contract of `new`.
        unsafe {
            (&raw mut (*self.value.as_ptr()).sequence).write(sequence);
            (&raw mut (*self.value.as_ptr()).acked).write(acked);
        }
    }

    /// Notes the number of a SYN beside the flow's own.
    #[inline(always)]
    pub(crate) fn note_candidate(self, candidate: u32) {
        // SAFETY: valid by the contract of `new`.
        unsafe { (&raw mut (*self.value.as_ptr()).candidate).write(candidate) };
        self.learn(State::CANDIDATE);
    }

    /// Notes the acknowledgement that will prove the other end's FIN.
    #[inline(always)]
    pub(crate) fn note_fin(self, fin: u32) {
        // SAFETY: valid by the contract of `new`.
        unsafe { (&raw mut (*self.value.as_ptr()).fin).write(fin) };
        self.learn(State::FIN_SEEN);
    }

    /// Adds what the flow has seen. Other CPUs may do the same at the same time.
    #[inline(always)]
    pub(crate) fn learn(self, events: State) {
        // SAFETY: valid by the contract of `new`; four aligned bytes.
        unsafe { atomic::or((&raw mut (*self.value.as_ptr()).state).cast(), events.0) }
    }

    /// Takes back what the flow has seen.
    #[inline(always)]
    pub(crate) fn unlearn(self, events: State) {
        // SAFETY: as above.
        unsafe { atomic::and((&raw mut (*self.value.as_ptr()).state).cast(), !events.0) }
    }

    /// Replaces the whole value.
    #[inline(always)]
    pub(crate) fn replace(self, value: &FlowValue<F>) {
        // SAFETY: valid by the contract of `new`.
        unsafe { self.value.write(*value) }
    }

    /// Gives a pending masquerade its address and port. The state comes last: another CPU's packet sees both or neither.
    #[inline(always)]
    pub(crate) fn settle_masquerade(self, addr: F::Addr, port: Port) {
        let place = self.value.as_ptr();
        // SAFETY: valid by the contract of `new`.
        unsafe {
            (&raw mut (*place).addr).write_volatile(addr);
            (&raw mut (*place).port).write_volatile(port);
        }
        self.unlearn(State::PENDING);
    }
}

/// The two atomic instructions that all supported kernels have (Linux 5.12), without a result.
mod atomic {
    #[cfg(not(target_arch = "bpf"))]
    use core::sync::atomic::{AtomicU32, Ordering};

    /// # Safety
    /// `word` must be valid for reads and writes, and aligned.
    #[inline(always)]
    pub(super) unsafe fn or(word: *mut u32, bits: u32) {
        #[cfg(target_arch = "bpf")]
        // SAFETY: by the contract of this function.
        unsafe {
            core::intrinsics::atomic_or::<u32, u32, { core::intrinsics::AtomicOrdering::Relaxed }>(
                word, bits,
            );
        }
        #[cfg(not(target_arch = "bpf"))]
        // SAFETY: by the contract of this function.
        unsafe {
            AtomicU32::from_ptr(word).fetch_or(bits, Ordering::Relaxed);
        }
    }

    /// # Safety
    /// As [`or`].
    #[inline(always)]
    pub(super) unsafe fn and(word: *mut u32, bits: u32) {
        #[cfg(target_arch = "bpf")]
        // SAFETY: by the contract of this function.
        unsafe {
            core::intrinsics::atomic_and::<u32, u32, { core::intrinsics::AtomicOrdering::Relaxed }>(
                word, bits,
            );
        }
        #[cfg(not(target_arch = "bpf"))]
        // SAFETY: by the contract of this function.
        unsafe {
            AtomicU32::from_ptr(word).fetch_and(bits, Ordering::Relaxed);
        }
    }
}
