// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Transport protocols.

use core::fmt;

/// A transport protocol by its IANA number.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Protocol(pub u8);

impl Protocol {
    /// RFC 9293.
    pub const TCP: Self = Self(6);
    /// RFC 768.
    pub const UDP: Self = Self(17);
    /// RFC 9260.
    pub const SCTP: Self = Self(132);

    /// Whether its packets mark the beginning and the end of a flow (TCP, SCTP).
    #[inline(always)]
    pub(crate) const fn has_connections(self) -> bool {
        self.0 != Self::UDP.0
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TCP => f.write_str("TCP"),
            Self::UDP => f.write_str("UDP"),
            Self::SCTP => f.write_str("SCTP"),
            Self(number) => write!(f, "protocol {number}"),
        }
    }
}
