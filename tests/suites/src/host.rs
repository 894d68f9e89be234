// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table's first datapath: the decisions as built for the host.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use dataplane::kernel::HostFamily;
use dataplane::kernel::convert::{to_backend, to_flags, to_frontend, to_key, to_networks, to_prefix};
use dataplane::model::Protocol;
use dataplane::plan::ServiceId;
use dataplane_common as common;
use dataplane_common::host::{HostPacket, HostSocket, HostTables};
use dataplane_common::{
    Addr6, Call, Config, Device, DeviceKind, FlowKey, Hook, Mark, NextHop, Outcome, Port, Tables, Tick, V4,
    V6,
};
use ipnet::IpNet;

use crate::cases::Datapath;
use crate::setup::{At, Names, Setup};

/// Tables in memory.
#[derive(Default)]
pub struct Host {
    v4: HostTables<V4>,
    v6: HostTables<V6>,
    /// Its devices are ports of a bridge.
    bridged: bool,
}

impl Host {
    /// Gives back the whole budget of "unreachable" answers.
    pub fn refill(&mut self) {
        self.v4.answers.take();
        self.v6.answers.take();
    }

    /// Makes it this late, by another datapath's clock.
    pub fn set_clock(&mut self, now: Tick) {
        self.v4.set_clock(now);
        self.v6.set_clock(now);
    }

    /// Has packets to this address go on this way, with the fast path.
    pub fn route(&mut self, to: IpAddr, hop: NextHop) {
        match to {
            IpAddr::V4(v4) => drop(self.v4.routes.insert(v4.into(), hop)),
            IpAddr::V6(v6) => drop(self.v6.routes.insert(v6.into(), hop)),
        }
    }

    /// Where packets were handed to since the last time this was asked.
    pub fn handed(&mut self) -> Vec<NextHop> {
        [self.v4.handed.take(), self.v6.handed.take()].concat()
    }
}

impl Host {
    /// Makes a socket's call about an address: how it ends, and about which address it is then. The kernel has no test
    /// run for these: there, the lab makes them.
    pub fn call(&mut self, call: Call, socket: &mut HostSocket, about: SocketAddr) -> (Outcome, SocketAddr) {
        let ip = match about.ip() {
            IpAddr::V4(v4) => Addr6::mapped(v4.into()),
            IpAddr::V6(v6) => v6.into(),
        };
        socket.remote = (ip, Port::new(about.port()));
        let outcome = match ip.as_mapped() {
            Some(_) => make::<V4>(&self.v4, call, socket),
            None => make::<V6>(&self.v6, call, socket),
        };
        (outcome, plain(socket.remote))
    }
}

impl Host {
    /// Runs a packet with this mark.
    pub fn run_on(&mut self, at: At, packet: &[u8], mark: Option<Mark>) -> (Outcome, HostPacket) {
        let bytes = packet.to_vec();
        let mut packet = HostPacket { bytes, mark };
        let device = device(at, self.bridged);
        let outcome = match packet.bytes.get(12..14) {
            Some([0x08, 0x00]) => steer(&mut self.v4, at, device, &mut packet),
            Some([0x86, 0xdd]) => steer(&mut self.v6, at, device, &mut packet),
            Some([0x81, 0x00] | [0x88, 0xa8]) => Outcome::NotForDevice,
            _ => Outcome::NotIp,
        };
        (outcome, packet)
    }
}

/// An address as sockets hold it: one of IPv4 in the form of IPv6.
pub fn plain((addr, port): (Addr6, Port)) -> SocketAddr {
    let ip = match addr.as_mapped() {
        Some(v4) => V4::to_ip(v4),
        None => V6::to_ip(addr),
    };
    SocketAddr::new(ip, port.get())
}

fn make<F: HostFamily>(tables: &HostTables<F>, call: Call, socket: &mut HostSocket) -> Outcome {
    match call {
        Call::Connect => common::connect::<F, _, _>(socket, tables),
        Call::Send => common::send::<F, _, _>(socket, tables),
        Call::Receive => common::receive::<F, _, _>(socket, tables),
        Call::PeerName => common::reverse::<F, _>(socket),
    }
}

impl Datapath for Host {
    fn set(&mut self, setup: &Setup) {
        self.bridged = setup.bridged;
        fill(&mut self.v4, setup);
        fill(&mut self.v6, setup);
    }

    fn age(&mut self, seconds: u64) {
        self.v4.advance(seconds);
        self.v6.advance(seconds);
    }

    fn run(&mut self, at: At, packet: &[u8]) -> (Outcome, Vec<u8>) {
        let (outcome, packet) = self.run_on(at, packet, None);
        (outcome, packet.bytes)
    }

    fn evict(&mut self, hook: Hook, protocol: Protocol, src: SocketAddr, dst: SocketAddr) {
        evict(&self.v4, hook, protocol, src, dst);
        evict(&self.v6, hook, protocol, src, dst);
    }

    fn flows(&mut self) -> usize {
        self.v4.flows().len() + self.v6.flows().len()
    }
}

fn evict<F: HostFamily>(
    tables: &HostTables<F>,
    hook: Hook,
    protocol: Protocol,
    src: SocketAddr,
    dst: SocketAddr,
) {
    if let Some(key) = flow_key::<F>(hook, protocol, src, dst) {
        assert!(tables.flows().contains_key(&key), "no entry {key:?}");
        Tables::remove_flow(tables, &key);
    }
}

/// The key of a flow's entry, if it is of this family.
pub fn flow_key<F: HostFamily>(
    hook: Hook,
    protocol: Protocol,
    src: SocketAddr,
    dst: SocketAddr,
) -> Option<FlowKey<F>> {
    let end = |addr: SocketAddr| Some((F::from_ip(addr.ip())?, Port::new(addr.port())));
    let protocol = common::Protocol(protocol.number());
    Some(FlowKey::new(hook, protocol, end(src)?, end(dst)?))
}

fn steer<F: HostFamily + common::Ip>(
    tables: &mut HostTables<F>,
    at: At,
    device: Device,
    packet: &mut HostPacket,
) -> Outcome {
    tables.device = Some(device);
    match at {
        At::PodIngress | At::UplinkIngress => common::ingress(packet, tables),
        At::PodEgress | At::UplinkEgress => common::egress(packet, tables),
    }
}

/// The device of a hook; it always has the node's address.
pub fn device(at: At, bridged: bool) -> Device {
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
        local: u32::from(kind == DeviceKind::Pod),
        peer: 0,
        bridge_port: u32::from(bridged),
    }
}

/// The node's settings in every case: the same for both datapaths.
pub fn config(setup: &Setup) -> Config {
    let flags = [
        (setup.take_over, Config::TAKE_OVER),
        (setup.masquerade_all, Config::MASQUERADE_ALL),
        (setup.masquerade_external, Config::MASQUERADE_EXTERNAL),
        (setup.refuse_external, Config::REFUSE_EXTERNAL),
        (setup.pod_sockets, Config::POD_SOCKETS),
        (setup.fast_path, Config::FAST_PATH),
    ];
    let flags = flags.iter().filter(|(is, _)| *is).map(|(_, flag)| flag).sum();
    let (ports_first, ports_count) = setup.ports.unwrap_or((61_000, 4_000));
    Config {
        flags,
        ports_first,
        ports_count,
        netns: setup.netns,
        ..Config::default()
    }
}

fn fill<F: HostFamily>(tables: &mut HostTables<F>, setup: &Setup) {
    let state = &setup.state;
    tables.config = config(setup);
    tables.sockets = setup
        .sockets
        .iter()
        .map(|(protocol, port)| (protocol.number(), Port::new(*port)))
        .collect();
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
    let ranges = |(service, ranges): (&ServiceId, &BTreeSet<IpNet>)| {
        let ranges: Vec<_> = ranges.iter().filter_map(to_prefix).collect();
        let service = *service;
        ranges.into_iter().map(move |range| (service, range))
    };
    tables.ranges = state.ranges.iter().flat_map(ranges).collect();
    tables.networks = state.networks.get(&F::MODEL).map(to_networks).unwrap_or_default();
    tables.sets = state
        .sets
        .iter()
        .map(|(id, members)| {
            let members = members
                .iter()
                .map(|member| common::BackendId(member.index))
                .collect();
            (*id, members)
        })
        .collect();
    tables.backends = state
        .backends
        .iter()
        .filter_map(|(id, backend)| Some((common::BackendId(id.index), to_backend(backend)?)))
        .collect();
}
