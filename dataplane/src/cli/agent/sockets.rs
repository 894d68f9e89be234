// SPDX-License-Identifier: MIT OR Apache-2.0
//! The flags for the node's own processes.

use anyhow::Context as _;
use dataplane_common::Config;

use crate::cli::args::CgroupArgs;
use crate::kernel::{Pins, Programs, detach_sockets, netns_cookie};
use crate::sockets::{CgroupRoot, SocketLb};

#[derive(Debug, clap::Args)]
pub(super) struct SocketArgs {
    /// Processes whose connections to Services are translated at the socket
    #[arg(long, value_enum, default_value_t)]
    socket_lb: SocketLb,
    #[command(flatten)]
    cgroup: CgroupArgs,
}

impl SocketArgs {
    pub(super) fn is_on(&self) -> bool {
        self.socket_lb != SocketLb::Off
    }

    /// Bits of [`Config::flags`].
    pub(super) fn flags(&self) -> u32 {
        match self.socket_lb {
            SocketLb::Pods => Config::POD_SOCKETS,
            SocketLb::Host | SocketLb::Off => 0,
        }
    }

    /// [`Config::netns`].
    pub(super) fn netns(&self) -> anyhow::Result<u64> {
        match self.is_on() {
            true => netns_cookie().context(
                "cannot distinguish this network namespace's sockets from others: SO_NETNS_COOKIE needs Linux 5.14: \
                 start with --socket-lb=off",
            ),
            false => Ok(0),
        }
    }

    /// Attaches to the socket calls of the node's processes, or detaches from them.
    pub(super) fn serve(&self, programs: &mut Programs, pins: &Pins) -> anyhow::Result<()> {
        if !self.is_on() {
            detach_sockets(pins)?;
            return Ok(());
        }
        let root = CgroupRoot::find(self.cgroup.cgroup_root.as_deref())
            .context("cannot serve the node's own processes (--socket-lb=off starts without them)")?;
        if root.is_doubtful() {
            tracing::info!(
                cgroup = %root,
                "unless this container is a node itself, mount the node's /sys/fs/cgroup into it"
            );
        }
        programs.attach_sockets(&root.path)?;
        tracing::info!(cgroup = %root, mode = ?self.socket_lb, "serving socket calls");
        Ok(())
    }
}
