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
    /// The new destination (at ingress) or source (at egress).
    pub addr: F::Addr,
    /// The port that goes with it. Of a masquerade that is pending, the one that it must not be; 0 for none.
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
    /// TCP: the sequence number of the client's SYN. Host byte order.
    pub isn: u32,
}

impl<F: Family> FlowValue<F> {
    /// Whether the flow is over at `now`, by time alone.
    #[inline(always)]
    pub fn is_expired(&self, protocol: Protocol, now: Tick) -> bool {
        now.since(self.last_seen) > self.state.timeout(protocol)
    }

    /// Whether it is a masquerade's that still waits for its address.
    #[inline(always)]
    pub(crate) fn is_pending(&self) -> bool {
        self.addr == F::Addr::default()
    }
}

const _: () = {
    use crate::value::family::{V4, V6};
    // The fields fill the structs: there is no padding, whose bytes would be part of a key.
    assert!(size_of::<FlowKey<V4>>() == 2 * 4 + 2 * 2 + 4);
    assert!(size_of::<FlowKey<V6>>() == 2 * 16 + 2 * 2 + 4);
    assert!(size_of::<FlowValue<V4>>() == 4 + 2 * 2 + 5 * 4);
    assert!(size_of::<FlowValue<V6>>() == 16 + 2 * 2 + 5 * 4);
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

    /// Writes the time of the last packet.
    #[inline(always)]
    pub(crate) fn touch(self, now: Tick) {
        // SAFETY: valid by the contract of `new`.
        unsafe { (&raw mut (*self.value.as_ptr()).last_seen).write(now) }
    }

    /// Adds what the flow has seen.
    #[inline(always)]
    pub(crate) fn learn(self, events: State) {
        let state = self.get().state.with(events);
        // SAFETY: valid by the contract of `new`.
        unsafe { (&raw mut (*self.value.as_ptr()).state).write(state) }
    }

    /// Replaces the whole value.
    #[inline(always)]
    pub(crate) fn replace(self, value: &FlowValue<F>) {
        // SAFETY: valid by the contract of `new`.
        unsafe { self.value.write(*value) }
    }
}
