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
    let mut maps = Vec::new();
    for entry in fs::read_dir(pins.maps())? {
        let path = entry?.path();
        let map = raw::open_pin(&path)?;
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd()))?;
        let line = info.lines().find_map(|line| line.strip_prefix("memlock:"));
        let bytes: f64 = line.context("no memlock of a map")?.trim().parse()?;
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        maps.push((name, bytes / 1_048_576.0));
    }
    maps.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let all = maps.iter().map(|(_, megabytes)| megabytes).sum();
    found.add("kernel memory of all maps", "MB", vec![all]);
    for (name, megabytes) in maps.into_iter().filter(|(_, megabytes)| *megabytes >= 1.0) {
        found.add(&format!("kernel memory of {name}"), "MB", vec![megabytes]);
    }
    Ok(())
}
