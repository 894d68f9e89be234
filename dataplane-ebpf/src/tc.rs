// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The entry points: a hook, and whether the device's packets begin with an Ethernet header.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{TC_ACT_REDIRECT, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::helpers::bpf_redirect;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use dataplane_common::{Hook, Outcome, V4, V6, Verdict};

use crate::maps::{OUTCOMES, Stored};
use crate::skb::Skb;
use crate::tables::KernelTables;

/// Length of an Ethernet header. The kernel keeps the outermost VLAN tag outside the packet.
const ETHERNET: usize = 14;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// A tag inside the packet, behind the one outside: its device is met later at ingress, and was met before at egress.
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;

#[classifier]
pub(crate) fn ingress(ctx: TcContext) -> i32 {
    enter::<ETHERNET>(ctx, Hook::Ingress)
}

#[classifier]
pub(crate) fn egress(ctx: TcContext) -> i32 {
    enter::<ETHERNET>(ctx, Hook::Egress)
}

#[classifier]
pub(crate) fn ingress_l3(ctx: TcContext) -> i32 {
    enter::<0>(ctx, Hook::Ingress)
}

#[classifier]
pub(crate) fn egress_l3(ctx: TcContext) -> i32 {
    enter::<0>(ctx, Hook::Egress)
}

/// The packet's way: steered by family, counted, and its outcome turned into the kernel's action.
#[inline(always)]
fn enter<const L3: usize>(ctx: TcContext, hook: Hook) -> i32 {
    let skb = Skb::<L3>::new(ctx.as_ptr().cast());
    let skb = skb.linear();
    let outcome = match (skb.ethertype(), hook) {
        (ETHERTYPE_IPV4, Hook::Ingress) => ingress_of::<V4, L3>(skb),
        (ETHERTYPE_IPV4, Hook::Egress) => egress_of::<V4, L3>(skb),
        (ETHERTYPE_IPV6, Hook::Ingress) => ingress_of::<V6, L3>(skb),
        (ETHERTYPE_IPV6, Hook::Egress) => egress_of::<V6, L3>(skb),
        (ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN, _) => Outcome::NotForDevice,
        _ => Outcome::NotIp,
    };
    count(hook, outcome);
    match outcome.verdict() {
        Verdict::Next => TC_ACT_UNSPEC,
        Verdict::Handed => TC_ACT_REDIRECT,
        Verdict::Drop => TC_ACT_SHOT,
        // SAFETY: a helper without pointers.
        Verdict::Answer => unsafe { bpf_redirect(skb.ifindex(), 0) as i32 },
    }
}

/// A frame for each family: together they would not fit the stack.
#[inline(never)]
fn ingress_of<F: Stored, const L3: usize>(skb: Skb<L3>) -> Outcome {
    let (mut packet, tables) = (skb, KernelTables::new(skb.raw()));
    dataplane_common::ingress::<F, _, _>(&mut packet, &tables)
}

#[inline(never)]
fn egress_of<F: Stored, const L3: usize>(skb: Skb<L3>) -> Outcome {
    let (mut packet, tables) = (skb, KernelTables::new(skb.raw()));
    dataplane_common::egress::<F, _, _>(&mut packet, &tables)
}

#[inline(always)]
fn count(hook: Hook, outcome: Outcome) {
    if let Some(counter) = OUTCOMES.get_ptr_mut(hook as u32 * Outcome::COUNT + outcome as u32) {
        // SAFETY: this CPU's own counter, valid until the program ends.
        unsafe { *counter += 1 };
    }
}
