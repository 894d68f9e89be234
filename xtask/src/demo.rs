// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask demo`: builds the programs and runs the lab's own `demo`.

use clap::Args;

use crate::root::Root;
use crate::workspace::Workspace;
use crate::{build, command, setup};

#[derive(Args)]
pub(crate) struct Options {
    /// Leaves the nodes up and says how to enter them.
    #[arg(long)]
    keep: bool,
    /// Connects each node's pods by a bridge instead of routing between veths.
    #[arg(long)]
    bridge: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    setup::tools(workspace).require()?;
    let root = Root::interactive()?;
    let programs = build::run(workspace, build::Profile::Release)?;
    let mut demo = root.command(&programs.lab);
    demo.arg("demo").arg("--shunt").arg(&programs.shunt);
    demo.args(options.keep.then_some("--keep"))
        .args(options.bridge.then_some("--bridge"));
    command::show(&mut demo)
}
