// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! How long a flow lives: what it has seen, and the time since it was last used.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

use crate::value::protocol::Protocol;
use crate::value::tick::ticks;

/// The events of a flow and its kind: a set of bits that only ever grows in a flow's life.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct State(pub u32);

impl State {
    /// The backend has answered; for TCP, with a SYN-ACK that acknowledged this flow's own SYN.
    pub const REPLIED: Self = Self(1);
    /// The client has sent its FIN.
    pub const FIN_CLIENT: Self = Self(1 << 1);
    /// The backend has sent its FIN.
    pub const FIN_BACKEND: Self = Self(1 << 2);
    /// Either side has sent a RST.
    pub const RESET: Self = Self(1 << 3);
    /// Something that is not an answer came on the reply's tuple while an answer was awaited:
    /// another connection, made past the Service, has this tuple. The next SYN takes another port.
    pub const CONTESTED: Self = Self(1 << 4);
    /// This entry matches what the backend sends; without it, what the client sends.
    pub const REPLY: Self = Self(1 << 5);
    /// The flow leaves the node, or comes back to its own client, and needs a source address that
    /// the reply finds its way back to: there is a second pair of entries (see `flow/masquerade.rs`).
    pub const MASQUERADE: Self = Self(1 << 6);

    const CLOSED_BOTH: Self = Self(Self::FIN_CLIENT.0 | Self::FIN_BACKEND.0);
    /// What a flow has seen, as opposed to what it is.
    const EVENTS: Self = Self(Self::REPLIED.0 | Self::CLOSED_BOTH.0 | Self::RESET.0 | Self::CONTESTED.0);

    /// These bits and those.
    #[inline(always)]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other`'s bits are set.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The same kind of flow with nothing seen yet.
    #[inline(always)]
    pub const fn afresh(self) -> Self {
        Self(self.0 & !Self::EVENTS.0)
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

    /// Ticks without a packet after which the flow is over.
    ///
    /// TCP's, which are SCTP's too, are netfilter's with kube-proxy's changes (docs/contract.md, section 7):
    /// established 24 h, half closed 1 h. A RST only shortens the wait, so that a spurious or forged one cuts nothing: the
    /// connection's next segment keeps the flow alive.
    #[inline(always)]
    pub const fn timeout(self, protocol: Protocol) -> u32 {
        if !protocol.has_connections() {
            return if self.has(Self::REPLIED) { UDP_STREAM } else { UDP };
        }
        if self.has(Self::RESET) {
            TCP_RESET
        } else if self.has(Self::CLOSED_BOTH) {
            TCP_CLOSED
        } else if self.0 & Self::CLOSED_BOTH.0 != 0 {
            TCP_HALF_CLOSED
        } else if self.has(Self::REPLIED) {
            TCP_ESTABLISHED
        } else {
            TCP_OPENING
        }
    }
}

const TCP_OPENING: u32 = ticks(60);
const TCP_ESTABLISHED: u32 = ticks(24 * 3600);
const TCP_HALF_CLOSED: u32 = ticks(3600);
const TCP_CLOSED: u32 = ticks(60);
const TCP_RESET: u32 = ticks(10);
const UDP: u32 = ticks(30);
const UDP_STREAM: u32 = ticks(180);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_lives_longer_the_more_certain_it_is_to_go_on() {
        let tcp = |bits| State(bits).timeout(Protocol::TCP);
        assert!(tcp(State::RESET.0 | State::REPLIED.0) < tcp(0));
        assert!(tcp(State::CLOSED_BOTH.0) < tcp(State::FIN_CLIENT.0));
        assert!(tcp(State::FIN_BACKEND.0) < tcp(State::REPLIED.0));
        assert!(State::default().timeout(Protocol::UDP) < State::REPLIED.timeout(Protocol::UDP));
    }

    #[test]
    fn one_fin_does_not_close_a_connection() {
        assert!(!State::FIN_CLIENT.is_closed());
        assert!(State::FIN_CLIENT.with(State::FIN_BACKEND).is_closed());
        assert!(State::RESET.is_closed());
    }
}
