// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Answering "port unreachable", so that connect() fails at once instead of timing out.
//! The packet itself is made the answer, and sent back out of the device it came in by.

use crate::outcome::Outcome;
use crate::packet::headers::Headers;
use crate::packet::ip::Ip;
use crate::packet::unreachable::answer;
use crate::packet::{Fault, Packet};
use crate::tables::Tables;

/// Makes the packet the answer `outcome` stands for.
#[inline(never)]
pub(crate) fn reject<F: Ip, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    headers: &Headers<F>,
    outcome: Outcome,
) -> Outcome {
    if !headers.key.has_host_source() {
        return Outcome::OddSource;
    }
    if !tables.may_answer() {
        return Outcome::RejectLimited;
    }
    match answer(packet, headers) {
        Ok(()) => outcome,
        Err(Fault) => Outcome::RejectFailed,
    }
}
