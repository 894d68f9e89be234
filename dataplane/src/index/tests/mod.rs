// SPDX-License-Identifier: MIT OR Apache-2.0
//! What becomes dirty, what is refused, and that only the last state of the cluster counts.

mod frontends;

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::testing::{applied, deleted, listed, node, service, slice};
use super::*;
use crate::model::{Reason, ServicePortName, Target};
use crate::plan::testing::{Contents, contents};
use crate::plan::{Maps, MemoryMaps, Planner};

fn index_of(objects: &[Value]) -> Index {
    let mut index = Index::new(Settings::default());
    for event in listed(objects) {
        index.apply(event);
    }
    index
}

fn names(dirty: BTreeSet<ServiceName>) -> Vec<String> {
    dirty.iter().map(|name| name.name.to_string()).collect()
}

/// Where `default/NAME` sends its clients; nothing if it has no frontend.
fn served(index: &mut Index, name: &str) -> Option<Vec<String>> {
    let compiled = index.compile(&ServiceName::new("default", name));
    let frontend = compiled
        .ports
        .into_values()
        .flat_map(|port| port.frontends.into_values())
        .next()?;
    Some(frontend.internal.members.iter().map(Target::to_string).collect())
}

fn reasons(index: &mut Index) -> Vec<String> {
    let printed = |(object, reason): (&ObjectRef, &Reason)| format!("{object}: {reason}");
    index.refusals().iter().map(printed).collect()
}

#[test]
fn the_index_is_complete_when_every_kind_was_listed() {
    let mut index = Index::default();
    for event in listed(&[]) {
        assert!(!index.is_complete());
        assert!(index.apply(event));
    }
    assert!(index.is_complete());
}

#[test]
fn a_slice_makes_its_own_service_dirty_and_no_other() {
    let mut index = index_of(&[service("web", "10.96.0.1"), service("dns", "10.96.0.10")]);
    assert_eq!(names(index.take_dirty()), ["dns", "web"]);
    assert!(index.apply(applied(&slice("web-1", "web", &["10.0.0.1"]))));
    assert_eq!(names(index.take_dirty()), ["web"]);
    assert!(
        !index.apply(applied(&slice("web-1", "web", &["10.0.0.1"]))),
        "nothing new"
    );
    assert!(
        !index.apply(applied(&slice("other", "not-there", &["10.0.0.1"]))),
        "nobody's slice"
    );
    assert_eq!(names(index.take_dirty()), [""; 0]);
    assert!(
        index.apply(applied(&slice("web-1", "dns", &["10.0.0.1"]))),
        "moved"
    );
    assert_eq!(names(index.take_dirty()), ["dns", "web"]);
}

#[test]
fn slices_may_come_before_their_service() {
    let mut index = index_of(&[slice("web-1", "web", &["10.0.0.1"])]);
    index.apply(applied(&service("web", "10.96.0.1")));
    assert_eq!(served(&mut index, "web"), Some(vec!["10.0.0.1:8080".into()]));
}

#[test]
fn what_a_relist_does_not_name_is_gone() {
    let objects = [
        service("web", "10.96.0.1"),
        service("dns", "10.96.0.10"),
        slice("web-1", "web", &["10.0.0.1"]),
    ];
    let mut index = index_of(&objects);
    index.take_dirty();
    for event in listed(&objects[..1]) {
        index.apply(event);
    }
    assert_eq!(names(index.take_dirty()), ["dns", "web"]);
    assert_eq!(
        (served(&mut index, "dns"), served(&mut index, "web")),
        (None, Some(vec![]))
    );
}

#[test]
fn only_the_own_nodes_zone_counts() {
    let mut index = index_of(&[
        service("web", "10.96.0.1"),
        node("node-a", "a"),
        node("node-b", "b"),
    ]);
    index.take_dirty();
    assert!(!index.apply(applied(&node("node-b", "c"))));
    assert!(index.apply(applied(&node("node-a", "c"))));
    assert_eq!(names(index.take_dirty()), ["web"]);
}

#[test]
fn endpoints_are_read_as_upstream_reads_them() {
    let mut slice = slice("web-1", "web", &[]);
    slice["endpoints"] = json!([
        { "addresses": ["10.0.0.1", "10.0.0.99"] },
        { "addresses": ["10.0.0.2"], "conditions": {} },
        { "addresses": ["10.0.0.3"], "conditions": { "ready": false } },
        { "addresses": ["10.0.0.4"], "conditions": { "ready": false, "serving": true, "terminating": true } },
        { "addresses": ["10.0.0.5"], "conditions": { "ready": true, "serving": null }, "nodeName": "node-a" },
    ]);
    slice["ports"] =
        json!([{ "name": "http", "port": 8080 }, { "name": "http", "port": null }, { "name": "" }]);
    let mut index = index_of(&[service("web", "10.96.0.1"), slice]);
    let compiled = index.compile(&ServiceName::new("default", "web"));
    let port = compiled.ports.values().next().unwrap();
    let backends: Vec<_> = port
        .backends
        .iter()
        .map(|(target, it)| (target.to_string(), it.in_use, it.local))
        .collect();
    assert_eq!(
        backends,
        [
            ("10.0.0.1:8080".into(), true, false),
            ("10.0.0.2:8080".into(), true, false),
            ("10.0.0.4:8080".into(), false, false),
            ("10.0.0.5:8080".into(), true, true),
        ]
    );
    assert_eq!(reasons(&mut index), [""; 0]);
}

#[test]
fn odd_parts_are_refused_by_name_and_the_rest_is_served() {
    let mut web = service("web", "10.96.0.1");
    web["spec"]["clusterIPs"] = json!(["10.96.0.1", "not-an-ip", "127.0.0.1"]);
    web["spec"]["ports"] = json!([
        { "name": "http", "port": 80 },
        { "name": "http", "port": 81 },
        { "name": "zero", "port": 0 },
        { "name": "quic", "port": 443, "protocol": "QUIC" },
        { "name": "a/b", "port": 82 },
    ]);
    let mut slice = slice(
        "web-1",
        "web",
        &["10.0.0.1", "127.0.0.1", "0.0.0.0", "224.0.0.1", "fd00::1", "pod"],
    );
    slice["ports"] = json!([{ "name": "http", "port": 8080 }, { "name": "http", "port": 0 }]);
    let mut index = index_of(&[web, slice]);
    assert_eq!(served(&mut index, "web"), Some(vec!["10.0.0.1:8080".into()]));
    assert_eq!(
        reasons(&mut index),
        [
            "Service default/web: spec.clusterIPs \"not-an-ip\" is not an IP address",
            "Service default/web: spec.clusterIPs 127.0.0.1 is a loopback address: no Service can have such an address",
            "Service default/web: port \"http\" TCP appears twice: the first one is used",
            "Service default/web: spec.ports.port 0 is not a port (1-65535)",
            "Service default/web: protocol \"QUIC\" is not known to this version of Shunt",
            "Service default/web: spec.ports.name \"a/b\" is not a DNS label",
            "EndpointSlice default/web-1: ports.port 0 is not a port (1-65535)",
            "EndpointSlice default/web-1: endpoints.addresses 127.0.0.1 is a loopback address: no Service can have such an address",
            "EndpointSlice default/web-1: endpoints.addresses 0.0.0.0 is the unspecified address: no Service can have such an address",
            "EndpointSlice default/web-1: endpoints.addresses 224.0.0.1 is a multicast address: no Service can have such an address",
            "EndpointSlice default/web-1: address fd00::1 in a slice of IPv4 addresses",
            "EndpointSlice default/web-1: endpoints.addresses \"pod\" is not an IP address",
        ]
    );
}

#[test]
fn headless_external_and_labelled_objects_come_and_go_live() {
    let web = service("web", "10.96.0.1");
    let variants: [fn(&mut Value); 5] = [
        |it| it["spec"]["type"] = json!("ExternalName"),
        |it| it["spec"]["clusterIP"] = json!("None"),
        |it| it["spec"]["clusterIP"] = json!(""),
        |it| it["metadata"]["labels"] = json!({ "service.kubernetes.io/service-proxy-name": "" }),
        |it| it["metadata"]["labels"] = json!({ "service.kubernetes.io/headless": "" }),
    ];
    let mut index = index_of(std::slice::from_ref(&web));
    for hide in variants {
        let mut hidden = web.clone();
        hide(&mut hidden);
        assert!(index.apply(applied(&hidden)), "{hidden}");
        assert_eq!(served(&mut index, "web"), None, "{hidden}");
        assert!(index.apply(applied(&web)));
        assert_eq!(served(&mut index, "web"), Some(vec![]));
    }
    assert_eq!(reasons(&mut index), [""; 0]);
}

#[test]
fn a_labelled_slice_is_hidden() {
    let mut labelled = slice("web-1", "web", &["10.0.0.1"]);
    labelled["metadata"]["labels"]["service.kubernetes.io/headless"] = json!("");
    let mut index = index_of(&[service("web", "10.96.0.1"), labelled]);
    assert_eq!(served(&mut index, "web"), Some(vec![]));
}

#[test]
fn slices_of_names_are_hidden_and_of_unknown_addresses_refused() {
    let typed = |name, address_type| {
        let mut it = slice(name, "web", &["10.0.0.1"]);
        it["addressType"] = json!(address_type);
        it
    };
    let mut index = index_of(&[
        service("web", "10.96.0.1"),
        typed("one", "FQDN"),
        typed("two", "IPv7"),
    ]);
    assert_eq!(served(&mut index, "web"), Some(vec![]));
    assert_eq!(
        reasons(&mut index),
        ["EndpointSlice default/two: addressType \"IPv7\" is not known to this version of Shunt"]
    );
}

#[test]
fn the_older_service_gets_the_address_and_the_other_takes_over() {
    let aged = |name, created: &str| {
        let mut it = service(name, "10.96.0.1");
        it["metadata"]["creationTimestamp"] = json!(created);
        it
    };
    let (old, young) = (
        aged("old", "2024-01-01T00:00:00Z"),
        aged("young", "2024-01-01T00:00:01Z"),
    );
    let undated = service("a-undated", "10.96.0.1");
    let mut index = index_of(&[young.clone(), undated, old.clone()]);
    let all = ["a-undated", "old", "young"];
    for _ in 0..2 {
        assert_eq!(
            all.map(|name| served(&mut index, name).is_some()),
            [false, true, false]
        );
        assert_eq!(
            reasons(&mut index),
            [
                "Service default/a-undated: 10.96.0.1:80/TCP belongs to default/old:http/TCP, which is older",
                "Service default/young: 10.96.0.1:80/TCP belongs to default/old:http/TCP, which is older",
            ]
        );
        index.take_dirty();
        index.apply(deleted(&old));
        assert_eq!(names(index.take_dirty()), all);
        assert_eq!(
            all.map(|name| served(&mut index, name).is_some()),
            [false, false, true]
        );
        index.apply(applied(&old));
        assert_eq!(names(index.take_dirty()), all);
    }
}

#[test]
fn a_service_that_gives_an_address_up_hands_it_over() {
    let mut index = index_of(&[service("a", "10.96.0.1"), service("b", "10.96.0.1")]);
    index.take_dirty();
    index.apply(applied(&service("a", "10.96.0.2")));
    assert_eq!(names(index.take_dirty()), ["a", "b"]);
    assert_eq!(
        (served(&mut index, "a"), served(&mut index, "b")),
        (Some(vec![]), Some(vec![]))
    );
    assert_eq!(reasons(&mut index), [""; 0]);
}

#[test]
fn a_refused_object_is_forgotten_when_it_is_deleted_or_not_relisted() {
    let mut odd = service("odd", "10.96.0.1");
    odd["spec"]["ports"] = json!([{ "port": 0 }]);
    let mut odd_slice = slice("odd-1", "odd", &[]);
    odd_slice["addressType"] = json!("IPv7");
    let mut index = index_of(&[odd.clone(), odd_slice.clone()]);
    assert_eq!(index.refusals().len(), 2);
    index.apply(deleted(&odd));
    for event in listed(&[]) {
        index.apply(event);
    }
    assert_eq!(reasons(&mut index), [""; 0]);
}

#[test]
fn the_last_change_trigger_time_is_reported_once_per_change() {
    let at = |time: &str, addresses: &[&str]| {
        let mut it = slice("web-1", "web", addresses);
        it["metadata"]["annotations"] = json!({ "endpoints.kubernetes.io/last-change-trigger-time": time });
        applied(&it)
    };
    let mut index = index_of(&[service("web", "10.96.0.1")]);
    index.apply(at("2024-01-01T00:00:01Z", &[]));
    index.apply(at("2024-01-01T00:00:01Z", &["10.0.0.1"]));
    index.apply(at("not a time", &[]));
    index.apply(at("2024-01-01T00:00:02.5Z", &[]));
    let since_first: Vec<_> = index
        .take_triggers()
        .windows(2)
        .map(|it| it[1].duration_since(it[0]).unwrap().as_millis())
        .collect();
    assert_eq!(since_first, [1500]);
}

/// The successive states of one object of a small cluster; `None` is gone.
type History = Vec<Option<Value>>;

fn a_service() -> impl Strategy<Value = Value> {
    (0..3usize, 0..2usize, 0..3usize, any::<bool>()).prop_map(|(name, address, created, headless)| {
        let address = ["10.96.0.1", "10.96.0.2"][address];
        let mut it = service(["a", "b", "c"][name], if headless { "None" } else { address });
        if let Some(created) = ["2024-01-01T00:00:00Z", "2024-01-01T00:00:01Z"].get(created) {
            it["metadata"]["creationTimestamp"] = json!(created);
        }
        it
    })
}

fn a_slice() -> impl Strategy<Value = Value> {
    let addresses = prop::sample::select(vec!["10.0.0.1", "10.0.0.2", "10.0.0.3", "127.0.0.1"]);
    (0..4usize, 0..3usize, btree_set(addresses, 0..4)).prop_map(|(name, owner, addresses)| {
        let addresses: Vec<_> = addresses.into_iter().collect();
        slice(["s1", "s2", "s3", "s4"][name], ["a", "b", "c"][owner], &addresses)
    })
}

fn histories() -> impl Strategy<Value = Vec<History>> {
    let zone = prop::sample::select(vec!["a", "b"]).prop_map(|zone| node("node-a", zone));
    let state = prop_oneof![a_service(), a_slice(), zone];
    vec((state, prop::bool::weighted(0.8)), 0..24).prop_map(|states| {
        let mut by_object: BTreeMap<String, Vec<Option<Value>>> = BTreeMap::new();
        for (state, there) in states {
            let key = format!("{}/{}", state["kind"], state["metadata"]["name"]);
            let states = by_object.entry(key).or_default();
            states.push(Some(state));
            if !there {
                states.push(None);
            }
        }
        by_object.into_values().collect()
    })
}

/// The histories of all objects as one stream, each object's own order kept, some events twice.
fn interleaved(histories: &[History], mut seed: u64) -> Vec<Event> {
    let mut queues: Vec<_> = histories
        .iter()
        .map(|states| (None::<Value>, states.iter()))
        .collect();
    let mut events = Vec::new();
    while !queues.is_empty() {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let at = (seed >> 33) as usize % queues.len();
        let (last, queue) = &mut queues[at];
        let event = match queue.next() {
            Some(Some(state)) => {
                *last = Some(state.clone());
                applied(state)
            }
            Some(None) => deleted(last.as_ref().unwrap()),
            None => {
                drop(queues.swap_remove(at));
                continue;
            }
        };
        let twice = (seed >> 20).is_multiple_of(4);
        events.extend(std::iter::repeat_n(event, if twice { 2 } else { 1 }));
    }
    events
}

/// Feeds events, bringing a kernel in step after every `step` of them and at the end.
fn kernel_after(first: Vec<Event>, events: Vec<Event>, step: usize) -> Contents {
    let mut index = Index::default();
    for event in first {
        index.apply(event);
    }
    let mut maps = MemoryMaps::default();
    let mut planner = Planner::adopt(maps.state.clone(), maps.capacity());
    let sync = |index: &mut Index, planner: &mut Planner, maps: &mut MemoryMaps| {
        planner.set_node_network(index.node_network());
        let wanted = index
            .take_dirty()
            .into_iter()
            .map(|name| (name.clone(), index.compile(&name)))
            .collect();
        for op in planner.plan(&wanted).ops {
            assert!(planner.admits(&op), "{op}");
            maps.apply(&op).unwrap();
            planner.applied(&op);
        }
    };
    sync(&mut index, &mut planner, &mut maps);
    for chunk in events.chunks(step) {
        for event in chunk {
            index.apply(event.clone());
        }
        sync(&mut index, &mut planner, &mut maps);
    }
    contents(&maps.state)
}

proptest! {
    #[test]
    fn only_the_last_state_counts_not_how_it_came(
        histories in histories(),
        seeds in any::<[u64; 2]>(),
        step in 1..9usize,
    ) {
        let last: Vec<Value> = histories.iter().filter_map(|states| states.last().cloned().flatten()).collect();
        let restarted = kernel_after(listed(&last), vec![], 1);
        let one_by_one = kernel_after(listed(&[]), interleaved(&histories, seeds[0]), step);
        prop_assert_eq!(&one_by_one, &restarted);
        let otherwise = kernel_after(listed(&[]), interleaved(&histories, seeds[1]), 1000);
        prop_assert_eq!(&otherwise, &restarted);
        let relisted = kernel_after(interleaved(&histories, seeds[0]), listed(&last), step);
        prop_assert_eq!(&relisted, &restarted);
    }
}

#[test]
fn a_service_port_is_named_as_in_the_kernel() {
    let mut index = index_of(&[service("web", "10.96.0.1")]);
    let compiled = index.compile(&ServiceName::new("default", "web"));
    let names: Vec<String> = compiled.ports.keys().map(ServicePortName::label).collect();
    assert_eq!(names, ["default/web:http"]);
}

#[test]
fn the_hash_has_a_secret_of_the_clusters_own() {
    let of = |uid: &str| {
        let mut api = service("kubernetes", "10.96.0.1");
        api["metadata"]["uid"] = json!(uid);
        let network = index_of(&[api, service("web", "10.96.0.2")]).node_network();
        network
            .networks
            .values()
            .map(|it| it.hash_seed)
            .collect::<BTreeSet<_>>()
    };
    let first = of("5b0ff8e5-6f2a-4a3c-9b66-0d1f6a2f5c11");
    assert_eq!(
        first,
        of("5b0ff8e5-6f2a-4a3c-9b66-0d1f6a2f5c11"),
        "the same on all nodes"
    );
    assert_ne!(first, of("5b0ff8e5-6f2a-4a3c-9b66-0d1f6a2f5c12"));
    assert!(!first.contains(&0));
}
