// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Answers to datagrams that the node has sent: whoever asked gets the answer.
//!
//! A CNI's masquerade may give a pod's datagram any source port of the node, a NodePort's too; so may a process that
//! binds a port, and the kernel, where its range of ports has NodePorts in it. The answer comes to TC ingress before
//! connection tracking and sockets, and looks like a new client's datagram to the Service. So a datagram that leaves
//! from such a port, and is of no flow, leaves a note for its answer: an entry with [`State::FOREIGN`], under the key
//! that the answer will have at ingress.
//!
//! TCP and SCTP need no note: what answers them opens nothing, and only what opens something is given to a frontend
//! at the node's own address (`flow/new_flow.rs`).
//!
//! Costs a UDP packet that leaves the node outside of all flows a lookup of its source address, and one of its
//! frontend where that address is the node's.

use crate::flow::pair::release;
use crate::lb::select::frontend;
use crate::maps::addresses::AddressFlags;
use crate::maps::flow_state::State;
use crate::maps::flows::FlowValue;
use crate::tables::work::Work;
use crate::tables::{Insert, Tables};
use crate::value::family::Family;

/// Leaves a note for the answer to a datagram at egress that is of no flow, if it might be taken for a Service's.
#[inline(never)]
pub(crate) fn note<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>) {
    work.other_key = work.headers.key.answer_at_ingress();
    let flags = tables.address(&work.other_key.dst).unwrap_or_default();
    if !flags.has(AddressFlags::NODE) || frontend(tables, &work.other_key, flags).is_err() {
        return;
    }
    let now = tables.now();
    if let Some(entry) = tables.flow(&work.other_key) {
        let value = entry.get();
        if !value.is_expired(work.headers.protocol(), now) {
            // A live flow of the Service with this very client keeps its place.
            if value.state.has(State::FOREIGN) && value.last_seen != now {
                entry.touch(now);
            }
            return;
        }
        release(tables, &work.other_key, entry);
    }
    work.other = FlowValue {
        check: work.other_key.check(),
        last_seen: now,
        candidate: now.0,
        state: State::FOREIGN,
        ..FlowValue::default()
    };
    // Should the table not take it, the answer is lost.
    let _ = tables.insert_flow(&work.other_key, &work.other, Insert::New);
}
