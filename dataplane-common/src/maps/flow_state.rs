// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! What a flow has seen and what it is, and how long it lives by that. Part of the maps `flows4`, `flows6`,
//! `opening4` and `opening6`: a change here raises `MAP_ABI`.

use crate::value::protocol::Protocol;
use crate::value::tick::ticks;

/// What a flow has seen, and what its entry is: a set of bits.
///
/// No packet sets or clears a bit of a live flow but by a proof that only the flow's two ends can give (rule 3 in
/// docs/architecture.md). `flow/tcp.rs` judges the proofs.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct State(pub u32);

impl State {
    /// The backend has answered. TCP: with a SYN-ACK or RST-ACK that acknowledges this flow's SYN. UDP: with anything.
    pub const REPLIED: Self = Self(1);
    /// The backend has acknowledged the client's FIN.
    pub const FIN_CLIENT: Self = Self(1 << 1);
    /// The client has acknowledged the backend's FIN.
    pub const FIN_BACKEND: Self = Self(1 << 2);
    /// The last segment was a RST whose number its receiver may have accepted. Any later segment takes it back.
    pub const RESET: Self = Self(1 << 3);
    /// A segment that is no answer came on the reply's tuple while an answer was awaited: a connection made past the
    /// Service has this tuple. The next SYN takes another port.
    pub const CONTESTED: Self = Self(1 << 4);
    /// This entry matches what the backend sends; without it, what the client sends.
    pub const REPLY: Self = Self(1 << 5);
    /// The flow leaves the node, or comes back to its own client, and needs a source address that the reply finds its
    /// way back to: there is a second pair of entries (see `flow/masquerade.rs`).
    pub const MASQUERADE: Self = Self(1 << 6);
    /// Both ends have proved that they take part. TCP: the client has acknowledged the backend's SYN-ACK. UDP: packets
    /// went both ways for more than two seconds. Confirmed flows are in the maps `flows4` and `flows6`, where no
    /// number of others can push them out.
    pub const CONFIRMED: Self = Self(1 << 7);
    /// The other end has sent a FIN. It counts once a packet of this entry acknowledges it (`FlowValue::fin`).
    pub const FIN_SEEN: Self = Self(1 << 8);
    /// A SYN with another number came on this tuple (`FlowValue::candidate`). The backend may yet accept it.
    pub const CANDIDATE: Self = Self(1 << 9);
    /// The flow began with a segment in the middle of a connection, because its entries were lost. Only an answer that
    /// fits that segment's numbers confirms it.
    pub const MIDWAY: Self = Self(1 << 10);
    /// Nobody's flow: packets of this tuple answer what the node, or a pod behind the CNI's masquerade, has sent. They
    /// are left alone, although their destination is a frontend.
    pub const FOREIGN: Self = Self(1 << 11);
    /// A masquerade that has no address and port yet: the next packet at egress claims them. Until then
    /// `FlowValue::port` is the port that it must not be; 0 for none.
    pub const PENDING: Self = Self(1 << 12);
    /// A flow to no Service, that was moved to another source port because a Service flow has its tuple.
    pub const PLAIN: Self = Self(1 << 13);

    const CLOSED_BOTH: Self = Self(Self::FIN_CLIENT.0 | Self::FIN_BACKEND.0);
    /// What a flow has seen, as opposed to what its entry is.
    const EVENTS: Self = Self(
        Self::REPLIED.0
            | Self::CLOSED_BOTH.0
            | Self::RESET.0
            | Self::CONTESTED.0
            | Self::CONFIRMED.0
            | Self::CANDIDATE.0
            | Self::MIDWAY.0,
    );
    /// While one of these is set, each segment may prove something.
    const OPEN_QUESTIONS: Self = Self(Self::RESET.0 | Self::FIN_SEEN.0 | Self::CANDIDATE.0);

    /// These bits and those.
    #[inline(always)]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These bits without those.
    #[inline(always)]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other`'s bits are set.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The same kind of flow with nothing seen yet.
    #[inline(always)]
    pub const fn afresh(self) -> Self {
        self.without(Self::EVENTS).without(Self::FIN_SEEN)
    }

    /// The state of the other entry of the pair.
    #[inline(always)]
    pub const fn of_partner(self) -> Self {
        Self(self.0 ^ Self::REPLY.0).without(Self::FIN_SEEN)
    }

    /// What has been seen, without what the entry is: what the partner entry must learn.
    #[inline(always)]
    pub const fn events(self) -> Self {
        Self(self.0 & Self::EVENTS.0)
    }

    /// The connection is over: a new SYN on this tuple is a new connection.
    #[inline(always)]
    pub const fn is_closed(self) -> bool {
        self.has(Self::CLOSED_BOTH) || self.has(Self::RESET)
    }

    /// Whether each segment has to be looked at, and not only those that open, close or break a connection.
    #[inline(always)]
    pub const fn has_open_questions(self) -> bool {
        !self.has(Self::CONFIRMED) || self.0 & Self::OPEN_QUESTIONS.0 != 0
    }

    /// Whether the entry is in the maps `flows4` and `flows6`, and not in `opening4` or `opening6`.
    #[inline(always)]
    pub const fn is_kept(self) -> bool {
        self.0 & (Self::CONFIRMED.0 | Self::PLAIN.0) != 0
    }

    /// Ticks without a packet after which the flow is over.
    ///
    /// TCP's, which are SCTP's too, are netfilter's with kube-proxy's changes (docs/contract.md, section 7):
    /// established 24 h, half closed 1 h. UDP's are netfilter's: 30 s, and 180 s for a stream, which a question and its answer are not.
    #[inline(always)]
    pub const fn timeout(self, protocol: Protocol) -> u32 {
        if !protocol.has_connections() {
            return if self.has(Self::CONFIRMED) {
                UDP_STREAM
            } else {
                UDP
            };
        }
        if self.has(Self::RESET) {
            TCP_RESET
        } else if !self.has(Self::CONFIRMED) {
            if self.has(Self::MIDWAY) {
                TCP_MIDWAY
            } else {
                TCP_OPENING
            }
        } else if self.has(Self::CLOSED_BOTH) {
            TCP_CLOSED
        } else if self.0 & Self::CLOSED_BOTH.0 != 0 {
            TCP_HALF_CLOSED
        } else {
            TCP_ESTABLISHED
        }
    }
}

const TCP_OPENING: u32 = ticks(60);
const TCP_MIDWAY: u32 = ticks(300);
const TCP_ESTABLISHED: u32 = ticks(24 * 3600);
const TCP_HALF_CLOSED: u32 = ticks(3600);
const TCP_CLOSED: u32 = ticks(60);
const TCP_RESET: u32 = ticks(10);
const UDP: u32 = ticks(30);
const UDP_STREAM: u32 = ticks(180);

#[cfg(test)]
mod tests {
    use super::*;

    const ESTABLISHED: State = State(State::REPLIED.0 | State::CONFIRMED.0);

    #[test]
    fn a_flow_lives_longer_the_more_its_ends_have_proved() {
        let tcp = |state: State| state.timeout(Protocol::TCP);
        assert!(tcp(ESTABLISHED.with(State::RESET)) < tcp(State::default()));
        assert!(tcp(State::REPLIED) < tcp(State::MIDWAY));
        assert!(tcp(State::MIDWAY) < tcp(ESTABLISHED.with(State::FIN_CLIENT)));
        assert!(tcp(ESTABLISHED.with(State::CLOSED_BOTH)) < tcp(ESTABLISHED.with(State::FIN_CLIENT)));
        assert!(tcp(ESTABLISHED.with(State::FIN_BACKEND)) < tcp(ESTABLISHED));
    }

    #[test]
    fn a_half_open_connection_is_not_established() {
        assert_eq!(
            State::REPLIED.timeout(Protocol::TCP),
            State::default().timeout(Protocol::TCP)
        );
    }

    #[test]
    fn one_question_and_its_answer_are_no_stream() {
        let udp = |state: State| state.timeout(Protocol::UDP);
        assert_eq!(udp(State::REPLIED), udp(State::default()));
        assert!(udp(State::REPLIED) < udp(ESTABLISHED));
    }

    #[test]
    fn one_fin_does_not_close_a_connection() {
        assert!(!State::FIN_CLIENT.is_closed());
        assert!(State::FIN_CLIENT.with(State::FIN_BACKEND).is_closed());
        assert!(State::RESET.is_closed());
    }
}
