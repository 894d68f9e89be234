// SPDX-License-Identifier: MIT OR Apache-2.0
//! The case table: packets in, packets out, and why. Every case is run in both families, through
//! the host build and through the kernel, and must come out the same to the bit.
//!
//! The numbers in brackets are those of the checklist the cases are taken from (docs/conformance.md).

use std::net::SocketAddr;

use dataplane::model::{Family, Protocol};
use dataplane_common::{Hook, Outcome};

use crate::packet::{Packet, describe};
use crate::world::{At, Names, World};

mod affinity;
mod clusterip;
mod collisions;
mod errors;
mod fragments;
mod frontends;
mod hairpin;
mod headers;
mod lifetime;
mod masquerade;
mod refused;
mod sctp;
mod sources;
mod talk;
mod untouched;

/// One of the two machines.
pub trait Machine {
    /// Makes the tables hold this world; flows stay.
    fn set(&mut self, world: &World);
    /// Lets flows grow older.
    fn age(&mut self, seconds: u64);
    /// Meets a packet: how it ended, and what became of it.
    fn run(&mut self, at: At, packet: &[u8]) -> (Outcome, Vec<u8>);
    /// Takes away a flow's entry with this tuple, as the kernel does when the table is full.
    fn lose(&mut self, hook: Hook, protocol: Protocol, src: SocketAddr, dst: SocketAddr);
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
    World(World),
    Age(u64),
    Meet {
        at: At,
        packet: Vec<u8>,
        outcome: Outcome,
        out: Out,
    },
    /// So many flow entries are in the table.
    Flows(usize),
    /// The table loses the entry with this tuple.
    Lose(Hook, Protocol, SocketAddr, SocketAddr),
}

/// What becomes of a packet.
pub enum Out {
    /// Nothing: byte for byte as it came.
    Untouched,
    /// Exactly this.
    Packet(Vec<u8>),
    /// One of these.
    OneOf(Vec<Vec<u8>>),
    /// It goes no further, so its bytes do not matter.
    Dropped,
}

/// A packet met, and what shall become of it.
pub fn meet(at: At, packet: &Packet, outcome: Outcome, out: Out) -> Step {
    Step::Meet {
        at,
        packet: packet.bytes(),
        outcome,
        out,
    }
}

/// A frame met, and what shall become of it.
pub fn raw(at: At, packet: Vec<u8>, outcome: Outcome, out: Out) -> Step {
    Step::Meet {
        at,
        packet,
        outcome,
        out,
    }
}

/// A packet that leaves between other ends, with sound checksums, and otherwise as it came.
pub fn becomes(at: At, packet: &Packet, outcome: Outcome, src: SocketAddr, dst: SocketAddr) -> Step {
    meet(at, packet, outcome, Out::Packet(packet.between(src, dst).bytes()))
}

/// A packet that passes as it came.
pub fn passes(at: At, packet: &Packet, outcome: Outcome) -> Step {
    meet(at, packet, outcome, Out::Untouched)
}

/// A packet that is dropped.
pub fn dropped(at: At, packet: &Packet, outcome: Outcome) -> Step {
    meet(at, packet, outcome, Out::Dropped)
}

/// A packet that is answered "port unreachable".
pub fn refused(at: At, packet: &Packet, outcome: Outcome) -> Step {
    meet(at, packet, outcome, Out::Packet(packet.unreachable()))
}

/// All cases of a family.
pub fn all(family: Family) -> Vec<Case> {
    let names = Names { family };
    [
        affinity::cases,
        clusterip::cases,
        collisions::cases,
        errors::cases,
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

/// What a case did on one machine, step by step: outcomes and packets, to compare machines by.
pub fn play(case: &Case, machine: &mut dyn Machine) -> Vec<(Outcome, Vec<u8>)> {
    let mut seen = Vec::new();
    for (number, step) in case.steps.iter().enumerate() {
        match step {
            Step::World(world) => machine.set(world),
            Step::Age(seconds) => machine.age(*seconds),
            Step::Lose(hook, protocol, src, dst) => machine.lose(*hook, *protocol, *src, *dst),
            Step::Flows(expected) => {
                assert_eq!(
                    machine.flows(),
                    *expected,
                    "{}, step {number}: flow entries",
                    case.name
                );
            }
            Step::Meet {
                at,
                packet,
                outcome,
                out,
            } => {
                let (got, bytes) = machine.run(*at, packet);
                let told = || {
                    format!(
                        "{}, step {number}, {at:?}\n   in: {}\n  out: {} ({got:?})",
                        case.name,
                        describe(packet),
                        describe(&bytes)
                    )
                };
                assert_eq!(got, *outcome, "{}", told());
                match out {
                    Out::Dropped => {}
                    Out::Untouched => assert_eq!(bytes, *packet, "{}\n want: untouched", told()),
                    Out::Packet(want) => assert_eq!(bytes, *want, "{}\n want: {}", told(), describe(want)),
                    Out::OneOf(wants) => assert!(wants.contains(&bytes), "{}", told()),
                }
                seen.push((got, bytes));
            }
        }
    }
    seen
}
