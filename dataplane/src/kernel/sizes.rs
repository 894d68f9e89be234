// SPDX-License-Identifier: MIT OR Apache-2.0
//! How much the maps hold.

use std::fs;

/// Flow entries of a family on a machine of any size.
const LEAST_FLOWS4: u32 = 262_144;
const LEAST_FLOWS6: u32 = 131_072;

/// Flow entries per CPU: as many flows as netfilter has entries for there (32,768), and two entries for each.
const FLOWS_PER_CPU: u64 = 65_536;

/// Bytes of memory for one flow entry of either family.
const FLOW4: u64 = 128;
const FLOW6: u64 = 160;

/// The share of the machine's memory that the flows of a family get at most, if that is more than the least.
const MEMORY_SHARE: u64 = 64;

/// An LRU map keeps so many free entries on each CPU's list, where no other CPU finds them.
const LRU_LIST: u32 = 128;

/// How many entries the maps have room for.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Sizes {
    /// Entries for flows over IPv4, of 128 bytes each; a flow takes two, a masqueraded one four [default: 65536 per CPU,
    /// within 1/64 of the memory, at least 262144]
    #[arg(long, default_value_t = Self::default().max_flows4, hide_default_value = true)]
    pub max_flows4: u32,
    /// Entries for flows over IPv6, of 160 bytes each [default: half as many, at least 131072]
    #[arg(long, default_value_t = Self::default().max_flows6, hide_default_value = true)]
    pub max_flows6: u32,
    /// Backends per address family, counted per Service port
    #[arg(long, default_value_t = Self::default().max_backends)]
    pub max_backends: u32,
    /// Frontends (address, port and protocol) per address family
    #[arg(long, default_value_t = Self::default().max_frontends)]
    pub max_frontends: u32,
    /// Service ports
    #[arg(long, default_value_t = Self::default().max_services)]
    pub max_services: u32,
    /// Clients with session affinity, per address family and Service port; when full, the longest idle are evicted
    #[arg(long, default_value_t = Self::default().max_affinity)]
    pub max_affinity: u32,
    /// Source ranges of load balancers per address family, counted per Service port
    #[arg(long, default_value_t = Self::default().max_ranges)]
    pub max_ranges: u32,
}

impl Default for Sizes {
    /// For this machine.
    fn default() -> Self {
        let (cpus, memory) = (cpus(), memory());
        Self {
            max_flows4: flows(LEAST_FLOWS4, FLOWS_PER_CPU, FLOW4, cpus, memory),
            max_flows6: flows(LEAST_FLOWS6, FLOWS_PER_CPU / 2, FLOW6, cpus, memory),
            max_backends: 262_144,
            max_frontends: 65_536,
            max_services: 32_768,
            max_affinity: 65_536,
            max_ranges: 65_536,
        }
    }
}

impl Sizes {
    /// Chunks of backend sets: two sets for each Service port, and twice what all backends fill.
    pub(super) fn sets(&self) -> u32 {
        self.max_backends / 8 + self.max_services * 2
    }

    /// Entries for flows that are not confirmed: a quarter as many as for those that are. A flood of SYNs pushes out
    /// these and nothing else; of 10,000 a second that are masqueraded, 65,536 entries hold 1.6 s, long enough for a
    /// handshake.
    pub(super) fn opening(max_flows: u32) -> u32 {
        max_flows / 4
    }

    /// Fragmented packets, or connected UDP sockets, whose entries are few and short-lived: four times what the CPUs'
    /// own lists hold, so that none is taken away early.
    pub(super) fn small() -> u32 {
        small(cpus())
    }
}

fn small(cpus: u32) -> u32 {
    cpus.saturating_mul(4 * LRU_LIST).max(16_384)
}

fn flows(least: u32, per_cpu: u64, size: u64, cpus: u32, memory: u64) -> u32 {
    let most = memory / MEMORY_SHARE / size;
    let wanted = u64::from(cpus).saturating_mul(per_cpu).min(most);
    u32::try_from(wanted).unwrap_or(u32::MAX).max(least)
}

/// CPUs that the kernel may ever have: it has a list for each.
fn cpus() -> u32 {
    aya::util::nr_cpus().map_or(1, |count| u32::try_from(count).unwrap_or(u32::MAX))
}

/// Bytes of memory; 0 if it is not told.
fn memory() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn flows_follow_the_machine() {
        let v4 = |cpus, memory| flows(LEAST_FLOWS4, FLOWS_PER_CPU, FLOW4, cpus, memory);
        assert_eq!(v4(1, GIB), LEAST_FLOWS4, "small machines have the least");
        assert_eq!(v4(4, 16 * GIB), LEAST_FLOWS4);
        assert_eq!(v4(16, 64 * GIB), 1_048_576);
        assert_eq!(v4(96, 4 * GIB), 524_288, "many CPUs, little memory");
        assert_eq!(v4(4, 0), LEAST_FLOWS4, "memory unknown");
        assert_eq!(
            flows(LEAST_FLOWS6, FLOWS_PER_CPU / 2, FLOW6, 16, 64 * GIB),
            524_288
        );
    }

    #[test]
    fn small_maps_have_more_than_the_cpus_keep() {
        assert_eq!(small(4), 16_384);
        assert_eq!(small(256), 131_072);
    }
}
