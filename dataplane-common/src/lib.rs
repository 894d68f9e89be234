// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The packet decisions, and the types of the maps that they read.
//!
//! This crate is built twice: into the kernel programs (`dataplane-ebpf`) and into everything that
//! runs on the host (the agent, which fills the maps, and the tests). All decisions are made here,
//! generic over the [`Packet`] they read and write, the [`Tables`] they consult and the [`Family`]
//! they speak, so that one table of cases can be run through the host build and through the
//! verified kernel program and must come out the same, bit for bit.
//!
//! Each folder uses only those below it:
//!
//! ```text
//! hooks/    a packet at a hook: ingress(), egress()      socket.rs   a process's call
//! flow/     the life of a flow: established, new, claimed, masqueraded, refused
//! lb/       which Service, which backend
//! tables/   what decisions ask besides the packet: the trait Tables, routes
//! packet/   bytes: the trait Packet, IP and transport headers, checksums by difference
//! maps/     the pinned maps, one file for each: a change there raises MAP_ABI
//! value/    addresses, ports, protocols, time
//! ```
//!
//! Beside them stand `outcome.rs`, every outcome with its verdict, which all may use, and `host/`, the
//! stand-ins for the kernel that tests use.
//!
//! A packet's way through the code:
//!
//! ```text
//! ingress() / egress()          [hooks/mod.rs]         one flow lookup per hook
//!   parse the headers           [packet/parse.rs]      -> FlowKey
//!   known flow?                 [flow/established.rs]  lifetime, repair -> rewrite
//!     SYN, FIN, RST             [flow/tcp.rs]
//!   else, at ingress            [flow/new_flow.rs]     a flow of its own, or none
//!     where the client is       [lb/source.rs]         pod or not, masquerade or not
//!     which Service, backend    [lb/select.rs]         address -> frontend -> set -> backend
//!                               [lb/affinity.rs]       ... or the one the client had
//!     a tuple for the replies   [flow/claim.rs]
//!     an address of the node    [flow/masquerade.rs]   claimed at egress
//!   write the new addresses     [packet/rewrite.rs]    checksums by difference
//!   past the host's stack       [hooks/fast_path.rs]   established flows, with --forwarding=direct
//!   or answer "unreachable"     [flow/reject.rs]
//!   a later part of a packet    [hooks/fragment.rs]    as the first part was rewritten
//!   an error about a flow       [hooks/icmp_error.rs]  itself, and the packet it quotes
//! -> Outcome -> Verdict         [outcome.rs]
//! ```
//!
//! The node's own processes are served before there is a packet, at their calls:
//!
//! ```text
//! connect() / send() / reverse()[socket.rs]            the same choice, remembered by the socket [maps/peers.rs]
//! ```
//!
//! A kernel program has 512 bytes of stack for all its calls together. The code for an established flow's
//! packet is inlined into one frame; what runs once per flow or per event is `inline(never)`
//! and has frames of its own, that exist only while it runs.
#![no_std]
// For the atomic instructions of `maps/flows.rs`, as in the kernel programs themselves.
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(target_arch = "bpf", expect(internal_features, reason = "as above"))]
#![warn(missing_docs)]

#[cfg(any(test, feature = "host"))]
extern crate std;

mod flow;
mod hooks;
#[cfg(any(test, feature = "host"))]
pub mod host;
mod lb;
mod maps;
mod outcome;
mod packet;
mod socket;
mod tables;
mod value;

pub use hooks::{egress, ingress};
pub use maps::addresses::AddressFlags;
pub use maps::affinity::{Affinity, AffinityKey};
pub use maps::answers::TokenBucket;
pub use maps::backends::{Backend, BackendId, BackendState, Choice};
pub use maps::config::Config;
pub use maps::devices::{Device, DeviceKind};
pub use maps::flow_state::State;
pub use maps::flows::{Entry, FlowKey, FlowValue};
pub use maps::fragments::{FragmentKey, FragmentValue};
pub use maps::frontends::{EmptyVerdict, FrontendKey, FrontendKind, FrontendValue};
pub use maps::networks::{Detect, Networks, Prefix, SERVICE_RANGES};
pub use maps::peers::{Asker, Peer, Peers};
pub use maps::ranges::RangeKey;
pub use maps::services::{ServiceId, ServiceName};
pub use maps::sets::{SET_CHUNK, SetChunk, SetId, SetKey, SetRef};
pub use maps::traffic::ServiceTraffic;
pub use outcome::{Outcome, Verdict};
pub use packet::headers::{Headers, Layout, Parsed};
pub use packet::ip::Ip;
pub use packet::{Addressee, ChecksumField, Fault, Mark, Packet};
pub use socket::{Remote, Socket, connect, receive, reverse, send};
pub use tables::route::{FibLookup, NextHop};
pub use tables::work::Work;
pub use tables::{Direction, Insert, InsertError, Tables};
pub use value::checksum::Checksum;
pub use value::family::{Family, V4, V6};
pub use value::hook::{Call, Hook};
pub use value::protocol::Protocol;
pub use value::tick::Tick;
pub use value::wire::{Addr4, Addr6, Port, Ports, Wire};

/// The layout version of every pinned map; part of the pin path (`…/v{MAP_ABI}/`).
///
/// Raise it when a key, a value or the meaning of a field changes: an agent never reads maps of
/// another version. `tests/suites/tests/layout.rs` fails when a layout changes and this number does not.
pub const MAP_ABI: u32 = 5;
