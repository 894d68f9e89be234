// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A counter that processes and packets of one CPU share.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

/// Adds one in one instruction: a process may be interrupted, by a packet that counts too, between
/// any two.
///
/// # Safety
/// `counter` must be valid for reads and writes, and aligned.
#[inline(always)]
pub(crate) unsafe fn count_one(counter: *mut u64) {
    // SAFETY: by the contract of this function. The result is not used: with it, this would be an
    // instruction that only newer kernels and compilers know.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, 1) };
}
