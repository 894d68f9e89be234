// SPDX-License-Identifier: MIT OR Apache-2.0
//! The demo.
#[derive(Debug, clap::Args)]
pub struct Options {}
pub fn run(_: &Options) -> crate::Result<()> {
    Ok(())
}
