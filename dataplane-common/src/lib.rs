// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! What happens to a packet, and the map types that say so.
//!
//! This crate is built twice: into the kernel programs (`dataplane-ebpf`) and into everything that
//! runs on the host (the agent, which fills the maps, and the tests). All decisions are made here,
//! generic over the [`Packet`] they read and write, the [`Tables`] they consult and the [`Family`]
//! they speak, so that one table of cases can be run through the host build and through the
//! verified kernel program and must come out the same, bit for bit.
//!
//! A packet's way through the code:
//!
//! ```text
//! ingress() / egress()          [steer.rs]       one flow lookup per hook
//!   parse the headers           [headers.rs]     -> FlowKey
//!   known flow?                 [established.rs] lifetime, TCP events, repair -> rewrite
//!   else, at ingress            [new_flow.rs]    a flow of its own, or none
//!     who asks                  [source.rs]      pod or not, masquerade or not
//!     which Service, backend    [select.rs]      address -> frontend -> set -> backend
//!                               [affinity.rs]    ... or the one the client had
//!     whose reply is whose      [reserve.rs]     the reply's tuple, claimed
//!   write the new addresses     [rewrite.rs]     checksums by difference
//!   past the host's stack       [shortcut.rs]    established flows, if the node is told so
//!   or answer "unreachable"     [reject.rs]
//!   a later part of a packet    [fragment.rs]    as the first part was rewritten
//!   an error about a flow       [icmp.rs]        itself, and the packet it quotes
//! -> Outcome -> Verdict         [outcome.rs]
//! ```
//!
//! The node's own processes are served before there is a packet, at their calls:
//!
//! ```text
//! connect() / send() / show()   [socket.rs]      the same choice, remembered by the socket [peers.rs]
//! ```
//!
//! A kernel program has 512 bytes of stack for all its calls together. What an established flow's
//! packet runs is inlined into one frame; what runs once per flow or per event is `inline(never)`
//! and has frames of its own, that are there only while it runs.
#![no_std]
#![warn(missing_docs)]

#[cfg(any(test, feature = "host"))]
extern crate std;

mod affinity;
mod checksum;
mod device;
mod established;
mod family;
mod flow;
mod fragment;
mod hash;
mod headers;
#[cfg(any(test, feature = "host"))]
pub mod host;
mod icmp;
mod masquerade;
mod networks;
mod new_flow;
mod outcome;
mod packet;
mod peers;
mod reject;
mod reserve;
mod rewrite;
mod sctp;
mod select;
mod service;
mod shortcut;
mod socket;
mod source;
mod state;
mod steer;
mod tables;
#[cfg(feature = "user")]
mod user;
mod wire;
mod work;

pub use checksum::Checksum;
pub use device::{Config, Device, DeviceKind};
pub use family::{Family, V4, V6};
pub use flow::{Entry, FlowKey, FlowValue, Hook};
pub use fragment::{FragmentKey, FragmentValue};
pub use headers::{Headers, Layout, Parsed, Protocol};
pub use networks::{Detect, Networks, Prefix, SERVICE_RANGES};
pub use outcome::{Outcome, Verdict};
pub use packet::{Fault, Field, Packet};
pub use peers::{Peer, Peers};
pub use reject::TokenBucket;
pub use service::{
    AddressFlags, Affinity, AffinityKey, Backend, BackendId, BackendState, Choice, EmptyVerdict, FrontendKey,
    FrontendKind, FrontendValue, RangeKey, SET_CHUNK, ServiceId, ServiceName, ServiceTraffic, SetChunk,
    SetId, SetKey, SetRef,
};
pub use shortcut::{NextHop, Question};
pub use socket::{Call, Socket, connect, send, show};
pub use state::{State, Tick};
pub use steer::{egress, ingress};
pub use tables::{Direction, Insert, InsertError, Tables};
pub use wire::{Addr4, Addr6, Port, Ports, Wire};
pub use work::Work;

/// The layout version of every pinned map; part of the pin path (`…/v{MAP_ABI}/`).
///
/// Raise it when a key, a value or the meaning of a field changes: an agent never reads maps of
/// another version. `tests/layout.rs` fails when a layout changes and this number does not.
pub const MAP_ABI: u32 = 4;
