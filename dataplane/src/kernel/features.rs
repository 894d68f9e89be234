// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the running kernel can do, judged by its version.

use std::fs;

use aya::util::KernelVersion;

/// Whether this kernel has TCX links.
pub(crate) fn has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0))
}

/// Whether a program may choose the error of a call that it refuses, since Linux 6.1 (commit
/// bed89185af0d): before, all refusals are "operation not permitted".
pub fn chooses_errors() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 1, 0))
}

/// Whether a program's route lookup tells the source that the kernel would take (6.7, commit dab4e1f06cab).
pub(super) fn tells_sources() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 7, 0))
}

/// Whether this kernel lets one packet's softirq preempt another's on the same CPU.
///
/// It must not: the programs keep the packet in hand in memory of the CPU (`dataplane_common::Work`). Softirqs are
/// preemptible on PREEMPT_RT kernels. A per-CPU lock keeps them apart up to Linux 6.17; from 6.18 on (commit
/// 3253cb49cbad) only with `CONFIG_PREEMPT_RT_NEEDS_BH_LOCK=y`. That option cannot be read here, so a kernel that has
/// it is reported as one without.
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
