// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Service with one pod, and a client of it.

use dataplane::model::{Family, Protocol};
use suites::cases::Datapath as _;
use suites::host::Host;
use suites::packet::{Packet, udp};
use suites::setup::{Names, Setup};

pub(crate) struct OnePod {
    pub(crate) names: Names,
    pub(crate) host: Host,
}

impl OnePod {
    pub(crate) fn new(family: Family, change: impl Fn(Setup) -> Setup) -> Self {
        let names = Names { family };
        let setup = Setup::default().service(names.vip(1, 80), Protocol::Udp, &[names.pod(1, 8080)]);
        let mut host = Host::default();
        host.set(&change(setup));
        Self { names, host }
    }

    pub(crate) fn request(&self) -> Packet {
        udp(self.names.client(40_000), self.names.vip(1, 80))
    }

    pub(crate) fn reply(&self) -> Packet {
        udp(self.names.pod(1, 8080), self.names.client(40_000))
    }
}
