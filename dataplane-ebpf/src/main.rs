// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Shunt's kernel programs: the maps, and an entry point for each hook.
//!
//! `dataplane-common` decides what happens to a packet; this crate has only what needs the kernel's helpers.
//! Built for the host it is an empty program, so that `cargo check` and clippy cover the workspace.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// For `count.rs`: for this target, Rust has no stable way to the one atomic instruction all kernels have.
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(target_arch = "bpf", expect(internal_features, reason = "as above"))]

#[cfg(target_arch = "bpf")]
mod cgroup;
#[cfg(target_arch = "bpf")]
mod count;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod route;
#[cfg(target_arch = "bpf")]
mod skb;
#[cfg(target_arch = "bpf")]
mod tables;
#[cfg(target_arch = "bpf")]
mod tc;

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: nothing in the programs panics; the verifier refuses a program in which this is reached.
    unsafe { core::hint::unreachable_unchecked() }
}

/// For the GPL-only helpers; the source is under either licence.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
