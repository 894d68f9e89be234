// SPDX-License-Identifier: MIT OR Apache-2.0
//! The case table: packets in, packets out, and why. Every case runs in both families, through the host build and
//! through the kernel; the results must be the same bytes.
//!
//! The numbers in brackets are those of docs/conformance.md.

use std::net::SocketAddr;

use dataplane::model::{Family, Protocol};
use dataplane_common::{Hook, Outcome};

use crate::packet::{Packet, describe};
use crate::setup::{At, Names, Setup};

mod affinity;
mod clusterip;
mod collisions;
mod conversation;
mod errors;
mod forged;
mod fragments;
mod frontends;
mod hairpin;
mod headers;
mod lifetime;
mod masquerade;
mod refused;
mod sctp;
mod sources;
mod untouched;

/// The two datapaths: the host build of the decisions, and the kernel.
pub trait Datapath {
    /// Makes the tables hold this setup; flows stay.
    fn set(&mut self, setup: &Setup);
    /// Makes flows this much older.
    fn age(&mut self, seconds: u64);
    /// Sends a packet through a hook; gives its outcome and its bytes afterwards.
    fn run(&mut self, at: At, packet: &[u8]) -> (Outcome, Vec<u8>);
    /// Evicts the flow entry with this tuple, as the kernel does when the table is full.
    fn evict(&mut self, hook: Hook, protocol: Protocol, src: SocketAddr, dst: SocketAddr);
    /// How many flow entries there are.
    fn flows(&mut self) -> usize;
}

pub struct Case {
    pub name: &'static str,
    pub steps: Vec<Step>,
}

impl Case {
    /// The time that it lets pass all in all, in seconds.
    pub fn duration(&self) -> u64 {
        let ages = self.steps.iter().map(|step| match step {
            Step::Age(seconds) => *seconds,
            _ => 0,
        });
        ages.sum()
    }
}

pub enum Step {
    Setup(Setup),
    Age(u64),
    Send {
        at: At,
        packet: Vec<u8>,
        outcome: Outcome,
        out: Out,
    },
    /// So many flow entries are in the table.
    Flows(usize),
    /// The entry with this tuple is evicted.
    Evict(Hook, Protocol, SocketAddr, SocketAddr),
}

/// The expected bytes of a packet afterwards.
pub enum Out {
    /// The same bytes as before.
    Untouched,
    /// Exactly this.
    Packet(Vec<u8>),
    /// One of these.
    OneOf(Vec<Vec<u8>>),
    /// The packet is dropped, so its bytes do not matter.
    Dropped,
}

/// A packet, and its expected outcome and bytes.
pub fn send(at: At, packet: &Packet, outcome: Outcome, out: Out) -> Step {
    Step::Send {
        at,
        packet: packet.bytes(),
        outcome,
        out,
    }
}

/// A frame, and its expected outcome and bytes.
pub fn raw(at: At, packet: Vec<u8>, outcome: Outcome, out: Out) -> Step {
    Step::Send {
        at,
        packet,
        outcome,
        out,
    }
}

/// A packet that leaves between other ends, with sound checksums, and otherwise as it came.
pub fn becomes(at: At, packet: &Packet, outcome: Outcome, src: SocketAddr, dst: SocketAddr) -> Step {
    send(at, packet, outcome, Out::Packet(packet.between(src, dst).bytes()))
}

/// A packet that passes as it came.
pub fn passes(at: At, packet: &Packet, outcome: Outcome) -> Step {
    send(at, packet, outcome, Out::Untouched)
}

/// A packet that is dropped.
pub fn dropped(at: At, packet: &Packet, outcome: Outcome) -> Step {
    send(at, packet, outcome, Out::Dropped)
}

/// A packet that is answered "port unreachable".
pub fn refused(at: At, packet: &Packet, outcome: Outcome) -> Step {
    send(at, packet, outcome, Out::Packet(packet.unreachable()))
}

/// All cases of a family.
pub fn all(family: Family) -> Vec<Case> {
    let names = Names { family };
    [
        affinity::cases,
        clusterip::cases,
        collisions::cases,
        errors::cases,
        forged::cases,
        fragments::cases,
        frontends::cases,
        hairpin::cases,
        headers::cases,
        lifetime::cases,
        masquerade::cases,
        sctp::cases,
        refused::cases,
        sources::cases,
        untouched::cases,
    ]
    .into_iter()
    .flat_map(|cases| cases(names))
    .collect()
}

/// The outcomes and packets of a case on one datapath, step by step, to compare datapaths.
pub fn play(case: &Case, datapath: &mut dyn Datapath) -> Vec<(Outcome, Vec<u8>)> {
    let mut seen = Vec::new();
    for (number, step) in case.steps.iter().enumerate() {
        match step {
            Step::Setup(setup) => datapath.set(setup),
            Step::Age(seconds) => datapath.age(*seconds),
            Step::Evict(hook, protocol, src, dst) => datapath.evict(*hook, *protocol, *src, *dst),
            Step::Flows(expected) => {
                assert_eq!(
                    datapath.flows(),
                    *expected,
                    "{}, step {number}: flow entries",
                    case.name
                );
            }
            Step::Send {
                at,
                packet,
                outcome,
                out,
            } => {
                let (got, bytes) = datapath.run(*at, packet);
                let context = || {
                    format!(
                        "{}, step {number}, {at:?}\n   in: {}\n  out: {} ({got:?})",
                        case.name,
                        describe(packet),
                        describe(&bytes)
                    )
                };
                assert_eq!(got, *outcome, "{}", context());
                match out {
                    Out::Dropped => {}
                    Out::Untouched => assert_eq!(bytes, *packet, "{}\n want: untouched", context()),
                    Out::Packet(want) => assert_eq!(bytes, *want, "{}\n want: {}", context(), describe(want)),
                    Out::OneOf(wants) => assert!(wants.contains(&bytes), "{}", context()),
                }
                // Which one of several depends on the time.
                let bytes = match out {
                    Out::OneOf(_) => Vec::new(),
                    _ => bytes,
                };
                seen.push((got, bytes));
            }
        }
    }
    seen
}
