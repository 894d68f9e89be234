// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who forwards.

use std::fmt;

use crate::kube_proxy::Mode;
use crate::plan::Plan;
use crate::report::BASELINE;

/// A node's way to get packets to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contender {
    /// Straight to the backend's own address, on a node without any rules: the line that others are measured by.
    PlainRouting,
    /// The same, with netfilter's connection tracking at work.
    ConnectionTracking,
    /// The same without, but with a program at both hooks of every device, as Shunt has one: that does nothing.
    EmptyPrograms,
    /// To a VIP, by Shunt: through the node's stack, or past it.
    Shunt { services: u32, direct: bool },
    /// To a VIP, by kube-proxy.
    KubeProxy { mode: Mode, services: u32 },
}

impl Contender {
    /// All of them, each with each number of Services.
    pub(super) fn all(plan: &Plan) -> Vec<Self> {
        let sizes: &[u32] = if plan.quick { &[1_000] } else { &[1, 1_000, 10_000] };
        let mut all = vec![Self::PlainRouting, Self::ConnectionTracking, Self::EmptyPrograms];
        for direct in [false, true] {
            all.extend(sizes.iter().map(|services| Self::Shunt {
                services: *services,
                direct,
            }));
        }
        for mode in [Mode::Nftables, Mode::Iptables] {
            all.extend(sizes.iter().map(|services| Self::KubeProxy {
                mode,
                services: *services,
            }));
        }
        all.retain(|it| *it == Self::PlainRouting || Plan::names(&plan.only, &it.to_string()));
        all
    }

    /// Whether this machine has what it needs; if not, why.
    pub(super) fn available(self) -> Result<(), String> {
        match self {
            Self::PlainRouting | Self::EmptyPrograms | Self::Shunt { .. } => Ok(()),
            Self::ConnectionTracking => Mode::Nftables.available(),
            Self::KubeProxy { mode, .. } => mode.available(),
        }
    }

    /// Services beside the two that are talked to.
    pub(super) fn services(self) -> u32 {
        match self {
            Self::PlainRouting | Self::ConnectionTracking | Self::EmptyPrograms => 0,
            Self::Shunt { services, .. } | Self::KubeProxy { services, .. } => services,
        }
    }

    /// Whether clients dial a VIP.
    pub(super) fn has_vips(self) -> bool {
        self.services() != 0
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::PlainRouting => BASELINE.to_owned(),
            Self::ConnectionTracking => format!("{BASELINE}, conntrack"),
            Self::EmptyPrograms => format!("{BASELINE}, empty programs"),
            Self::Shunt { direct: false, .. } => "Shunt".to_owned(),
            Self::Shunt { direct: true, .. } => "Shunt direct".to_owned(),
            Self::KubeProxy { mode, .. } => format!("kube-proxy {mode}"),
        };
        match self.services() {
            0 => f.write_str(&name),
            1 => write!(f, "{name}, 1 Service"),
            many => write!(f, "{name}, {}k Services", many / 1000),
        }
    }
}
