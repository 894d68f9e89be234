// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a pod's device to the programs on it.

use std::time::{Duration, Instant};

use lab::{Lab, wait};

use super::Found;
use crate::plan::Plan;

/// From the moment that the device was asked for until both links of it are pinned.
pub(super) fn measure(plan: &Plan, lab: &Lab, found: &mut Found) -> anyhow::Result<()> {
    let node = lab.node(1);
    let mut times = Vec::new();
    for number in 0..if plan.quick { 5 } else { 20 } {
        let before = node.pins().len();
        // The namespace takes longer to make than the device; it is there first.
        let other = lab::Netns::create(&lab.folder().netns(), &format!("device-{number}"))?;
        let start = Instant::now();
        node.netns().join(&format!("bench{number}"), &other, "eth0")?;
        let made = start.elapsed();
        wait::until_within(
            Duration::from_secs(10),
            "programs on a new device",
            || match node.pins().len() {
                count if count >= before + 2 => Ok(()),
                count => Err(format!("{count} pins, {before} before")),
            },
        )?;
        times.push(start.elapsed().max(made).as_secs_f64() * 1e3);
    }
    found.add_latencies("a new pod's device until its programs are attached", "ms", times);
    Ok(())
}
