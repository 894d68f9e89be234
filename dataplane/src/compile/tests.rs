// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which endpoints a Service gets: upstream's cases, and a naive restatement of its contract.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane_common::EmptyVerdict;
use proptest::collection::vec;
use proptest::prelude::*;

use super::endpoints::{categorize, gather};
use super::*;
use crate::model::{
    Conditions, Endpoint, Family, FrontendKey, Hints, Node, NodeHint, Protocol, Reason, Service, ServiceName,
    ServicePort, ServicePortName, Slice, SlicePort, SourceRanges, Target, TrafficPolicy, Zone,
};

fn target(last: u8) -> Target {
    Target {
        addr: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)),
        port: 8080,
    }
}

fn targets(lasts: &[u8]) -> BTreeSet<Target> {
    lasts.iter().copied().map(target).collect()
}

/// An endpoint in words: `ready`, `unready`, `leaving` (terminating and serving) or `dead` (terminating, not
/// serving), then `local`, `here`, `elsewhere` (node hints) and `zone=NAME`, as apply.
fn endpoint(last: u8, words: &str) -> Endpoint {
    let mut conditions = Conditions {
        staying: true,
        ready: false,
        serving: false,
        local: false,
    };
    let mut hints = Hints::default();
    for word in words.split(' ') {
        match word {
            "ready" => (conditions.ready, conditions.serving) = (true, true),
            "unready" => {}
            "leaving" => (conditions.staying, conditions.serving) = (false, true),
            "dead" => conditions.staying = false,
            "local" => conditions.local = true,
            "here" => hints.node = NodeHint::Here,
            "elsewhere" => hints.node = NodeHint::Elsewhere,
            _ => {
                let zone = Zone(word.strip_prefix("zone=").unwrap().into());
                hints.zones = hints.zones.into_vec().into_iter().chain([zone]).collect();
            }
        }
    }
    Endpoint {
        addr: target(last).addr,
        conditions,
        hints,
    }
}

fn slice(endpoints: Vec<Endpoint>) -> Slice {
    Slice {
        service: ServiceName::new("default", "web"),
        family: Family::V4,
        ports: vec![SlicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 8080,
        }],
        endpoints,
        triggered: None,
    }
}

fn service(ports: &[(&str, Protocol, u16)]) -> Service {
    Service {
        hash_seed: 0,
        created: 0,
        cluster_ips: vec![IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1))],
        ports: ports
            .iter()
            .map(|(name, protocol, port)| ServicePort {
                name: (*name).into(),
                protocol: *protocol,
                port: *port,
                node_port: None,
            })
            .collect(),
        external_ips: vec![],
        load_balancer_ips: vec![],
        source_ranges: SourceRanges::default(),
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        health_check_node_port: None,
        affinity_seconds: None,
        masquerades_external: false,
    }
}

fn web() -> Service {
    service(&[("http", Protocol::Tcp, 80)])
}

fn in_zone(zone: &str) -> Node {
    Node {
        zone: Some(Zone(zone.into())),
        ..Node::default()
    }
}

fn compile_all(service: &Service, slices: &[Slice], node: &Node, limit: usize) -> Compiled {
    let name = ServiceName::new("default", "web");
    let limits = Limits { endpoints: limit };
    compile(
        Input {
            name: &name,
            service,
            slices: slices.iter(),
            node,
            limits,
        },
        |_| None,
    )
}

/// What clients get at the one frontend of [`web`], and who only keeps his flows.
fn outcome(compiled: &Compiled) -> (Result<BTreeSet<Target>, EmptyVerdict>, BTreeSet<Target>) {
    let port = compiled.ports.values().next().unwrap();
    let scope = &port.frontends.values().next().unwrap().internal;
    let choice = if scope.members.is_empty() {
        Err(scope.empty)
    } else {
        Ok(scope.members.clone())
    };
    (
        choice,
        port.backends
            .iter()
            .filter(|(_, member)| !member.in_use)
            .map(|(target, _)| *target)
            .collect(),
    )
}

/// The node is in zone `a`.
const CHOICES: &str = "\
case                       | policy  | endpoints                                          | chosen | draining
none at all                | Cluster |                                                    | reject |
none ready                 | Cluster | 1 unready                                          | reject |
some ready                 | Cluster | 1 ready, 2 unready, 3 ready local                  | 1 3    |
leaving ones drain         | Cluster | 1 ready, 2 leaving, 3 dead                         | 1      | 2
all leaving serve          | Cluster | 1 leaving, 2 leaving local                         | 1 2    |
all dead                   | Cluster | 1 dead, 2 dead local                               | reject |
unready and leaving        | Cluster | 1 unready, 2 leaving                               | 2      |
local only                 | Local   | 1 ready, 2 ready local                             | 2      | 1
none local                 | Local   | 1 ready                                            | drop   | 1
none local, remote leaves  | Local   | 1 leaving                                          | drop   | 1
local leaves, remote ready | Local   | 1 ready, 2 leaving local                           | 2      | 1
local and all dead         | Local   | 1 dead local                                       | reject |
local ignores zones        | Local   | 1 ready local zone=b, 2 ready zone=a               | 1      | 2
own zone                   | Cluster | 1 ready zone=a, 2 ready zone=b                     | 1      | 2
several zones              | Cluster | 1 ready zone=b zone=a, 2 ready zone=b              | 1      | 2
one lacks a zone hint      | Cluster | 1 ready zone=a, 2 ready                            | 1 2    |
own zone has none          | Cluster | 1 ready zone=b, 2 ready zone=c                     | 1 2    |
own zone unready           | Cluster | 1 unready zone=a, 2 ready zone=b                   | 2      |
unready lacks a hint       | Cluster | 1 unready, 2 ready zone=a, 3 ready zone=b          | 2      | 3
fallback ignores zones     | Cluster | 1 leaving zone=a, 2 leaving zone=b                 | 1 2    |
own node                   | Cluster | 1 ready here zone=b, 2 ready elsewhere zone=a      | 1      | 2
no own node, so zone       | Cluster | 1 ready elsewhere zone=b, 2 ready elsewhere zone=a | 2      | 1
one lacks a node hint      | Cluster | 1 ready here, 2 ready                              | 1 2    |";

#[test]
fn the_choice_of_endpoints_is_upstreams() {
    for row in CHOICES.lines().skip(1) {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let [name, policy, endpoints, chosen, draining] = columns[..] else {
            panic!("{row}")
        };
        let numbers =
            |text: &str| -> Vec<u8> { text.split_whitespace().map(|it| it.parse().unwrap()).collect() };
        let chosen = match chosen {
            "reject" => Err(EmptyVerdict::Reject),
            "drop" => Err(EmptyVerdict::Drop),
            chosen => Ok(targets(&numbers(chosen))),
        };
        let internal_policy = if policy == "Local" {
            TrafficPolicy::Local
        } else {
            TrafficPolicy::Cluster
        };
        let service = Service {
            internal_policy,
            ..web()
        };
        let numbered = endpoints.split(", ").filter_map(|it| it.split_once(' '));
        let endpoints = numbered
            .map(|(last, words)| endpoint(last.parse().unwrap(), words))
            .collect();
        let compiled = compile_all(&service, &[slice(endpoints)], &in_zone("a"), 100);
        assert_eq!(
            outcome(&compiled),
            (chosen, targets(&numbers(draining))),
            "{name}"
        );
    }
}

#[test]
fn a_node_without_a_zone_follows_no_zone_hints() {
    let slices = [slice(vec![
        endpoint(1, "ready zone=zone-a"),
        endpoint(2, "ready zone=b"),
    ])];
    let compiled = compile_all(&web(), &slices, &Node::default(), 100);
    assert_eq!(outcome(&compiled).0, Ok(targets(&[1, 2])));
}

#[test]
fn of_an_endpoint_in_two_slices_the_staying_report_is_believed() {
    let leaving = slice(vec![endpoint(1, "leaving"), endpoint(2, "leaving")]);
    let staying = slice(vec![endpoint(1, "ready"), endpoint(2, "unready")]);
    for slices in [[leaving.clone(), staying.clone()], [staying, leaving]] {
        let compiled = compile_all(&web(), &slices, &Node::default(), 100);
        assert_eq!(outcome(&compiled), (Ok(targets(&[1])), targets(&[])));
    }
}

#[test]
fn slices_may_differ_in_the_target_port_of_one_name() {
    let one = slice(vec![endpoint(1, "ready")]);
    let mut other = slice(vec![endpoint(2, "ready")]);
    other.ports[0].port = 9090;
    let compiled = compile_all(&web(), &[one, other], &Node::default(), 100);
    let expected = [
        target(1),
        Target {
            port: 9090,
            ..target(2)
        },
    ];
    assert_eq!(outcome(&compiled).0, Ok(expected.into()));
}

#[test]
fn ports_are_matched_by_name_and_protocol() {
    let mut dns = slice(vec![endpoint(1, "ready")]);
    dns.ports = vec![
        SlicePort {
            name: "dns".into(),
            protocol: Protocol::Udp,
            port: 5353,
        },
        SlicePort {
            name: "dns-tcp".into(),
            protocol: Protocol::Tcp,
            port: 5354,
        },
    ];
    let service = service(&[
        ("dns", Protocol::Udp, 53),
        ("dns-tcp", Protocol::Tcp, 53),
        ("http", Protocol::Tcp, 80),
    ]);
    let compiled = compile_all(&service, &[dns], &Node::default(), 100);
    let ports: Vec<_> = compiled
        .ports
        .iter()
        .map(|(name, port)| {
            (
                name.to_string(),
                port.backends.keys().map(|target| target.port).collect::<Vec<_>>(),
            )
        })
        .collect();
    assert_eq!(
        ports,
        [
            ("default/web:dns/UDP".into(), vec![5353]),
            ("default/web:dns-tcp/TCP".into(), vec![5354]),
            ("default/web:http/TCP".into(), vec![]),
        ]
    );
}

#[test]
fn each_family_has_its_own_frontends_and_endpoints() {
    let vip6 = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
    let mut service = web();
    service.cluster_ips.push(vip6);
    let backend6 = IpAddr::V6(Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 1));
    let mut v6 = slice(vec![Endpoint {
        addr: backend6,
        ..endpoint(1, "ready")
    }]);
    v6.family = Family::V6;
    let compiled = compile_all(&service, &[v6], &Node::default(), 100);
    let port = compiled.ports.values().next().unwrap();
    let key = |addr| FrontendKey {
        addr,
        port: 80,
        protocol: Protocol::Tcp,
    };
    let members = |addr| port.frontends[&key(addr)].external.members.clone();
    assert_eq!(members(service.cluster_ips[0]), BTreeSet::new());
    assert_eq!(
        members(vip6),
        BTreeSet::from([Target {
            addr: backend6,
            port: 8080
        }])
    );
}

#[test]
fn sctp_is_served_where_the_endpoints_listen_on_the_frontends_port_and_refused_elsewhere() {
    let mut service = service(&[("http", Protocol::Tcp, 80), ("m3ua", Protocol::Sctp, 2905)]);
    service.ports[1].node_port = Some(30_905);
    let sctp = |port| Slice {
        ports: vec![SlicePort {
            name: "m3ua".into(),
            protocol: Protocol::Sctp,
            port,
        }],
        ..slice(vec![endpoint(1, "ready")])
    };
    let keys = |compiled: &Compiled| -> Vec<String> {
        let ports = compiled.ports.values();
        ports
            .flat_map(|port| port.frontends.keys())
            .map(ToString::to_string)
            .collect()
    };
    let compile = |port| compile_all(&service, &[sctp(port)], &Node::default(), 100);

    let same = compile(2905);
    assert_eq!(keys(&same), ["10.96.0.1:80/TCP", "10.96.0.1:2905/SCTP"]);
    let other = compile(3000);
    assert_eq!(keys(&other), ["10.96.0.1:80/TCP"]);
    let reasons: Vec<_> = other.reasons.iter().map(ToString::to_string).collect();
    let says = |frontend| {
        format!(
            "{frontend}: an SCTP endpoint listens on 10.0.0.1:3000: Shunt does not rewrite SCTP ports: use the same \
             port for both"
        )
    };
    assert_eq!(reasons, [says("0.0.0.0:30905/SCTP"), says("10.96.0.1:2905/SCTP")]);
    assert_eq!(
        same.reasons.len(),
        1,
        "the NodePort is another port: {:?}",
        same.reasons
    );
}

#[test]
fn of_too_many_endpoints_the_first_ready_ones_are_used() {
    let endpoints = vec![
        endpoint(1, "leaving"),
        endpoint(2, "ready"),
        endpoint(3, "ready"),
        endpoint(4, "ready"),
    ];
    let compiled = compile_all(&web(), &[slice(endpoints)], &Node::default(), 2);
    assert_eq!(outcome(&compiled), (Ok(targets(&[2, 3])), targets(&[])));
    assert!(matches!(
        compiled.reasons[..],
        [Reason::TooManyEndpoints {
            endpoints: 4,
            limit: 2,
            ..
        }]
    ));
}

#[test]
fn a_port_without_a_frontend_of_its_own_is_not_in_the_kernel() {
    let name = ServiceName::new("default", "web");
    let older = ServicePortName {
        service: ServiceName::new("default", "older"),
        port: "".into(),
        protocol: Protocol::Tcp,
    };
    let (service, node, slices) = (web(), Node::default(), [slice(vec![endpoint(1, "ready")])]);
    let input = Input {
        name: &name,
        service: &service,
        slices: slices.iter(),
        node: &node,
        limits: Limits::default(),
    };
    let compiled = compile(input, |_| Some(&older));
    assert!(compiled.ports.is_empty());
    assert!(matches!(&compiled.reasons[..], [Reason::Claimed { holder, .. }] if *holder == older));
}

#[test]
fn only_the_api_servers_own_service_keeps_its_last_endpoints() {
    for (namespace, name, keeps) in [
        ("default", "kubernetes", true),
        ("default", "web", false),
        ("other", "kubernetes", false),
    ] {
        let name = ServiceName::new(namespace, name);
        let (service, node) = (web(), Node::default());
        let slices: [Slice; 0] = [];
        let limits = Limits::default();
        let input = Input {
            name: &name,
            service: &service,
            slices: slices.iter(),
            node: &node,
            limits,
        };
        let compiled = compile(input, |_| None);
        assert_eq!(
            compiled.ports.values().next().unwrap().keeps_last_endpoints,
            keeps,
            "{name}"
        );
    }
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    let hint = prop::sample::select(vec![
        NodeHint::None,
        NodeHint::Here,
        NodeHint::Here,
        NodeHint::Elsewhere,
    ]);
    let zone = prop::sample::select(vec!["a", "a", "b"]).prop_map(|zone| Zone(zone.into()));
    (1..8u8, any::<[bool; 4]>(), hint, vec(zone, 0..3)).prop_map(
        |(last, [staying, ready, serving, local], node, zones)| Endpoint {
            addr: target(last).addr,
            conditions: Conditions {
                staying,
                ready,
                serving,
                local,
            },
            hints: Hints {
                node,
                zones: zones.into(),
            },
        },
    )
}

/// The contract of `CategorizeEndpoints`, as kube-proxy's comments state it, step by step.
fn naive(endpoints: &[(Target, Endpoint)], node: &Node) -> (BTreeSet<Target>, BTreeSet<Target>, bool) {
    let leaving = |it: &Endpoint| it.conditions.serving && !it.conditions.staying;
    let mut ready = Vec::new();
    let mut fallback = BTreeSet::new();
    for (target, it) in endpoints {
        if it.conditions.ready {
            ready.push((*target, it.clone()));
        }
        if leaving(it) {
            fallback.insert(*target);
        }
    }
    let mut all_have_nodes = true;
    let mut all_have_zones = true;
    let mut for_node = BTreeSet::new();
    let mut for_zone = BTreeSet::new();
    for (target, it) in &ready {
        all_have_nodes &= it.hints.node != NodeHint::None;
        all_have_zones &= !it.hints.zones.is_empty();
        if it.hints.node == NodeHint::Here {
            for_node.insert(*target);
        }
        if node.zone.is_some() && it.hints.zones.iter().any(|zone| Some(zone) == node.zone.as_ref()) {
            for_zone.insert(*target);
        }
    }
    let cluster = if ready.is_empty() {
        fallback
    } else if all_have_nodes && !for_node.is_empty() {
        for_node
    } else if all_have_zones && !for_zone.is_empty() {
        for_zone
    } else {
        ready.iter().map(|(target, _)| *target).collect()
    };
    let local_where = |wanted: &dyn Fn(&Endpoint) -> bool| -> BTreeSet<Target> {
        let mine = endpoints
            .iter()
            .filter(|(_, it)| it.conditions.local && wanted(it));
        mine.map(|(target, _)| *target).collect()
    };
    let mut local = local_where(&|it| it.conditions.ready);
    if local.is_empty() {
        local = local_where(&leaving);
    }
    let any = endpoints.iter().any(|(_, it)| it.conditions.ready || leaving(it));
    (cluster, local, any)
}

proptest! {
    #[test]
    fn the_choice_is_what_the_contract_says(endpoints in vec(any_endpoint(), 0..8), zoned in any::<bool>()) {
        let node = if zoned { in_zone("a") } else { Node::default() };
        let mut once = Vec::new();
        for it in endpoints {
            if once.iter().all(|other: &Endpoint| other.addr != it.addr) {
                once.push(it);
            }
        }
        let slices = [slice(once.clone())];
        let categorized = categorize(&gather(slices.iter(), Family::V4, &web().ports[0]), &node);
        let pairs: Vec<_> = once.into_iter().map(|it| (Target { addr: it.addr, port: 8080 }, it)).collect();
        let (cluster, local, any) = naive(&pairs, &node);
        prop_assert_eq!(categorized.cluster, cluster);
        prop_assert_eq!(categorized.local, local);
        prop_assert_eq!(categorized.empty == EmptyVerdict::Drop, any);
    }

    #[test]
    fn neither_the_order_nor_the_number_of_slices_matters(
        endpoints in vec(any_endpoint(), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = [slice(endpoints.clone())];
        let expected = compile_all(&web(), &whole, &in_zone("a"), 100);
        let mut first = endpoints;
        let second = first.split_off(cut.index(first.len() + 1));
        let parts = [slice(second.clone()), slice(first), slice(second)];
        prop_assert_eq!(compile_all(&web(), &parts, &in_zone("a"), 100), expected);
    }
}
