// SPDX-License-Identifier: MIT OR Apache-2.0
//! Netfilter's timeouts, with kube-proxy's names and defaults.

use crate::conntrack::Timeouts;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct ConntrackArgs {
    /// Seconds that netfilter, where it tracks connections, waits for an answer after the client has closed its half; 0
    /// leaves the setting as it is
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    conntrack_tcp_timeout_close_wait: u64,
    /// The same for a connection that is open and idle
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    conntrack_tcp_timeout_established: u64,
}

impl ConntrackArgs {
    pub(super) fn timeouts(&self) -> Timeouts {
        Timeouts {
            close_wait: self.conntrack_tcp_timeout_close_wait,
            established: self.conntrack_tcp_timeout_established,
        }
    }
}
