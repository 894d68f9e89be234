// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Where a packet is worked on: memory of the CPU's own, in a map.
//!
//! Not on the stack, for two reasons: it has no room for two keys and two values of IPv6, and the
//! verifier knows the stack too well. It would follow each combination of what is in there through
//! the rest of the program; of what lies in a map it knows nothing, and goes that way once.

use crate::maps::addresses::AddressFlags;
use crate::maps::flows::{FlowKey, FlowValue};
use crate::maps::fragments::FragmentKey;
use crate::maps::frontends::FrontendValue;
use crate::packet::headers::Headers;
use crate::tables::route::NextHop;
use crate::value::family::Family;
use crate::value::wire::Port;

/// A packet's headers, and the flow being made or mended for it. Its content means nothing from one
/// packet to the next.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Work<F: Family> {
    pub(crate) headers: Headers<F>,
    /// The flow of `headers.key`.
    pub(crate) value: FlowValue<F>,
    /// What is known of the address that it goes to.
    pub(crate) flags: AddressFlags,
    /// The address and port of a Service that it goes to.
    pub(crate) frontend: FrontendValue,
    /// The key of another entry: mostly of the same flow, and else one that the packet may have to do with.
    pub(crate) other_key: FlowKey<F>,
    /// The value to put there.
    pub(crate) other: FlowValue<F>,
    /// A `NewFlowReason`: why the packet starts a flow.
    pub(crate) reason: u32,
    /// A port that another connection has, as packets have shown, whatever the flow table says; 0 for none.
    pub(crate) contested: Port,
    /// 1: the packet confirms its flow, whose entries are to be moved once nothing refers to them any more; else 0.
    pub(crate) confirms: u32,
    /// 1: it is the first packet of its flow entry in this tick; else 0.
    pub(crate) refreshes: u32,
    /// What an ICMP error quotes.
    pub(crate) quoted: Headers<F>,
    pub(crate) fragment: FragmentKey<F>,
    /// A `NextStep` of the fast path: how a reply goes on.
    pub(crate) next_step: u32,
    /// 1: at egress, the packet is of a masqueraded flow; else 0.
    pub(crate) is_masqueraded: u32,
    /// Where the packet goes on without the host's stack.
    pub(crate) hop: NextHop,
}

impl<F: Family> Work<F> {
    /// As a map has it at first.
    #[cfg(any(test, feature = "host"))]
    pub(crate) fn empty() -> Self {
        let headers = Headers::new(crate::value::hook::Hook::Ingress);
        let value = FlowValue::default();
        Self {
            headers,
            value,
            flags: AddressFlags::default(),
            frontend: FrontendValue::default(),
            other_key: headers.key,
            other: value,
            reason: 0,
            contested: Port::default(),
            confirms: 0,
            refreshes: 0,
            quoted: headers,
            fragment: FragmentKey::new(&headers.key, headers.fragment),
            next_step: 0,
            is_masqueraded: 0,
            hop: NextHop::default(),
        }
    }
}
