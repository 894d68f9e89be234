// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel holds for Shunt's maps.

use std::fs;
use std::os::fd::AsRawFd as _;

use anyhow::Context as _;
use dataplane::kernel::Pins;
use lab::Lab;

use super::Found;
use crate::raw;

/// The sum of what the kernel itself says each map takes, prealloc and entries.
pub(super) fn measure(lab: &Lab, found: &mut Found) -> anyhow::Result<()> {
    let pins = Pins::new(lab.node(1).bpf_root());
    let mut bytes = 0.0;
    for entry in fs::read_dir(pins.maps())? {
        let map = raw::open_pin(&entry?.path())?;
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd()))?;
        let line = info.lines().find_map(|line| line.strip_prefix("memlock:"));
        bytes += line.context("no memlock of a map")?.trim().parse::<f64>()?;
    }
    found.add("kernel memory of the maps", "MB", vec![bytes / 1_048_576.0]);
    Ok(())
}
