// SPDX-License-Identifier: MIT OR Apache-2.0
//! The world a case plays in: Services as the planner would leave them in the kernel.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use dataplane::model::{
    Family, FrontendKey, FrontendKind, Protocol, ServiceName, ServicePortName, TrafficPolicy,
};
use dataplane::plan::{
    AddressFlags, Backend, BackendId, BackendState, EmptyVerdict, FrontendValue, KernelState, ScopeValue,
    ServiceId, SetId, SetRef,
};

/// Where a packet is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    PodIngress,
    PodEgress,
    UplinkIngress,
    UplinkEgress,
}

/// The addresses of a case, in one family.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    pub family: Family,
}

impl Names {
    fn pick(self, v4: &str, v6: &str) -> IpAddr {
        let text = match self.family {
            Family::V4 => v4,
            Family::V6 => v6,
        };
        text.parse().expect("an address")
    }

    pub fn client(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.pick("10.244.1.10", "fd00:10:244:1::10"), port)
    }

    /// A router between the node and everybody else.
    pub fn router(self) -> IpAddr {
        self.pick("198.51.100.1", "2001:db8:51::1")
    }

    /// Pods behind the Services, from 1: odd ones run on this node.
    pub fn pod(self, number: u8, port: u16) -> SocketAddr {
        SocketAddr::new(
            self.pick(
                &format!("10.244.2.{number}"),
                &format!("fd00:10:244:2::{number:x}"),
            ),
            port,
        )
    }

    pub fn vip(self, number: u8, port: u16) -> SocketAddr {
        SocketAddr::new(
            self.pick(&format!("10.96.0.{number}"), &format!("fd00:10:96::{number:x}")),
            port,
        )
    }

    /// This node, on its uplink and on its pods' devices.
    pub fn node(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.pick("172.18.0.2", "fd00:172:18::2"), port)
    }

    /// Somebody outside the cluster.
    pub fn outside(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.pick("203.0.113.9", "2001:db8::9"), port)
    }
}

/// Builds a [`KernelState`] Service by Service.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub state: KernelState,
    /// The flag of the same name.
    pub take_over: bool,
    /// The first of the node's ports for rewriting, and how many there are; the usual ones if `None`.
    pub ports: Option<(u16, u16)>,
    /// Sockets of the node, at all its addresses.
    pub sockets: Vec<(Protocol, u16)>,
}

impl World {
    /// A Service port at `vip` with these backends, as the only user of its ids.
    #[must_use]
    pub fn service(mut self, vip: SocketAddr, protocol: Protocol, backends: &[SocketAddr]) -> Self {
        let service = ServiceId(self.state.services.len() as u32 + 1);
        let name = ServicePortName {
            service: ServiceName::new("test", format!("service-{}", service.0)),
            port: "port".into(),
            protocol,
        };
        self.state.services.insert(service, name);
        let set = self.add_set(service, backends);
        let scope = ScopeValue {
            set,
            empty: if set == SetRef::EMPTY {
                EmptyVerdict::Reject
            } else {
                EmptyVerdict::Drop
            },
        };
        let key = FrontendKey {
            addr: vip.ip(),
            port: vip.port(),
            protocol,
        };
        let value = FrontendValue {
            service,
            internal: scope,
            external: scope,
            kind: FrontendKind::ClusterIp,
            policy: TrafficPolicy::Cluster,
            affinity_seconds: 0,
            is_restricted: false,
        };
        self.state.frontends.insert(key, value);
        self.state.addresses.insert(
            vip.ip(),
            AddressFlags {
                vip: true,
                cluster_ip: true,
                ..AddressFlags::default()
            },
        );
        self
    }

    /// What a changed EndpointSlice leaves: a new set, the old one gone, backends not named gone.
    #[must_use]
    pub fn endpoints(mut self, vip: SocketAddr, protocol: Protocol, backends: &[SocketAddr]) -> Self {
        let key = FrontendKey {
            addr: vip.ip(),
            port: vip.port(),
            protocol,
        };
        let old = self.state.frontends[&key];
        self.state.sets.remove(&old.internal.set.id);
        self.state.backends.retain(|_, backend| {
            backend.service != old.service || backends.contains(&SocketAddr::new(backend.addr, backend.port))
        });
        let set = self.add_set(old.service, backends);
        let empty = if set == SetRef::EMPTY {
            EmptyVerdict::Reject
        } else {
            EmptyVerdict::Drop
        };
        let value = self
            .state
            .frontends
            .get_mut(&key)
            .expect("the frontend just read");
        (value.internal, value.external) = (ScopeValue { set, empty }, ScopeValue { set, empty });
        self
    }

    /// Endpoints exist, but not for anybody.
    #[must_use]
    pub fn policy_drops(mut self, vip: SocketAddr, protocol: Protocol) -> Self {
        let key = FrontendKey {
            addr: vip.ip(),
            port: vip.port(),
            protocol,
        };
        let value = self.state.frontends.get_mut(&key).expect("a frontend");
        let scope = ScopeValue {
            set: SetRef::EMPTY,
            empty: EmptyVerdict::Drop,
        };
        (value.internal, value.external) = (scope, scope);
        self
    }

    /// A VIP that this node owns itself.
    #[must_use]
    pub fn owned(mut self, vip: IpAddr) -> Self {
        self.state.addresses.insert(
            vip,
            AddressFlags {
                vip: true,
                cluster_ip: true,
                node: true,
                node_ports: false,
            },
        );
        self
    }

    #[must_use]
    pub fn taking_over(mut self) -> Self {
        self.take_over = true;
        self
    }

    /// The ports of the node's range.
    #[must_use]
    pub fn ports(mut self, first: u16, count: u16) -> Self {
        self.ports = Some((first, count));
        self
    }

    /// A socket of the node's own that listens on this port.
    #[must_use]
    pub fn socket(mut self, protocol: Protocol, port: u16) -> Self {
        self.sockets.push((protocol, port));
        self
    }

    fn add_set(&mut self, service: ServiceId, backends: &[SocketAddr]) -> SetRef {
        if backends.is_empty() {
            return SetRef::EMPTY;
        }
        let mut members: Vec<_> = backends
            .iter()
            .map(|addr| self.backend_id(service, *addr))
            .collect();
        members.sort_unstable();
        let id = SetId(
            self.state.frontends.len() as u32 * 100
                + self.state.sets.len() as u32
                + 1
                + backends.len() as u32,
        );
        let size = members.len() as u32;
        self.state.sets.insert(id, members);
        SetRef { id, size }
    }

    fn backend_id(&mut self, service: ServiceId, addr: SocketAddr) -> BackendId {
        let family = Family::of(addr.ip());
        let known = |(_, backend): &(&BackendId, &Backend)| {
            backend.service == service && (backend.addr, backend.port) == (addr.ip(), addr.port())
        };
        if let Some((id, _)) = self.state.backends.iter().find(known) {
            return *id;
        }
        let index = self.state.backends.keys().map(|id| id.index).max().unwrap_or(0) + 1;
        let id = BackendId { family, index };
        let odd = match addr.ip() {
            IpAddr::V4(ip) => ip.octets()[3] % 2 == 1,
            IpAddr::V6(ip) => ip.octets()[15] % 2 == 1,
        };
        let (addr, port) = (addr.ip(), addr.port());
        self.state.backends.insert(
            id,
            Backend {
                addr,
                port,
                service,
                state: BackendState::Alive,
                local: odd,
                chosen_anywhere: true,
                chosen_here: odd,
            },
        );
        id
    }
}

/// How often each outcome was counted, by hook and name.
pub type OutcomeCounts = BTreeMap<(&'static str, &'static str), u64>;
