// SPDX-License-Identifier: MIT OR Apache-2.0
//! Removes expired flows from the flow table, in slices, on a thread of its own.
//!
//! Correctness does not depend on it: a packet that finds an expired entry sees that it is expired. The sweep keeps
//! the table from filling with flows that are over, and counts the entries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use aya::Pod;
use aya::maps::{HashMap, MapData};
use dataplane_common::{FlowKey, FlowValue, Protocol, Tick, V4, V6};
use nix::time::{ClockId, clock_gettime};

use super::family::HostFamily;
use super::maps::{OpenError, PinnedMaps};
use super::pins::Pins;

/// Entries looked at in one go: about two milliseconds of one CPU.
const SLICE: usize = 2_000;
/// Between slices: a sweep takes at most a fifth of one CPU while it lasts.
const PAUSE: Duration = Duration::from_millis(10);
/// Between sweeps: about the shortest life a flow has.
const REST: Duration = Duration::from_secs(10);

/// Knows what the sweep found; once started, it sweeps for as long as the process lives.
#[derive(Clone, Debug, Default)]
pub struct Sweeper {
    live: Arc<AtomicU64>,
}

impl Sweeper {
    /// Starts the thread. Not before the first lists are in: flows of Services that an agent has
    /// yet to hear of are none of its business.
    pub fn start(&self, pins: &Pins) -> Result<(), OpenError> {
        let (read, mut write) = (PinnedMaps::open(pins)?, PinnedMaps::open(pins)?);
        let live = Arc::clone(&self.live);
        thread::spawn(move || {
            loop {
                let count = sweep::<V4>(&read.v4.flows, &mut write.v4.flows)
                    + sweep::<V4>(&read.v4.opening, &mut write.v4.opening)
                    + sweep::<V6>(&read.v6.flows, &mut write.v6.flows)
                    + sweep::<V6>(&read.v6.opening, &mut write.v6.opening);
                live.store(count, Ordering::Relaxed);
                thread::sleep(REST);
            }
        });
        Ok(())
    }

    /// How many entries the last sweep left.
    pub fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }
}

/// The kernel programs' clock.
fn now() -> Tick {
    let nanoseconds = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
    });
    Tick::from_nanoseconds(nanoseconds)
}

type Flows<F> = HashMap<MapData, FlowKey<F>, FlowValue<F>>;

/// One walk over a table; how many entries stay.
fn sweep<F: HostFamily>(read: &Flows<F>, write: &mut Flows<F>) -> u64
where
    F::Addr: Pod,
{
    let mut live = 0;
    let mut doomed = None;
    for (count, key) in read.keys().map_while(Result::ok).enumerate() {
        // Only now, with the walk beyond it: from a key that is gone it would start again.
        if let Some(key) = doomed.take() {
            remove_expired(write, &key);
        }
        match read.get(&key, 0) {
            Ok(value) if value.is_expired(Protocol(key.protocol), now()) => doomed = Some(key),
            Ok(_) => live += 1,
            Err(_) => {}
        }
        if count % SLICE == SLICE - 1 {
            thread::sleep(PAUSE);
        }
    }
    if let Some(key) = doomed {
        remove_expired(write, &key);
    }
    live
}

/// Removes an entry unless a packet has used it meanwhile. Its partner is as old, and is removed in its turn.
fn remove_expired<F: HostFamily>(write: &mut Flows<F>, key: &FlowKey<F>)
where
    F::Addr: Pod,
{
    if let Ok(value) = write.get(key, 0)
        && value.is_expired(Protocol(key.protocol), now())
    {
        // The kernel may have been quicker.
        let _ = write.remove(key);
    }
}
