// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making the calls of a table that processes of the node make.
//!
//! The kernel has no test run for them, so they are made on the host; the lab makes such calls in the kernel. Whether
//! upstream masquerades them says nothing here: their source is the node's own address from the first.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use dataplane_common::host::HostSocket;
use dataplane_common::{Call, Outcome, Protocol, Verdict};

use super::run::CONNECTIONS;
use super::{From, Gives, Row, Table};
use crate::cases::Datapath as _;
use crate::host::Host;
use crate::setup::Setup;

/// The node's network namespace.
const NODE: u64 = 7;

/// Asserts every row of a table that is a call of the node's own; returns how many there are.
pub fn check_calls(table: &Table, host: &mut Host) -> usize {
    host.set(&Setup {
        netns: NODE,
        ..table.cluster.setup()
    });
    let calls = table.rows.iter().filter(|row| row.from == From::Node);
    calls.map(|row| row.check_calls(&table.name, host)).count()
}

impl Row {
    fn check_calls(&self, table: &str, host: &mut Host) {
        let context = format!("{table}: {}", self.name);
        let made: Vec<_> = (1..=CONNECTIONS)
            .map(|cookie| self.connect(cookie, host))
            .collect();
        let reached: BTreeSet<SocketAddr> = made.iter().map(|(_, to)| *to).collect();
        let all = |wanted: fn(Outcome) -> bool| made.iter().all(|(outcome, _)| wanted(*outcome));
        let (is_right, wanted) = match &self.gives {
            Gives::Endpoints(endpoints, _) => (
                all(|outcome| outcome == Outcome::NewFlow),
                endpoints.iter().copied().collect(),
            ),
            Gives::Reject => (
                all(|outcome| outcome.verdict() == Verdict::Answer),
                [self.to].into(),
            ),
            Gives::Drop => (
                all(|outcome| outcome.verdict() == Verdict::Drop),
                [self.to].into(),
            ),
            Gives::Nothing => (all(|outcome| outcome == Outcome::NotOurs), [self.to].into()),
        };
        assert!(is_right, "{context}: {made:?}");
        assert_eq!(reached, wanted, "{context}");
    }

    /// Connects a socket: how that ends, and to whom.
    fn connect(&self, cookie: u16, host: &mut Host) -> (Outcome, SocketAddr) {
        let protocol = Protocol(self.protocol.number());
        let mut socket = HostSocket::new(protocol, NODE, cookie.into());
        host.call(Call::Connect, &mut socket, self.to)
    }
}
