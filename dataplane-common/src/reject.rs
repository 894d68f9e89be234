// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Answering "port unreachable", so that connect() fails at once instead of timing out.
//!
//! The packet itself is made the answer: cut to what is quoted, given new headers, its ends
//! exchanged, and sent back out of the device it came in by.

use crate::checksum::Checksum;
use crate::family::Family;
use crate::headers::{Headers, Layout};
use crate::outcome::Outcome;
use crate::packet::{Fault, Packet};
use crate::tables::Tables;

/// What is quoted of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Quote {
    /// In bytes; even.
    pub length: usize,
    /// Their sum.
    pub sum: Checksum,
}

/// Makes the packet the answer `outcome` stands for.
#[inline(never)]
pub(crate) fn reject<F: Family, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    headers: &Headers<F>,
    outcome: Outcome,
) -> Outcome {
    if !tables.may_answer() {
        return Outcome::RejectLimited;
    }
    match answer(packet, headers) {
        Ok(()) => outcome,
        Err(Fault) => Outcome::RejectFailed,
    }
}

#[inline(always)]
fn answer<F: Family, P: Packet>(packet: &mut P, headers: &Headers<F>) -> Result<(), Fault> {
    let quote = quote(packet, &headers.layout)?;
    packet.make_room(quote.length, F::UNREACHABLE_HEADERS)?;
    swap_ends(packet)?;
    F::write_unreachable(packet, headers.key.dst, headers.key.src, quote)
}

/// What is to be quoted: at most 128 bytes. That holds any IPv4 header, or IPv6 with some extension
/// headers, and a whole TCP header (the kernel does not cut a packet inside a checksum that the
/// device is still to fill in), and is well below the 548 bytes that every IPv4 host takes (RFC 1812
/// section 4.3.2.3). A last odd byte is left out.
#[inline(always)]
fn quote<P: Packet>(packet: &P, layout: &Layout) -> Result<Quote, Fault> {
    let whole = layout.end - P::L3;
    let length = if whole > P::MAX_SUM {
        P::MAX_SUM
    } else {
        whole & !1
    };
    let sum = packet.sum(P::L3, length).ok_or(Fault)?;
    Ok(Quote { length, sum })
}

/// Exchanges the Ethernet addresses, where there are any.
#[inline(always)]
fn swap_ends<P: Packet>(packet: &mut P) -> Result<(), Fault> {
    const ADDRESS: usize = 6;
    if P::L3 < 2 * ADDRESS {
        return Ok(());
    }
    let to: [u8; ADDRESS] = packet.load(0).ok_or(Fault)?;
    let from: [u8; ADDRESS] = packet.load(ADDRESS).ok_or(Fault)?;
    packet.store(0, from)?;
    packet.store(ADDRESS, to)
}

/// A budget that refills with time: one for each CPU bounds the answers a flood can cause.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TokenBucket {
    /// When it was last filled up, in units of 2^20 ns (about a millisecond).
    filled: u32,
    used: u32,
}

impl TokenBucket {
    /// Answers in one go after a quiet time, and about as many a second in the long run.
    const BURST: u32 = 1024;

    /// Takes one, at a monotonic time in nanoseconds. One comes back per 2^20 ns.
    #[inline(always)]
    pub fn take(&mut self, ns: u64) -> bool {
        let now = (ns >> 20) as u32;
        self.used = self.used.saturating_sub(now.wrapping_sub(self.filled));
        self.filled = now;
        if self.used >= Self::BURST {
            return false;
        }
        self.used += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_one_a_millisecond() {
        let mut bucket = TokenBucket::default();
        let now = 1 << 40;
        let burst = (0..5000).filter(|_| bucket.take(now)).count();
        assert_eq!(burst, TokenBucket::BURST as usize);
        assert!(bucket.take(now + (1 << 20)));
        assert!(!bucket.take(now + (1 << 20)));
    }
}
