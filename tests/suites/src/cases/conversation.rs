// SPDX-License-Identifier: MIT OR Apache-2.0
//! A conversation: the packets between a client, the frontend it calls and the pod that answers, and the expected
//! translation of each.

use std::net::SocketAddr;

use dataplane_common::Outcome;

use super::{Step, becomes};
use crate::packet::{Packet, tcp};
use crate::setup::At;

#[derive(Clone, Copy)]
pub(super) struct Conversation {
    pub(super) client: SocketAddr,
    /// A VIP, or another frontend.
    pub(super) called: SocketAddr,
    pub(super) pod: SocketAddr,
    /// The hooks that the client's packets and their answers pass.
    pub(super) hooks: (At, At),
}

impl Conversation {
    pub(super) fn of_pod(client: SocketAddr, called: SocketAddr, pod: SocketAddr) -> Self {
        Self {
            client,
            called,
            pod,
            hooks: (At::PodIngress, At::PodEgress),
        }
    }

    pub(super) fn from_outside(client: SocketAddr, called: SocketAddr, pod: SocketAddr) -> Self {
        Self {
            hooks: (At::UplinkIngress, At::UplinkEgress),
            ..Self::of_pod(client, called, pod)
        }
    }

    /// The first packet of a flow to the pod.
    pub(super) fn opens(&self, packet: impl Fn(SocketAddr, SocketAddr) -> Packet) -> Step {
        self.asks(packet, Outcome::NewFlow)
    }

    /// The client sends a packet, which is translated to the pod.
    pub(super) fn asks(&self, packet: impl Fn(SocketAddr, SocketAddr) -> Packet, outcome: Outcome) -> Step {
        let (client, pod) = (self.client, self.pod);
        becomes(self.hooks.0, &packet(client, self.called), outcome, client, pod)
    }

    /// The pod answers; the answer is translated to come from the frontend.
    pub(super) fn is_answered(&self, packet: impl Fn(SocketAddr, SocketAddr) -> Packet) -> Step {
        let (client, called) = (self.client, self.called);
        let answer = packet(self.pod, client);
        becomes(self.hooks.1, &answer, Outcome::Translated, called, client)
    }

    /// A packet on its way to the pod leaves with this address of the node as its source.
    pub(super) fn leaves_as(
        &self,
        node: SocketAddr,
        packet: impl Fn(SocketAddr, SocketAddr) -> Packet,
        outcome: Outcome,
    ) -> Step {
        let (client, pod) = (self.client, self.pod);
        becomes(self.hooks.1, &packet(client, pod), outcome, node, pod)
    }

    /// The pod's answer to that address is translated to the client.
    pub(super) fn comes_back_to(
        &self,
        node: SocketAddr,
        packet: impl Fn(SocketAddr, SocketAddr) -> Packet,
    ) -> Step {
        let (client, pod) = (self.client, self.pod);
        let answer = packet(pod, node);
        becomes(self.hooks.0, &answer, Outcome::Translated, pod, client)
    }
}

pub(super) fn syn(src: SocketAddr, dst: SocketAddr) -> Packet {
    tcp("S", src, dst)
}

/// The answer to [`syn`].
pub(super) fn syn_ack(src: SocketAddr, dst: SocketAddr) -> Packet {
    tcp("SA", src, dst).numbers(9_000, 1_001)
}

/// The answer to [`syn_ack`].
pub(super) fn ack(src: SocketAddr, dst: SocketAddr) -> Packet {
    tcp("A", src, dst).numbers(1_001, 9_001)
}

/// The client's FIN after [`ack`].
pub(super) fn fin(src: SocketAddr, dst: SocketAddr) -> Packet {
    tcp("FA", src, dst).numbers(1_001, 9_001)
}

/// The pod's FIN, which acknowledges the client's.
pub(super) fn fin_back(src: SocketAddr, dst: SocketAddr) -> Packet {
    tcp("FA", src, dst).numbers(9_001, 1_002)
}

/// The client's last segment, which acknowledges the pod's FIN.
pub(super) fn last_ack(src: SocketAddr, dst: SocketAddr) -> Packet {
    tcp("A", src, dst).numbers(1_002, 9_002)
}

/// A RST of the client's after [`ack`].
pub(super) fn rst(src: SocketAddr, dst: SocketAddr) -> Packet {
    tcp("R", src, dst).numbers(1_001, 0)
}

/// A segment with these flags.
pub(super) fn flagged(flags: &'static str) -> impl Fn(SocketAddr, SocketAddr) -> Packet {
    move |src, dst| tcp(flags, src, dst)
}

/// A segment with these flags and numbers: of its first byte, and of the next one expected.
pub(super) fn numbered(flags: &'static str, seq: u32, ack: u32) -> impl Fn(SocketAddr, SocketAddr) -> Packet {
    move |src, dst| tcp(flags, src, dst).numbers(seq, ack)
}
