// SPDX-License-Identifier: MIT OR Apache-2.0
//! How much the maps hold.

/// How many entries the maps have room for.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Sizes {
    /// Entries for flows over IPv4, of 112 bytes each; a flow takes two, a masqueraded one four
    #[arg(long, default_value_t = Self::default().max_flows4)]
    pub max_flows4: u32,
    /// Entries for flows over IPv6, of 144 bytes each
    #[arg(long, default_value_t = Self::default().max_flows6)]
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
    fn default() -> Self {
        Self {
            max_flows4: 262_144,
            max_flows6: 131_072,
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
}
