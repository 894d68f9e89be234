// SPDX-License-Identifier: MIT OR Apache-2.0
//! Maps filled with Services and live flows.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context as _;
use aya::Pod;
use dataplane::kernel::{FamilyMaps, HostFamily, Sizes};
use dataplane::model::{
    Family, FrontendKey, FrontendKind, Protocol, ServiceName, ServicePortName, TrafficPolicy,
};
use dataplane::plan::{
    AddressFlags, Backend, BackendId, BackendState, EmptyVerdict, FrontendValue, KernelState, ScopeValue,
    ServiceId, SetId, SetRef,
};
use dataplane_common as common;
use dataplane_common::{FlowKey, FlowValue, Hook, Port, State, Tick};
use nix::time::{ClockId, clock_gettime};
use suites::cases::Datapath as _;
use suites::kernel::Kernel;
use suites::setup::Setup;

/// How much the maps hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    services: u32,
    /// Live flows per family, all of them met in turn; a flow has two entries.
    flows: u32,
}

/// Backends of each Service.
const BACKENDS: u32 = 2;

impl Size {
    pub(super) const ALL: [Self; 6] = [
        Self::new(1, 2),
        Self::new(1_000, 2),
        Self::new(10_000, 2),
        Self::new(100_000, 2),
        Self::new(1, 500_000),
        Self::new(10_000, 500_000),
    ];
    pub(super) const QUICK: [Self; 3] = [Self::new(1, 2), Self::new(10_000, 2), Self::new(10_000, 100_000)];

    const fn new(services: u32, flows: u32) -> Self {
        Self { services, flows }
    }

    /// How many flows of a protocol a packet is led through until it is back. A UDP flow asks for its backend, and
    /// no Service has a million: they go to and fro between two.
    pub(super) fn circle(self, protocol: Protocol) -> u32 {
        if protocol == Protocol::Tcp {
            self.flows
        } else {
            BACKENDS
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.services {
            1 => f.write_str("1 Service")?,
            many => write!(f, "{}k Services", many / 1000)?,
        }
        match self.flows {
            0..1000 => Ok(()),
            many => write!(f, ", {}k flows", 2 * many / 1000),
        }
    }
}

/// Loaded programs whose maps hold that much.
pub(super) struct Filled {
    pub(super) size: Size,
    pub(super) kernel: Kernel,
}

impl Filled {
    pub(super) fn new(size: Size) -> anyhow::Result<Self> {
        let services = size.services.next_power_of_two().max(1_024);
        let flows = (4 * size.flows).max(1 << 17).next_power_of_two();
        let mut kernel = Kernel::of_size(Sizes {
            max_flows4: flows,
            max_flows6: flows,
            max_backends: services * BACKENDS * 2,
            max_frontends: services * 2,
            max_services: services * 2,
            ..Sizes::default()
        });
        kernel.set(&Setup {
            state: services_of(size.services),
            ..Setup::default()
        });
        let tables = kernel.tables();
        fill(&mut tables.v4, size.flows)?;
        fill(&mut tables.v6, size.flows)?;
        Ok(Self { size, kernel })
    }
}

/// The client of every flow.
pub(super) fn client(family: Family, port: u16) -> SocketAddr {
    let ip = match family {
        Family::V4 => IpAddr::from([10, 244, 1, 10]),
        Family::V6 => IpAddr::from([0xfd00, 0x10, 0x244, 1, 0, 0, 0, 0x10]),
    };
    SocketAddr::new(ip, port)
}

/// The port of the client whose TCP flows lead in a circle, and of the one whose UDP flows do.
pub(super) const CLIENT_PORT: u16 = 40_000;

/// The number of the Service without endpoints: beyond all others.
pub(super) const NOBODY: u32 = 0x2_0000;

/// The VIP of a Service, port 80.
pub(super) fn vip(family: Family, service: u32) -> SocketAddr {
    let ip = match family {
        Family::V4 => Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 96, 1, 0)) + service).into(),
        Family::V6 => {
            Ipv6Addr::from(u128::from(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 1, 0)) + u128::from(service))
                .into()
        }
    };
    SocketAddr::new(ip, 80)
}

/// A backend of a Service.
pub(super) fn backend(family: Family, service: u32, number: u32) -> SocketAddr {
    let index = service * BACKENDS + number;
    let ip = match family {
        Family::V4 => Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 128, 0, 0)) + index).into(),
        Family::V6 => {
            Ipv6Addr::from(u128::from(Ipv6Addr::new(0xfd00, 0x10, 0x128, 0, 0, 0, 0, 0)) + u128::from(index))
                .into()
        }
    };
    SocketAddr::new(ip, 8080 + number as u16)
}

/// A place on the circle that TCP flows lead in.
pub(super) fn place(family: Family, number: u32) -> SocketAddr {
    let ip = match family {
        Family::V4 => Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 64, 0, 0)) + number).into(),
        Family::V6 => {
            Ipv6Addr::from(u128::from(Ipv6Addr::new(0xfd00, 0x10, 0x64, 0, 0, 0, 0, 0)) + u128::from(number))
                .into()
        }
    };
    // The port changes on the path as well.
    SocketAddr::new(ip, 8080 + (number % 2) as u16)
}

/// Services of one TCP and one UDP port and two backends each, in both families, and one without a backend.
fn services_of(count: u32) -> KernelState {
    let mut state = KernelState::default();
    for (index, number) in (0..count).chain([NOBODY]).enumerate() {
        let (index, service) = (index as u32, ServiceId(index as u32 + 1));
        let name = ServicePortName {
            service: ServiceName::new("bench", format!("service-{index}")),
            port: "port".into(),
            protocol: Protocol::Tcp,
        };
        state.services.insert(service, name);
        for family in Family::ALL {
            let set = if number == NOBODY {
                SetRef::EMPTY
            } else {
                add_set(&mut state, family, service, index)
            };
            add_frontends(&mut state, service, vip(family, number), set);
        }
    }
    state
}

fn add_set(state: &mut KernelState, family: Family, service: ServiceId, index: u32) -> SetRef {
    let mut members = Vec::new();
    for number in 0..BACKENDS {
        let (id, at) = (backend_id(family, index, number), backend(family, index, number));
        state.backends.insert(
            id,
            Backend {
                addr: at.ip(),
                port: at.port(),
                service,
                state: BackendState::Alive,
                local: false,
                chosen_anywhere: true,
                chosen_local: false,
            },
        );
        members.push(id);
    }
    let id = SetId(2 * index + 1 + u32::from(family == Family::V6));
    state.sets.insert(id, members);
    SetRef { id, size: BACKENDS }
}

fn backend_id(family: Family, service: u32, number: u32) -> BackendId {
    BackendId {
        family,
        index: service * BACKENDS + number + 1,
    }
}

fn add_frontends(state: &mut KernelState, service: ServiceId, vip: SocketAddr, set: SetRef) {
    let empty = if set == SetRef::EMPTY {
        EmptyVerdict::Reject
    } else {
        EmptyVerdict::Drop
    };
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let key = FrontendKey {
            addr: vip.ip(),
            port: vip.port(),
            protocol,
        };
        let value = FrontendValue {
            service,
            internal: ScopeValue { set, empty },
            external: ScopeValue { set, empty },
            kind: FrontendKind::ClusterIp,
            policy: TrafficPolicy::Cluster,
            affinity_seconds: 0,
            is_restricted: false,
            masquerades_external: false,
        };
        state.frontends.insert(key, value);
    }
    let flags = AddressFlags {
        vip: true,
        cluster_ip: true,
        ..AddressFlags::default()
    };
    state.addresses.insert(vip.ip(), flags);
}

/// Flows that lead in a circle: TCP through all places, UDP to and fro between the first Service's backends.
fn fill<F: HostFamily>(tables: &mut FamilyMaps<F>, flows: u32) -> anyhow::Result<()>
where
    F::Addr: Pod,
{
    let family = F::MODEL;
    for number in 0..flows {
        let (from, to) = (place(family, number), place(family, (number + 1) % flows));
        put(tables, common::Protocol::TCP, from, to, common::BackendId(0))?;
    }
    for number in 0..BACKENDS {
        let next = (number + 1) % BACKENDS;
        let (from, to) = (backend(family, 0, number), backend(family, 0, next));
        let id = common::BackendId(backend_id(family, 0, next).index);
        put(tables, common::Protocol::UDP, from, to, id)?;
    }
    Ok(())
}

/// Both entries of a flow that came to `from` and goes to `to`.
fn put<F: HostFamily>(
    tables: &mut FamilyMaps<F>,
    protocol: common::Protocol,
    from: SocketAddr,
    to: SocketAddr,
    backend: common::BackendId,
) -> anyhow::Result<()>
where
    F::Addr: Pod,
{
    let client = client(F::MODEL, CLIENT_PORT);
    let value = FlowValue {
        backend,
        service: ServiceId(1),
        ..established::<F>(to, client.port())?
    };
    let key = FlowKey::<F>::new(Hook::Ingress, protocol, raw::<F>(client)?, raw::<F>(from)?);
    let value = value.of(&key);
    let (reply_key, reply) = (key.partner(&value), key.partner_value(&value));
    tables.flows.insert(key, value, 0)?;
    tables.flows.insert(reply_key, reply, 0)?;
    Ok(())
}

/// What an established flow writes.
fn established<F: HostFamily>(to: SocketAddr, peer_port: u16) -> anyhow::Result<FlowValue<F>> {
    let (addr, port) = raw::<F>(to)?;
    Ok(FlowValue {
        addr,
        port,
        peer_port: Port::new(peer_port),
        last_seen: now()?,
        state: State::REPLIED.with(State::CONFIRMED),
        ..FlowValue::default()
    })
}

/// Entries that wait, at the device the packets leave by, for the source they will be given.
pub(super) fn expect_masquerade<F: HostFamily>(
    tables: &mut FamilyMaps<F>,
    packets: impl Iterator<Item = (SocketAddr, SocketAddr)>,
) -> anyhow::Result<()>
where
    F::Addr: Pod,
{
    for (src, dst) in packets {
        let key = FlowKey::<F>::new(
            Hook::Egress,
            common::Protocol::UDP,
            raw::<F>(src)?,
            raw::<F>(dst)?,
        );
        let value = FlowValue {
            peer_port: Port::new(dst.port()),
            last_seen: now()?,
            state: State::PENDING,
            ..FlowValue::default()
        }
        .of(&key);
        tables.opening.insert(key, value, 0)?;
    }
    Ok(())
}

fn raw<F: HostFamily>(at: SocketAddr) -> anyhow::Result<(F::Addr, Port)> {
    let addr = F::from_ip(at.ip()).context("an address of the other family")?;
    Ok((addr, Port::new(at.port())))
}

fn now() -> anyhow::Result<Tick> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec())?, u64::try_from(time.tv_nsec())?);
    Ok(Tick::from_nanoseconds(seconds * 1_000_000_000 + nanoseconds))
}
