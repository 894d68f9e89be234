// SPDX-License-Identifier: MIT OR Apache-2.0
//! The counters of the kernel programs.

use dataplane_common::{Call, Hook, Outcome, ServiceTraffic};
use serde::Serialize;

use super::maps::PinnedMaps;

/// How often a packet at a hook, or a socket call, had an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeCount {
    /// A hook, or the name of a call.
    pub hook: &'static str,
    pub outcome: &'static str,
    pub packets: u64,
}

/// The traffic of a Service port, all CPUs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    pub new_flows: u64,
    pub packets: u64,
    pub bytes: u64,
    pub reply_packets: u64,
    pub reply_bytes: u64,
}

/// Reads the counters; one that cannot be read counts as zero.
pub struct Counters<'a>(pub &'a PinnedMaps);

impl Counters<'_> {
    /// Every outcome of both hooks and all calls, zeros too.
    pub fn outcomes(&self) -> Vec<OutcomeCount> {
        let hooks = Hook::ALL.iter().map(|hook| (*hook as u32, hook.as_str()));
        let calls = Call::ALL.iter().map(|call| (*call as u32, call.as_str()));
        hooks
            .chain(calls)
            .flat_map(|row| {
                Outcome::ALL
                    .iter()
                    .map(move |outcome| self.outcome(row, *outcome))
            })
            .collect()
    }

    fn outcome(&self, (row, hook): (u32, &'static str), outcome: Outcome) -> OutcomeCount {
        let index = row * Outcome::COUNT + outcome as u32;
        let packets = self.0.outcomes.get(&index, 0).map_or(0, |cpus| cpus.iter().sum());
        OutcomeCount {
            hook,
            outcome: outcome.as_str(),
            packets,
        }
    }

    /// The traffic of a Service port.
    pub fn traffic(&self, service: u32) -> Traffic {
        let Ok(cpus) = self.0.traffic.get(&service, 0) else {
            return Traffic::default();
        };
        cpus.iter()
            .fold(Traffic::default(), |sum, cpu: &ServiceTraffic| Traffic {
                new_flows: sum.new_flows + cpu.new_flows,
                packets: sum.packets + cpu.packets,
                bytes: sum.bytes + cpu.bytes,
                reply_packets: sum.reply_packets + cpu.reply_packets,
                reply_bytes: sum.reply_bytes + cpu.reply_bytes,
            })
    }
}
