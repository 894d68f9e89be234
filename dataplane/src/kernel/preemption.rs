// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether this kernel lets one packet's softirq preempt another's on the same CPU.
//!
//! The programs keep what they know of a packet in memory of the CPU (`dataplane_common::work`), so it must not. On
//! PREEMPT_RT kernels softirqs are preemptible; a lock of the CPU's keeps them apart all the same, until Linux 6.18
//! (commit 3253cb49cbad), which has it only with `CONFIG_PREEMPT_RT_NEEDS_BH_LOCK=y`.

use std::fs;

use aya::util::KernelVersion;

/// Of this kernel. A kernel that was built with that option is not told from one without.
pub fn packets_may_preempt() -> bool {
    let build = fs::read_to_string("/proc/sys/kernel/version").unwrap_or_default();
    KernelVersion::current().is_ok_and(|version| may_preempt(version, &build))
}

/// `build` is what `uname -v` prints.
fn may_preempt(version: KernelVersion, build: &str) -> bool {
    let real_time = build.split_whitespace().any(|word| word == "PREEMPT_RT");
    real_time && version >= KernelVersion::new(6, 18, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_time_kernels_without_the_softirq_lock_are_known() {
        let real_time = "#1 SMP PREEMPT_RT Debian 6.1.172-1 (2026-05-15)";
        let dynamic = "#1 SMP PREEMPT_DYNAMIC @0";
        assert!(may_preempt(KernelVersion::new(6, 18, 0), real_time));
        assert!(!may_preempt(KernelVersion::new(6, 17, 9), real_time));
        assert!(!may_preempt(KernelVersion::new(6, 18, 44), dynamic));
    }
}
