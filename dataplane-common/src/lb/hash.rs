// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The hash that chooses a backend. It must be the same on every node, after every restart.

use crate::maps::flows::FlowKey;
use crate::value::family::Family;

/// Mixes a word into the state: the multiply-rotate step of MurmurHash3 (32 bits).
#[inline(always)]
fn mix(state: u32, word: u32) -> u32 {
    let word = word
        .wrapping_mul(0xcc9e_2d51)
        .rotate_left(15)
        .wrapping_mul(0x1b87_3593);
    (state ^ word)
        .rotate_left(13)
        .wrapping_mul(5)
        .wrapping_add(0xe654_6b64)
}

/// MurmurHash3's finaliser: every bit of the state reaches every bit of the hash.
#[inline(always)]
fn finish(mut state: u32) -> u32 {
    state = (state ^ (state >> 16)).wrapping_mul(0x85eb_ca6b);
    state = (state ^ (state >> 13)).wrapping_mul(0xc2b2_ae35);
    state ^ (state >> 16)
}

/// A hash of a flow's five-tuple and the cluster's secret ([`Networks::hash_seed`](crate::Networks)).
#[inline(always)]
pub(crate) fn hash<F: Family>(key: &FlowKey<F>, seed: u32) -> u32 {
    let (src, dst) = (F::words(&key.src), F::words(&key.dst));
    let mut state = mix(seed, key.protocol as u32);
    for word in src.iter().take(F::WORDS) {
        state = mix(state, *word);
    }
    for word in dst.iter().take(F::WORDS) {
        state = mix(state, *word);
    }
    finish(mix(
        state,
        (key.ports.source().get() as u32) << 16 | key.ports.destination().get() as u32,
    ))
}

/// A hash of a client alone, for Services with session affinity: connections that a client opens at the same time, on
/// several CPUs, get one backend, and an entry that was evicted costs nothing.
#[inline(always)]
pub(crate) fn hash_client<F: Family>(client: &F::Addr, seed: u32) -> u32 {
    let words = F::words(client);
    let mut state = seed;
    for word in words.iter().take(F::WORDS) {
        state = mix(state, *word);
    }
    finish(state)
}

/// A hash as a number below `below`, without a division (Lemire). `below` must not be zero.
#[inline(always)]
pub(crate) fn scale(hash: u32, below: u32) -> u32 {
    ((hash as u64 * below as u64) >> 32) as u32
}
