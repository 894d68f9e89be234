// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table's first machine: the decisions as built for the host.

use dataplane::kernel::HostFamily;
use dataplane::kernel::convert::{to_backend, to_flags, to_frontend, to_key};
use dataplane_common as common;
use dataplane_common::host::{HostPacket, HostTables};
use dataplane_common::{Config, Device, DeviceKind, Outcome, V4, V6};

use crate::cases::Machine;
use crate::world::{At, Names, World};

/// Tables in memory.
#[derive(Default)]
pub struct Host {
    v4: HostTables<V4>,
    v6: HostTables<V6>,
}

impl Host {
    /// Gives back the whole budget of "unreachable" answers.
    pub fn refill(&mut self) {
        self.v4.answers.take();
        self.v6.answers.take();
    }
}

impl Machine for Host {
    fn set(&mut self, world: &World) {
        fill(&mut self.v4, world);
        fill(&mut self.v6, world);
    }

    fn age(&mut self, seconds: u64) {
        self.v4.advance(seconds);
        self.v6.advance(seconds);
    }

    fn run(&mut self, at: At, packet: &[u8]) -> (Outcome, Vec<u8>) {
        let mut packet = HostPacket(packet.to_vec());
        let outcome = match packet.0.get(12..14) {
            Some([0x08, 0x00]) => steer(&mut self.v4, at, &mut packet),
            Some([0x86, 0xdd]) => steer(&mut self.v6, at, &mut packet),
            _ => Outcome::NotIp,
        };
        (outcome, packet.0)
    }

    fn flows(&mut self) -> usize {
        self.v4.flows().len() + self.v6.flows().len()
    }
}

fn steer<F: HostFamily>(tables: &mut HostTables<F>, at: At, packet: &mut HostPacket) -> Outcome {
    tables.device = Some(device(at));
    match at {
        At::PodIngress | At::UplinkIngress => common::ingress(packet, tables),
        At::PodEgress | At::UplinkEgress => common::egress(packet, tables),
    }
}

/// The device a packet is met at; it has the node's address, whichever it is.
pub fn device(at: At) -> Device {
    let kind = match at {
        At::PodIngress | At::PodEgress => DeviceKind::Pod,
        At::UplinkIngress | At::UplinkEgress => DeviceKind::Uplink,
    };
    let node = |family| Names { family }.node(0).ip();
    Device {
        kind: kind as u32,
        send_redirects: 0,
        v4: V4::from_ip(node(dataplane::model::Family::V4)).expect("an IPv4 address"),
        v6: V6::from_ip(node(dataplane::model::Family::V6)).expect("an IPv6 address"),
    }
}

/// The node's settings in every case: the same for both machines.
pub fn config(world: &World) -> Config {
    let flags = if world.take_over { Config::TAKE_OVER } else { 0 };
    Config {
        flags,
        ports_first: 61_000,
        ports_count: 4_000,
        ..Config::default()
    }
}

fn fill<F: HostFamily>(tables: &mut HostTables<F>, world: &World) {
    let state = &world.state;
    tables.config = config(world);
    tables.addresses = state
        .addresses
        .iter()
        .filter_map(|(addr, flags)| Some((F::from_ip(*addr)?, to_flags(*flags))))
        .collect();
    tables.frontends = state
        .frontends
        .iter()
        .filter_map(|(key, value)| Some((to_key(key)?, to_frontend(value))))
        .collect();
    tables.sets = state
        .sets
        .iter()
        .map(|(id, members)| {
            let members = members
                .iter()
                .map(|member| common::BackendId(member.index))
                .collect();
            (common::SetId(id.0), members)
        })
        .collect();
    tables.backends = state
        .backends
        .iter()
        .filter_map(|(id, backend)| Some((common::BackendId(id.index), to_backend(backend)?)))
        .collect();
}
