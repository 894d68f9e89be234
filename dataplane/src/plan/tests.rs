// SPDX-License-Identifier: MIT OR Apache-2.0
//! Properties of diff and planner.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::testing::{ChaosMaps, contents, dangling, wanted_contents};
use super::*;
use crate::compile::{Compiled, Frontend, Member, Port, Scope};
use crate::model::{
    Detect, Family, FrontendKey, FrontendKind, Networks, NodeNetwork, OwnAddress, Protocol, ServiceName,
    ServicePortName, Target, TrafficPolicy,
};

type Wanted = BTreeMap<ServiceName, Compiled>;

// Few values of each kind, so that collisions are common.

fn service_port(index: usize) -> ServicePortName {
    let service = ServiceName::new("default", ["a", "b", "c"][index / 2 % 3]);
    ServicePortName {
        service,
        port: ["", "x"][index % 2].into(),
        protocol: Protocol::Tcp,
    }
}

fn frontend_key(index: usize) -> FrontendKey {
    let addr = match index % 4 {
        3 => Family::V4.unspecified(),
        0 => IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)),
        1 => IpAddr::V4(Ipv4Addr::new(10, 96, 0, 2)),
        _ => IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
    };
    FrontendKey {
        addr,
        port: 80 + (index / 4) as u16,
        protocol: Protocol::Tcp,
    }
}

fn target(index: usize, family: Family) -> Target {
    let last = 1 + index as u8;
    let addr = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, last.into())),
    };
    Target { addr, port: 8080 }
}

fn scope(family: Family) -> impl Strategy<Value = Scope> {
    (btree_set(0..6usize, 0..6), any::<bool>()).prop_map(move |(members, reject)| Scope {
        members: members.into_iter().map(|index| target(index, family)).collect(),
        empty: if reject {
            EmptyVerdict::Reject
        } else {
            EmptyVerdict::Drop
        },
    })
}

/// Which port owns a frontend and what it does there: keys are unique, as the index sees to.
fn wanted() -> impl Strategy<Value = Wanted> {
    let frontend = |key: FrontendKey| {
        let family = Family::of(key.addr);
        (
            scope(family),
            scope(family),
            0..2u32,
            kind_and_policy(),
            any::<bool>(),
        )
            .prop_map(
                move |(internal, external, affinity_seconds, (kind, policy), is_restricted)| Frontend {
                    kind: if key.addr.is_unspecified() {
                        FrontendKind::NodePort
                    } else {
                        kind
                    },
                    policy,
                    internal,
                    external,
                    affinity_seconds,
                    is_restricted,
                    masquerades_external: is_restricted,
                },
            )
    };
    let owned = |index: usize| (0..6usize, frontend(frontend_key(index)));
    let spare = btree_map(0..6usize, (0..6usize, any::<bool>()), 0..3);
    (
        vec(prop::option::of(any::<prop::sample::Index>()), 6),
        (0..6).map(owned).collect::<Vec<_>>(),
        spare,
    )
        .prop_map(|(present, owners, spare)| {
            let mut ports: BTreeMap<ServicePortName, Port> = BTreeMap::new();
            for (index, (owner, frontend)) in owners.into_iter().enumerate() {
                if present[index].is_some() {
                    let port = ports.entry(service_port(owner)).or_default();
                    let members = frontend.internal.members.iter().chain(&frontend.external.members);
                    let used = Member {
                        in_use: true,
                        chosen_anywhere: true,
                        ..Member::default()
                    };
                    port.backends.extend(members.map(|member| (*member, used)));
                    if frontend.is_restricted {
                        port.ranges.insert(range(index));
                    }
                    port.frontends.insert(frontend_key(index), frontend);
                }
            }
            for (owner, (index, local)) in spare {
                if let Some(port) = ports.get_mut(&service_port(owner)) {
                    let draining = Member {
                        local,
                        ..Member::default()
                    };
                    port.backends.entry(target(index, Family::V4)).or_insert(draining);
                }
            }
            let mut wanted = Wanted::new();
            for (name, port) in ports {
                wanted
                    .entry(name.service.clone())
                    .or_default()
                    .ports
                    .insert(name, port);
            }
            wanted
        })
}

fn kind_and_policy() -> impl Strategy<Value = (FrontendKind, TrafficPolicy)> {
    let kinds = vec![
        FrontendKind::ClusterIp,
        FrontendKind::LoadBalancer,
        FrontendKind::ExternalIp,
    ];
    let policies = vec![TrafficPolicy::Cluster, TrafficPolicy::Local];
    (prop::sample::select(kinds), prop::sample::select(policies))
}

fn range(index: usize) -> IpNet {
    ["10.0.0.0/8", "192.0.2.0/24", "0.0.0.0/0", "fd00::/16"][index % 4]
        .parse()
        .unwrap()
}

fn networks() -> impl Strategy<Value = BTreeMap<Family, Networks>> {
    let of_family = |family| {
        let detect = prop::sample::select(&[Detect::Nobody, Detect::Device][..]);
        let services = vec(Just(IpNet::from(Family::unspecified(family))), 0..2);
        let node = prop::option::of(Just(Family::unspecified(family)));
        (detect, services, node, 0..2_u32).prop_map(|(detect, services, node, hash_seed)| Networks {
            detect,
            services,
            node,
            hash_seed,
        })
    };
    (of_family(Family::V4), of_family(Family::V6)).prop_map(|(v4, v6)| {
        let both = BTreeMap::from([(Family::V4, v4), (Family::V6, v6)]);
        both.into_iter()
            .filter(|(_, it)| *it != Networks::default())
            .collect()
    })
}

fn node_network() -> impl Strategy<Value = NodeNetwork> {
    let addr = (0..3usize).prop_map(|index| frontend_key(index).addr);
    let own = any::<bool>().prop_map(|serves_node_ports| OwnAddress { serves_node_ports });
    (btree_map(addr, own, 0..3), networks())
        .prop_map(|(addresses, networks)| NodeNetwork { addresses, networks })
}

/// Any tables at all, references leading nowhere included.
fn any_state() -> impl Strategy<Value = KernelState> {
    let service_id = || (1..5u32).prop_map(ServiceId);
    let set_id = || (0..5u32).prop_map(SetId);
    let backend_id = || {
        (prop::sample::select(&Family::ALL), 1..6u32).prop_map(|(family, index)| BackendId { family, index })
    };
    let backend =
        (0..6usize, service_id(), any::<bool>(), any::<bool>()).prop_map(|(index, service, alive, local)| {
            let Target { addr, port } = target(index, Family::V4);
            let state = if alive {
                BackendState::Alive
            } else {
                BackendState::Draining
            };
            Backend {
                addr,
                port,
                service,
                state,
                local,
                chosen_anywhere: alive,
                chosen_local: local,
            }
        });
    let scope = (0..5u32, 0..3u32).prop_map(|(id, size)| ScopeValue {
        set: SetRef { id: SetId(id), size },
        empty: EmptyVerdict::Drop,
    });
    let value = (
        service_id(),
        scope.clone(),
        scope,
        kind_and_policy(),
        any::<bool>(),
    )
        .prop_map(
            |(service, internal, external, (kind, policy), is_restricted)| FrontendValue {
                service,
                kind,
                policy,
                internal,
                external,
                affinity_seconds: 0,
                is_restricted,
                masquerades_external: is_restricted,
            },
        );
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(vip, cluster_ip, node, node_ports)| AddressFlags {
            vip,
            cluster_ip,
            node,
            node_ports,
        },
    );
    (
        btree_map(service_id(), (0..6usize).prop_map(service_port), 0..5),
        btree_map(backend_id(), backend, 0..8).prop_map(BackendMap::from_iter),
        btree_map(set_id(), vec(backend_id(), 1..4), 0..5),
        btree_map((0..6usize).prop_map(frontend_key), value, 0..6),
        btree_map(
            (0..6usize).prop_map(|index| frontend_key(index).addr),
            flags,
            0..4,
        ),
        btree_map(service_id(), btree_set((0..4usize).prop_map(range), 1..3), 0..3),
        networks(),
    )
        .prop_map(
            |(services, backends, sets, frontends, addresses, ranges, networks)| KernelState {
                services,
                backends,
                sets,
                frontends,
                addresses,
                ranges,
                networks,
            },
        )
}

fn planner_of(maps: &MemoryMaps) -> Planner {
    Planner::adopt(maps.state.clone(), maps.capacity())
}

/// Applies a plan and checks every step of it on the way.
fn carry_out(plan: &Plan, planner: &mut Planner, maps: &mut MemoryMaps) -> Result<(), TestCaseError> {
    for op in &plan.ops {
        let before = maps.state.clone();
        prop_assert!(planner.admits(op), "{op} is held back");
        maps.apply(op).unwrap();
        planner.applied(op);
        prop_assert_eq!(dangling(&maps.state), Vec::<String>::new(), "after {}", op);
        if let Op::PutSet { id, .. } = op {
            prop_assert!(!before.sets.contains_key(id), "{} was written twice", id);
        }
        if let Op::PutBackend { id, backend } = op {
            let moved = before
                .backends
                .get(id)
                .is_some_and(|it| it.target() != backend.target());
            prop_assert!(!moved, "{} became another address", id);
        }
    }
    prop_assert_eq!(planner.kernel(), &maps.state);
    Ok(())
}

/// Plans everything, one Service at a time; each plan is carried out before the next is made.
fn everything<E>(
    planner: &mut Planner,
    wanted: &Wanted,
    mut carry_out: impl FnMut(&mut Planner, Plan) -> Result<(), E>,
) -> Result<(), E> {
    let mut resync = Resync::default();
    for (name, compiled) in wanted {
        let plan = resync.part(planner, &BTreeMap::from([(name.clone(), compiled.clone())]));
        carry_out(planner, plan)?;
    }
    let plan = resync.rest(planner);
    carry_out(planner, plan)
}

/// What an event would make dirty: every Service of the old and of the new world.
fn change(old: &Wanted, new: &Wanted) -> Wanted {
    old.keys()
        .chain(new.keys())
        .map(|name| (name.clone(), new.get(name).cloned().unwrap_or_default()))
        .collect()
}

proptest! {
    #[test]
    fn the_ops_of_a_diff_lead_to_what_is_desired(desired in any_state(), actual in any_state()) {
        let mut state = actual.clone();
        for op in diff(&desired, &actual) {
            state.apply(&op);
        }
        prop_assert_eq!(state, desired);
    }

    #[test]
    fn no_difference_needs_no_op(state in any_state()) {
        prop_assert_eq!(diff(&state, &state), vec![]);
    }

    #[test]
    fn ops_are_ordered_by_kind(desired in any_state(), actual in any_state()) {
        let place = |op: &Op| Op::KINDS.iter().position(|kind| *kind == op.kind()).unwrap();
        let order: Vec<usize> = diff(&desired, &actual).iter().map(place).collect();
        prop_assert!(order.is_sorted(), "{order:?}");
    }

    #[test]
    fn every_step_of_every_change_holds_together(
        worlds in vec((wanted(), node_network()), 1..5),
    ) {
        let mut maps = MemoryMaps::default();
        let mut planner = planner_of(&maps);
        let mut current = Wanted::new();
        for (wanted, nodes) in worlds {
            planner.set_node_network(nodes.clone());
            let plan = planner.plan(&change(&current, &wanted));
            carry_out(&plan, &mut planner, &mut maps)?;
            prop_assert_eq!(contents(&maps.state), wanted_contents(&wanted, &nodes));
            current = wanted;
        }
    }

    #[test]
    fn planning_one_service_at_a_time_leads_to_the_same(wanted in wanted(), nodes in node_network()) {
        let mut maps = MemoryMaps::default();
        let mut planner = planner_of(&maps);
        for (name, compiled) in &wanted {
            let plan = planner.plan(&BTreeMap::from([(name.clone(), compiled.clone())]));
            carry_out(&plan, &mut planner, &mut maps)?;
        }
        planner.set_node_network(nodes.clone());
        let plan = planner.plan(&Wanted::new());
        carry_out(&plan, &mut planner, &mut maps)?;
        prop_assert_eq!(contents(&maps.state), wanted_contents(&wanted, &nodes));
    }

    #[test]
    fn a_restart_without_a_change_writes_nothing(
        worlds in vec((wanted(), node_network()), 1..4),
    ) {
        let mut maps = MemoryMaps::default();
        for (wanted, nodes) in worlds {
            for first in [true, false] {
                let mut planner = planner_of(&maps);
                planner.set_node_network(nodes.clone());
                everything(&mut planner, &wanted, |planner, plan| {
                    prop_assert!(first || plan.ops.is_empty(), "{:?}", plan.ops);
                    carry_out(&plan, planner, &mut maps)
                })?;
            }
            prop_assert_eq!(contents(&maps.state), wanted_contents(&wanted, &nodes));
        }
    }

    #[test]
    fn whatever_the_kernel_holds_is_repaired(odd in any_state(), wanted in wanted(), nodes in node_network()) {
        let mut maps = MemoryMaps::new(odd, 100, 100);
        let mut planner = planner_of(&maps);
        planner.set_node_network(nodes.clone());
        everything(&mut planner, &wanted, |planner, plan| {
            plan.ops.iter().try_for_each(|op| maps.apply(op).map(|()| planner.applied(op)))
        })
        .unwrap();
        prop_assert_eq!(contents(&maps.state), wanted_contents(&wanted, &nodes));
        let again = planner_of(&maps);
        prop_assert_eq!(contents(again.kernel()), contents(planner.kernel()));
    }

    #[test]
    fn a_kernel_that_fails_now_and_then_is_brought_in_step(
        worlds in vec(wanted(), 1..4),
        fails_every in 2..9u32,
    ) {
        let mut maps = ChaosMaps::new(MemoryMaps::default(), fails_every);
        let mut planner = Planner::adopt(KernelState::default(), maps.capacity());
        for wanted in worlds {
            for _ in 0..100 {
                planner.readopt(maps.load().unwrap());
                let mut ops = 0;
                everything(&mut planner, &wanted, |planner, plan| {
                    ops += plan.ops.len();
                    for op in plan.ops {
                        if planner.admits(&op) && maps.apply(&op).is_ok() {
                            planner.applied(&op);
                        }
                    }
                    Ok::<_, TestCaseError>(())
                })?;
                if ops == 0 {
                    break;
                }
            }
            prop_assert_eq!(contents(&maps.memory.state), wanted_contents(&wanted, &NodeNetwork::default()));
        }
    }
}

fn one_port(targets: &[usize]) -> Wanted {
    let members: BTreeSet<Target> = targets.iter().map(|index| target(*index, Family::V4)).collect();
    let scope = Scope {
        members: members.clone(),
        empty: EmptyVerdict::Reject,
    };
    let frontend = Frontend {
        kind: FrontendKind::ClusterIp,
        policy: TrafficPolicy::Cluster,
        is_restricted: false,
        masquerades_external: false,
        internal: scope.clone(),
        external: scope,
        affinity_seconds: 0,
    };
    let port = Port {
        ranges: BTreeSet::new(),
        backends: members
            .into_iter()
            .map(|it| {
                (
                    it,
                    Member {
                        in_use: true,
                        chosen_anywhere: true,
                        ..Member::default()
                    },
                )
            })
            .collect(),
        frontends: BTreeMap::from([(frontend_key(0), frontend)]),
        keeps_last_endpoints: false,
    };
    let compiled = Compiled {
        ports: BTreeMap::from([(service_port(0), port)]),
        ..Compiled::default()
    };
    Wanted::from([(service_port(0).service, compiled)])
}

fn apply_all(plan: Plan, planner: &mut Planner, maps: &mut MemoryMaps) -> Vec<String> {
    let printed = plan.ops.iter().map(Op::to_string).collect();
    for op in &plan.ops {
        maps.apply(op).unwrap();
        planner.applied(op);
    }
    printed
}

#[test]
fn ops_print_what_they_do() {
    let mut maps = MemoryMaps::default();
    let mut planner = planner_of(&maps);
    let first = planner.plan(&one_port(&[0, 1]));
    assert_eq!(
        apply_all(first, &mut planner, &mut maps),
        [
            "put service 1: default/a/TCP",
            "put backend v4/1: 10.0.0.1:8080 of service 1",
            "put backend v4/2: 10.0.0.2:8080 of service 1",
            "put set 1: v4/1 v4/2",
            "put frontend 10.96.0.1:80/TCP: ClusterIP of service 1, internal set 1 of 2, external set 1 of 2",
            "put address 10.96.0.1: cluster IP",
        ]
    );
    let second = planner.plan(&one_port(&[1, 2]));
    assert_eq!(
        apply_all(second, &mut planner, &mut maps),
        [
            "put backend v4/3: 10.0.0.3:8080 of service 1",
            "put set 2: v4/2 v4/3",
            "put frontend 10.96.0.1:80/TCP: ClusterIP of service 1, internal set 2 of 2, external set 2 of 2",
            "delete set 1 of 2",
            "delete backend v4/1",
        ]
    );
    let gone = planner.plan(&Wanted::from([(service_port(0).service, Compiled::default())]));
    assert_eq!(
        apply_all(gone, &mut planner, &mut maps),
        [
            "delete frontend 10.96.0.1:80/TCP",
            "delete address 10.96.0.1",
            "delete set 2 of 2",
            "delete backend v4/2",
            "delete backend v4/3",
            "delete service 1",
        ]
    );
    assert_eq!(maps.state, KernelState::default());
}

#[test]
fn with_too_few_ids_those_that_have_one_serve() {
    let mut maps = MemoryMaps::new(KernelState::default(), 10, 2);
    let mut planner = planner_of(&maps);
    let plan = planner.plan(&one_port(&[0, 1, 2]));
    assert_eq!(
        plan.shortages
            .iter()
            .map(|it| (it.port.clone(), it.bound.map))
            .collect::<Vec<_>>(),
        [(service_port(0), "backends4")]
    );
    apply_all(plan, &mut planner, &mut maps);
    let serving = [target(0, Family::V4), target(1, Family::V4)];
    assert_eq!(
        contents(&maps.state).frontends[&frontend_key(0)].internal,
        Ok(serving.into())
    );
}

#[test]
fn a_port_that_keeps_its_last_endpoints_keeps_them_over_a_restart() {
    let mut maps = MemoryMaps::default();
    let mut planner = planner_of(&maps);
    let full = planner.plan(&one_port(&[0, 1]));
    apply_all(full, &mut planner, &mut maps);
    let mut emptied = one_port(&[]);
    let port = emptied
        .values_mut()
        .flat_map(|it| it.ports.values_mut())
        .next()
        .unwrap();
    port.keeps_last_endpoints = true;
    assert_eq!(planner.plan(&emptied).ops, vec![]);
    everything(&mut planner_of(&maps), &emptied, |_, plan| match plan.ops[..] {
        [] => Ok(()),
        _ => Err(plan),
    })
    .unwrap();
}
