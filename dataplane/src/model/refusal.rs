// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why an object, or a part of one, is not served.

use std::fmt;
use std::net::IpAddr;

use super::{Family, FrontendKey, ObjectRef, Protocol, ServicePortName, Target};

/// One object and one reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    pub object: ObjectRef,
    pub reason: Reason,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.reason)
    }
}

/// The values are part of the reason: the operator reads them in the log and in `shunt status`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Reason {
    #[error("cannot read it: {0}")]
    Unreadable(String),
    #[error("{field} {value:?} is not a DNS label")]
    Name { field: &'static str, value: String },
    #[error("{field} {value:?} is not an IP address")]
    Address { field: &'static str, value: String },
    #[error("{field} {addr} is {what}: no Service can have such an address")]
    SpecialAddress {
        field: &'static str,
        addr: IpAddr,
        what: &'static str,
    },
    #[error("address {addr} in a slice of IP{family} addresses")]
    FamilyMismatch { addr: IpAddr, family: Family },
    #[error("{field} {value} is not a port (1-65535)")]
    Port { field: &'static str, value: i64 },
    #[error("{field} {value:?} is not known to this version of Shunt")]
    Unknown { field: &'static str, value: String },
    #[error(
        "{key}: an SCTP endpoint listens on {target}: Shunt does not rewrite SCTP ports: use the same port for both"
    )]
    SctpPorts { key: FrontendKey, target: Target },
    #[error("{field} {value:?} is not an address range: it admits no client")]
    Range { field: &'static str, value: String },
    #[error("{field}: {count} address ranges: only the first {limit} are used")]
    TooManyRanges {
        field: &'static str,
        count: usize,
        limit: usize,
    },
    #[error("port {port:?} {protocol} appears twice: the first one is used")]
    DuplicatePort { port: String, protocol: Protocol },
    #[error("{key} belongs to {holder}, which is older")]
    Claimed {
        key: FrontendKey,
        holder: ServicePortName,
    },
    #[error("{endpoints} IP{family} endpoints for port {port:?}: only the first {limit} are used")]
    TooManyEndpoints {
        port: String,
        family: Family,
        endpoints: usize,
        limit: usize,
    },
    #[error("{object} is also defined in {winner}, which is used")]
    DefinedTwice { object: String, winner: String },
    #[error("and {0} more reasons like these")]
    More(usize),
}
