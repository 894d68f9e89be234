// SPDX-License-Identifier: MIT OR Apache-2.0
//! The setup of a case: Services as the planner would write them to the kernel, and the node's settings.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dataplane::model::{
    Detect, Family, FrontendKey, FrontendKind, Protocol, ServiceName, ServicePortName, TrafficPolicy,
};
use dataplane::plan::{
    AddressFlags, Backend, BackendId, BackendState, EmptyVerdict, FrontendValue, KernelState, ScopeValue,
    ServiceId, SetId, SetRef,
};
use ipnet::IpNet;

/// The hook that a packet passes.
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

    /// An address that a load balancer, or an administrator, leads to the nodes.
    pub fn lent(self, number: u8, port: u16) -> SocketAddr {
        SocketAddr::new(
            self.pick(
                &format!("198.51.100.{number}"),
                &format!("2001:db8:51::{number:x}"),
            ),
            port,
        )
    }

    /// A range of addresses, by either family's text.
    pub fn range(self, v4: &str, v6: &str) -> IpNet {
        match self.family {
            Family::V4 => v4.parse(),
            Family::V6 => v6.parse(),
        }
        .expect("a range")
    }

    /// Somebody outside the cluster.
    pub fn outside(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.pick("203.0.113.9", "2001:db8::9"), port)
    }

    /// One of several there.
    pub fn outsider(self, number: u8, port: u16) -> SocketAddr {
        let ip: IpAddr = match self.family {
            Family::V4 => Ipv4Addr::new(203, 0, 113, 100 + number).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100 + u16::from(number)).into(),
        };
        SocketAddr::new(ip, port)
    }
}

/// Builds a [`KernelState`] Service by Service.
#[derive(Clone, Debug)]
pub struct Setup {
    pub state: KernelState,
    /// The flags of the same names.
    pub take_over: bool,
    pub masquerade_all: bool,
    pub masquerade_external: bool,
    pub refuse_external: bool,
    /// Established flows go past the stack, where there is a route.
    pub fast_path: bool,
    pub pod_sockets: bool,
    /// The node's network namespace; 0 if socket calls are not translated.
    pub netns: u64,
    /// The first of the node's ports for rewriting, and how many there are; the usual ones if `None`.
    pub ports: Option<(u16, u16)>,
    /// The devices are ports of a bridge.
    pub bridged: bool,
    /// Sockets of the node, at all its addresses.
    pub sockets: Vec<(Protocol, u16)>,
}

/// A node that has its address in each family, and serves no NodePorts there.
impl Default for Setup {
    fn default() -> Self {
        let setup = Self {
            state: KernelState::default(),
            take_over: false,
            masquerade_all: false,
            refuse_external: false,
            bridged: false,
            masquerade_external: false,
            fast_path: false,
            pod_sockets: false,
            netns: 0,
            ports: None,
            sockets: Vec::new(),
        };
        Family::ALL.into_iter().fold(setup, |setup, family| {
            setup.own(Names { family }.node(0).ip(), false)
        })
    }
}

impl Setup {
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
        let empty = empty_of(set);
        let scope = ScopeValue { set, empty };
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
            masquerades_external: false,
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

    /// Another frontend of the Service at `vip`, where clients inside are sent to its backends, and clients outside as
    /// its policy has it: to all backends, or to those on this node.
    #[must_use]
    pub fn frontend(
        mut self,
        vip: SocketAddr,
        protocol: Protocol,
        (kind, at): (FrontendKind, SocketAddr),
        policy: TrafficPolicy,
    ) -> Self {
        let base = self.state.frontends[&key(vip, protocol)];
        let external = match policy {
            TrafficPolicy::Cluster => base.internal,
            TrafficPolicy::Local => self.local(base),
        };
        let value = FrontendValue {
            kind,
            policy,
            external,
            ..base
        };
        self.state.frontends.insert(key(at, protocol), value);
        if !at.ip().is_unspecified() {
            self.state.addresses.entry(at.ip()).or_default().vip = true;
        }
        self
    }

    /// A NodePort of the Service at `vip`, policy `Cluster`.
    #[must_use]
    pub fn node_port(self, vip: SocketAddr, protocol: Protocol, port: u16) -> Self {
        let at = SocketAddr::new(Family::of(vip.ip()).unspecified(), port);
        self.frontend(
            vip,
            protocol,
            (FrontendKind::NodePort, at),
            TrafficPolicy::Cluster,
        )
    }

    /// A load balancer's address for the Service at `vip`, policy `Cluster`.
    #[must_use]
    pub fn load_balancer(self, vip: SocketAddr, protocol: Protocol, at: SocketAddr) -> Self {
        let kind = FrontendKind::LoadBalancer;
        self.frontend(vip, protocol, (kind, at), TrafficPolicy::Cluster)
    }

    /// The policy `Local` for the Service's own address.
    #[must_use]
    pub fn internal_local(mut self, vip: SocketAddr, protocol: Protocol) -> Self {
        let mut value = self.state.frontends[&key(vip, protocol)];
        let scope = self.local(value);
        (value.internal, value.external) = (scope, scope);
        value.policy = TrafficPolicy::Local;
        self.state.frontends.insert(key(vip, protocol), value);
        self
    }

    /// ClientIP affinity for all frontends of the Service at `vip`.
    #[must_use]
    pub fn affinity(mut self, vip: SocketAddr, protocol: Protocol, seconds: u32) -> Self {
        let service = self.state.frontends[&key(vip, protocol)].service;
        let frontends = self.state.frontends.values_mut();
        frontends
            .filter(|value| value.service == service)
            .for_each(|value| value.affinity_seconds = seconds);
        self
    }

    /// Source ranges for the load balancers of the Service at `vip`.
    #[must_use]
    pub fn source_ranges(mut self, vip: SocketAddr, protocol: Protocol, ranges: &[IpNet]) -> Self {
        let service = self.state.frontends[&key(vip, protocol)].service;
        self.state
            .ranges
            .insert(service, ranges.iter().copied().collect());
        let frontends = self.state.frontends.values_mut();
        frontends
            .filter(|value| value.service == service && value.kind == FrontendKind::LoadBalancer)
            .for_each(|value| value.is_restricted = true);
        self
    }

    /// An address of the node, with NodePorts or without.
    #[must_use]
    pub fn own(mut self, addr: IpAddr, node_ports: bool) -> Self {
        let flags = self.state.addresses.entry(addr).or_default();
        (flags.node, flags.node_ports) = (true, node_ports);
        self
    }

    /// Where connections of the node's own processes count as coming from.
    #[must_use]
    pub fn node_at(mut self, addr: IpAddr) -> Self {
        let networks = self.state.networks.entry(Family::of(addr)).or_default();
        networks.node = Some(addr);
        self
    }

    /// How pods are recognised, in one family.
    #[must_use]
    pub fn detect(mut self, family: Family, detect: Detect) -> Self {
        self.state.networks.entry(family).or_default().detect = detect;
        self
    }

    /// Where ClusterIPs come from.
    #[must_use]
    pub fn cluster_ips_from(mut self, range: IpNet) -> Self {
        let networks = self.state.networks.entry(Family::of(range.addr())).or_default();
        networks.services.push(range);
        self
    }

    #[must_use]
    pub fn masquerading_all(mut self) -> Self {
        self.masquerade_all = true;
        self
    }

    #[must_use]
    pub fn masquerading_external(mut self) -> Self {
        self.masquerade_external = true;
        self
    }

    #[must_use]
    pub fn with_fast_path(mut self) -> Self {
        self.fast_path = true;
        self
    }

    #[must_use]
    pub fn refusing_external(mut self) -> Self {
        self.refuse_external = true;
        self
    }

    /// The choice among this node's backends, of what a scope has.
    fn local(&mut self, value: FrontendValue) -> ScopeValue {
        let members = self
            .state
            .sets
            .get(&value.internal.set.id)
            .cloned()
            .unwrap_or_default();
        let local: Vec<_> = members
            .iter()
            .map(|id| &self.state.backends[id])
            .filter(|backend| backend.local)
            .map(|backend| SocketAddr::new(backend.addr, backend.port))
            .collect();
        let (set, empty) = (self.add_set(value.service, &local), value.internal.empty);
        ScopeValue { set, empty }
    }

    /// What a changed EndpointSlice leaves: new sets, the old ones gone, backends not named gone.
    #[must_use]
    pub fn endpoints(mut self, vip: SocketAddr, protocol: Protocol, backends: &[SocketAddr]) -> Self {
        let service = self.state.frontends[&key(vip, protocol)].service;
        let of_service: Vec<_> = self
            .state
            .frontends
            .iter()
            .filter(|(_, value)| value.service == service)
            .map(|(key, value)| (*key, *value))
            .collect();
        let old: Vec<SetId> = of_service
            .iter()
            .flat_map(|(_, value)| [value.internal.set.id, value.external.set.id])
            .collect();
        let set = self.add_set(service, backends);
        let empty = empty_of(set);
        for (key, mut value) in of_service {
            value.internal = ScopeValue { set, empty };
            let local = self.local(value);
            let clients_here = value.kind != FrontendKind::ClusterIp;
            value.external = value.internal;
            if value.policy == TrafficPolicy::Local {
                value.external = local;
                value.internal = if clients_here { value.internal } else { local };
            }
            self.state.frontends.insert(key, value);
        }
        self.state.sets.retain(|id, _| !old.contains(id));
        let stays = |backend: &Backend| {
            backend.service != service || backends.contains(&SocketAddr::new(backend.addr, backend.port))
        };
        let left = self.state.backends.iter().filter(|(_, backend)| stays(backend));
        self.state.backends = left.map(|(id, backend)| (id, *backend)).collect();
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
    pub fn bridged(mut self) -> Self {
        self.bridged = true;
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
        let last = self.state.sets.keys().map(|id| id.0).max().unwrap_or(0);
        let id = SetId(last.max(self.state.frontends.len() as u32 * 100) + 1);
        let size = members.len() as u32;
        self.state.sets.insert(id, members);
        SetRef { id, size }
    }

    fn backend_id(&mut self, service: ServiceId, addr: SocketAddr) -> BackendId {
        let family = Family::of(addr.ip());
        let known = |(_, backend): &(BackendId, &Backend)| {
            backend.service == service && (backend.addr, backend.port) == (addr.ip(), addr.port())
        };
        if let Some((id, _)) = self.state.backends.iter().find(known) {
            return id;
        }
        let index = self
            .state
            .backends
            .iter()
            .map(|(id, _)| id.index)
            .max()
            .unwrap_or(0)
            + 1;
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
                chosen_local: odd,
            },
        );
        id
    }
}

fn empty_of(set: SetRef) -> EmptyVerdict {
    if set == SetRef::EMPTY {
        EmptyVerdict::Reject
    } else {
        EmptyVerdict::Drop
    }
}

fn key(at: SocketAddr, protocol: Protocol) -> FrontendKey {
    FrontendKey {
        addr: at.ip(),
        port: at.port(),
        protocol,
    }
}

/// How often each outcome was counted, by hook and name.
pub type OutcomeCounts = BTreeMap<(&'static str, &'static str), u64>;
