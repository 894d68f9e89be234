// SPDX-License-Identifier: MIT OR Apache-2.0
//! The binary `shunt`.

use std::process::ExitCode;

use clap::Parser as _;
use dataplane::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
