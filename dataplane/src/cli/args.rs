// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments that several commands share.

use std::path::PathBuf;

use super::output::Format;

/// Whose pins to use.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RootArgs {
    /// Folder on a BPF file system that holds this node's maps and links
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/sys/fs/bpf/shunt",
        env = "SHUNT_BPF_ROOT"
    )]
    pub(super) bpf_root: PathBuf,
}

/// What to show, and how.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    pub(super) root: RootArgs,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: Format,
}

/// The node's cgroup.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CgroupArgs {
    /// The cgroup2 folder above all of the node's processes [default: the highest visible; `shunt check` shows it]
    #[arg(long, value_name = "DIR", env = "SHUNT_CGROUP_ROOT")]
    pub(super) cgroup_root: Option<PathBuf>,
}
