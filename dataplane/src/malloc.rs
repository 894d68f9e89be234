// SPDX-License-Identifier: MIT OR Apache-2.0
//! The allocator of the process.

/// Gives back to the kernel what was freed, after something large: glibc keeps it, unless it lies at the very end.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, may be called at any time, and touches only freed memory.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
