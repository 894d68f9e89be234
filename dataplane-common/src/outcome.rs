// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Every possible outcome for a packet, and what it means for the packet.

/// What the kernel does with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Goes on to whatever comes next: other programs on the hook, then the stack or the device.
    Next,
    /// Has been handed to a device.
    Handed,
    /// Goes no further.
    Drop,
    /// Has been made an answer to its sender: back out of the device it came in by.
    Answer,
}

macro_rules! outcomes {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal => $verdict:ident,)+) => {
        /// How a packet's way through a hook ended, or a call of a socket. Counted per hook and call;
        /// the same names in the kernel, in metrics, on the command line and in tests.
        #[repr(u32)]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Outcome {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Outcome {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// How many there are.
            pub const COUNT: u32 = Self::ALL.len() as u32;

            /// Its name in metrics and on the command line.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }

            /// What becomes of the packet.
            #[inline(always)]
            pub fn verdict(self) -> Verdict {
                match self { $(Self::$name => Verdict::$verdict,)+ }
            }
        }
    };
}

outcomes! {
    /// Neither IPv4 nor IPv6.
    NotIp = "not_ip" => Next,
    /// To no Service: left unchanged.
    NotOurs = "not_ours" => Next,
    /// Translated at ingress, and nothing to be written at egress: passed there without a look.
    EgressSkipped = "egress_skipped" => Next,
    /// A frame for another host, for many, or of a VLAN that a device of its own stands for: left as it came.
    NotForDevice = "not_for_device" => Next,
    /// To a Service, from an address that no single host has (multicast, broadcast, loopback, unspecified); or to be
    /// answered with "port unreachable", and from the very address it goes to. Left for the stack to drop.
    OddSource = "odd_source" => Next,
    /// Translated before by another ingress of this node, that of a device below this one (VLAN, macvlan) or before it.
    AlreadyTranslated = "already_translated" => Next,
    /// Headers cut short or at odds with each other; left for the stack to judge.
    Malformed = "malformed" => Next,
    /// To an address of this node, and the node's own: a ClusterIP that it owns, or a port where a socket of it
    /// waits for just that.
    OwnAddress = "own_address" => Next,
    /// A TCP segment of a connection older than Shunt, while taking over from kube-proxy.
    TakenOver = "taken_over" => Next,
    /// To a frontend at an address of this node, but an answer to what the node, or a pod behind the CNI's masquerade,
    /// has sent from that port: left alone.
    ForeignAnswer = "foreign_answer" => Next,
    /// On a reply's tuple while that reply is awaited, but no answer to it: another connection's.
    Contested = "contested" => Next,
    /// A packet to no Service whose tuple a finished Service flow still held; that flow was removed.
    StaleRemoved = "stale_removed" => Next,

    /// A call of a socket in another network namespace: a pod's, or another node's on this machine.
    OtherNamespace = "other_namespace" => Next,
    /// A call of a pod's socket that is better served by the pod's device, packet by packet.
    LeftToPackets = "left_to_packets" => Next,

    /// A UDP socket's `connect` to a Service that cannot be reached: it sends nothing, so it passes.
    ConnectPassed = "connect_passed" => Next,
    /// To an address and port of a Service that a datagram has come to this socket from: the answer to it.
    AnswerPassed = "answer_passed" => Next,

    /// A packet of a known flow, rewritten.
    Translated = "translated" => Next,
    /// A packet of a known flow, handed to the device it leaves by without the host's stack. On the way to a pod it was
    /// rewritten; else the device's egress does that, or ingress has.
    FastPath = "fast_path" => Handed,
    /// A flow's first packet, rewritten.
    NewFlow = "new_flow" => Next,
    /// A packet of a flow whose backend is gone, given to another backend.
    Resteered = "resteered" => Next,
    /// A SYN on the tuple of a finished connection: a new flow in its place.
    Reopened = "reopened" => Next,
    /// A RST of no known flow: rewritten as its flow's packets would be, and nothing is kept.
    ResetTranslated = "reset_translated" => Next,
    /// A flow's first packet, given another source port because two flows would have had one tuple.
    Moved = "moved" => Next,
    /// A packet of a flow to no Service, given another source port because a Service flow has its tuple.
    PlainMoved = "plain_moved" => Next,
    /// A flow's first packet at the device it leaves by: its masquerade port was claimed.
    Masqueraded = "masqueraded" => Next,

    /// A later part of a fragmented packet, rewritten as the first was.
    FragmentTranslated = "fragment_translated" => Next,
    /// An ICMP error about a packet of a known flow, rewritten with what it quotes.
    ErrorTranslated = "error_translated" => Next,

    /// The Service has no endpoint: answered with "port unreachable".
    RejectedNoEndpoint = "rejected_no_endpoint" => Answer,
    /// The VIP has no such port: answered with "port unreachable".
    RejectedUnknownPort = "rejected_unknown_port" => Answer,
    /// To a ClusterIP, with a protocol that no Service can have (an ICMP echo request, say): answered with
    /// "port unreachable".
    RejectedProtocol = "rejected_protocol" => Answer,
    /// To a ClusterIP, from outside, where the node refuses that: answered with "port unreachable".
    RejectedExternal = "rejected_external" => Answer,
    /// To be answered with "port unreachable", but there were too many of these just now.
    RejectLimited = "reject_limited" => Drop,
    /// To be answered with "port unreachable", but the answer could not be made.
    RejectFailed = "reject_failed" => Drop,
    /// Endpoints exist, but the traffic policy leaves none for this source.
    PolicyDropped = "policy_dropped" => Drop,
    /// To a load balancer's address, from outside the Service's source ranges.
    SourceDropped = "source_dropped" => Drop,
    /// About to leave the node, to an address that ClusterIPs come from and no Service has.
    UnallocatedDropped = "unallocated_dropped" => Drop,
    /// About to leave the node by an uplink, to a ClusterIP that has a Service, and of no flow: no program translated it.
    UntranslatedDropped = "untranslated_dropped" => Drop,
    /// ICMP to a ClusterIP that asks nothing and is about no known flow.
    StrayIcmp = "stray_icmp" => Drop,
    /// A later part of a fragmented packet to a VIP, whose first part has not come, or did not pass; or a first part too
    /// short for its ports.
    FragmentDropped = "fragment_dropped" => Drop,
    /// The flow table took no entry.
    FlowTableFull = "flow_table_full" => Drop,
    /// No free source port was found in the tries allowed.
    PortsExhausted = "ports_exhausted" => Drop,
    /// SCTP that would need another port, which its checksum does not allow.
    SctpPortChange = "sctp_port_change" => Drop,
    /// Of a masqueraded flow, whose entry is not there at egress: it would leave under the client's own address.
    MasqueradeLost = "masquerade_lost" => Drop,
    /// To be masqueraded, but the device has no address of this family.
    NoMasqueradeAddress = "no_masquerade_address" => Drop,
    /// A frontend named a set or a backend that is not there.
    BackendMissing = "backend_missing" => Drop,
    /// The kernel did not give the memory to work in: never seen.
    NoMemory = "no_memory" => Drop,
    /// The packet could not be written to.
    RewriteFailed = "rewrite_failed" => Drop,
}

impl Outcome {
    /// Whether a whole packet was rewritten as its flow's entry says.
    #[inline(always)]
    pub(crate) fn writes_flow(self) -> bool {
        matches!(
            self,
            Self::Translated
                | Self::NewFlow
                | Self::Resteered
                | Self::Reopened
                | Self::Moved
                | Self::PlainMoved
                | Self::Masqueraded
        )
    }
}

const ENOMEM: i32 = 12;
const ECONNREFUSED: i32 = 111;
const EHOSTUNREACH: i32 = 113;

impl Outcome {
    /// The error (`errno`) that the call fails with, if it does: "connection refused" where a client
    /// elsewhere would be answered "port unreachable", "no route to host" where its packets would
    /// be dropped.
    #[inline(always)]
    pub fn errno(self) -> Option<i32> {
        match (self.verdict(), self) {
            (Verdict::Next | Verdict::Handed, _) => None,
            (Verdict::Answer, _) => Some(ECONNREFUSED),
            (Verdict::Drop, Self::NoMemory) => Some(ENOMEM),
            (Verdict::Drop, _) => Some(EHOSTUNREACH),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions_and_names_are_unique() {
        for (position, outcome) in Outcome::ALL.iter().enumerate() {
            assert_eq!(*outcome as usize, position);
        }
        let names: std::collections::BTreeSet<_> = Outcome::ALL.iter().map(|o| o.as_str()).collect();
        assert_eq!(names.len(), Outcome::COUNT as usize);
    }
}
