// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which frontends a Service object has, and whose they are.

use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};

use super::super::parse::Parser;
use super::super::testing::{NODE, applied, deleted, object, service, slice};
use super::{index_of, names, reasons};
use crate::compile::{Compiled, Port};
use crate::index::Index;
use crate::model::{ServiceName, TrafficPolicy};

/// A dual-stack Service of type LoadBalancer with everything there is.
fn web() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": "10.96.0.1",
            "clusterIPs": ["10.96.0.1", "fd00:10:96::1"],
            "externalIPs": ["198.51.100.1", "2001:db8::1"],
            "loadBalancerSourceRanges": [" 203.0.113.0/24", "192.0.2.9/8 "],
            "externalTrafficPolicy": "Local",
            "healthCheckNodePort": 32000,
            "ports": [{ "name": "http", "port": 80, "nodePort": 30080 }],
        },
        "status": { "loadBalancer": { "ingress": [
            { "ip": "198.51.100.7" },
            { "ip": "198.51.100.8", "ipMode": "VIP" },
            { "ip": "198.51.100.9", "ipMode": "Proxy" },
            { "hostname": "balancer.example.org" },
            { "ip": "2001:db8::7" },
        ] } },
    })
}

fn compiled(index: &mut Index, name: &str) -> Compiled {
    index.compile(&ServiceName::new("default", name))
}

fn port(index: &mut Index, name: &str) -> Port {
    compiled(index, name)
        .ports
        .into_values()
        .next()
        .unwrap_or_default()
}

/// Every frontend: where, what kind, and `+` if it is for source ranges only.
fn frontends(index: &mut Index, name: &str) -> Vec<String> {
    let ports = compiled(index, name).ports.into_values();
    ports
        .flat_map(|port| port.frontends)
        .map(|(key, it)| {
            let mark = if it.is_restricted { " +" } else { "" };
            format!("{key} {}{mark}", it.kind)
        })
        .collect()
}

#[test]
fn an_annotation_masquerades_the_clients_outside_of_one_service() {
    let masquerades = |annotations: Value| {
        let mut service = web();
        service["metadata"]["annotations"] = annotations;
        let port = port(&mut index_of(&[service]), "web");
        let mut frontends = port.frontends.into_values();
        let first = frontends.next().map(|it| it.masquerades_external);
        assert!(frontends.all(|it| Some(it.masquerades_external) == first));
        first
    };
    assert_eq!(
        masquerades(json!({ "shunt/masquerade-external": "true" })),
        Some(true)
    );
    assert_eq!(
        masquerades(json!({ "shunt/masquerade-external": "no" })),
        Some(false)
    );
    assert_eq!(masquerades(json!({})), Some(false));
}

#[test]
fn a_service_has_a_frontend_for_each_way_to_it() {
    let mut index = index_of(&[web()]);
    assert_eq!(
        frontends(&mut index, "web"),
        [
            "0.0.0.0:30080/TCP NodePort",
            "10.96.0.1:80/TCP ClusterIP",
            "198.51.100.1:80/TCP externalIP",
            "198.51.100.7:80/TCP LoadBalancer +",
            "198.51.100.8:80/TCP LoadBalancer +",
            "[::]:30080/TCP NodePort",
            "[2001:db8::1]:80/TCP externalIP",
            "[2001:db8::7]:80/TCP LoadBalancer",
            "[fd00:10:96::1]:80/TCP ClusterIP",
        ],
        "source ranges are of one family only"
    );
    let ranges = port(&mut index, "web").ranges;
    let ranges: Vec<_> = ranges.iter().map(ToString::to_string).collect();
    assert_eq!(ranges, ["192.0.0.0/8", "203.0.113.0/24"]);
    assert_eq!(reasons(&mut index), [""; 0]);
}

#[test]
fn a_service_is_served_in_the_families_of_its_cluster_ips() {
    let mut web = web();
    web["spec"]["clusterIPs"] = json!(["10.96.0.1"]);
    web["spec"]["ports"][0]["nodePort"] = json!(0);
    let mut index = index_of(&[web]);
    assert_eq!(
        frontends(&mut index, "web"),
        [
            "10.96.0.1:80/TCP ClusterIP",
            "198.51.100.1:80/TCP externalIP",
            "198.51.100.7:80/TCP LoadBalancer +",
            "198.51.100.8:80/TCP LoadBalancer +",
        ],
        "and without a NodePort where none was allocated"
    );
}

#[test]
fn policies_rule_their_own_frontends_and_the_outsides_policy_not_the_nodes_own_clients() {
    let mut slice = slice("web-1", "web", &["10.0.0.1", "10.0.0.2"]);
    slice["endpoints"][1]["nodeName"] = json!(NODE);
    let scopes = |inside: &str, outside: &str| -> Vec<String> {
        let mut web = web();
        web["spec"]["internalTrafficPolicy"] = json!(inside);
        web["spec"]["externalTrafficPolicy"] = json!(outside);
        let mut index = index_of(&[web, slice.clone()]);
        let port = port(&mut index, "web");
        let v4 = port.frontends.iter().filter(|(key, _)| key.addr.is_ipv4());
        let said = v4.map(|(_, it)| {
            let (internal, external) = (it.internal.members.len(), it.external.members.len());
            format!("{} {internal} {external}", it.kind)
        });
        let mut said: Vec<_> = said.collect();
        said.dedup();
        said
    };
    assert_eq!(
        scopes("Cluster", "Cluster"),
        [
            "NodePort 2 2",
            "ClusterIP 2 2",
            "externalIP 2 2",
            "LoadBalancer 2 2"
        ]
    );
    assert_eq!(
        scopes("Local", "Cluster"),
        [
            "NodePort 2 2",
            "ClusterIP 1 1",
            "externalIP 2 2",
            "LoadBalancer 2 2"
        ]
    );
    assert_eq!(
        scopes("Cluster", "Local"),
        [
            "NodePort 2 1",
            "ClusterIP 2 2",
            "externalIP 2 1",
            "LoadBalancer 2 1"
        ]
    );
    assert_eq!(
        scopes("Local", "Local"),
        [
            "NodePort 2 1",
            "ClusterIP 1 1",
            "externalIP 2 1",
            "LoadBalancer 2 1"
        ]
    );
}

#[test]
fn a_balancers_address_may_be_a_client_where_the_node_may() {
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": NODE },
        "status": { "addresses": [
            { "type": "Hostname", "address": NODE },
            { "type": "ExternalIP", "address": "198.18.0.1" },
            { "type": "InternalIP", "address": "203.0.113.7" },
        ] },
    });
    let mut index = index_of(&[web(), node]);
    let ranges = port(&mut index, "web").ranges;
    let ranges: Vec<_> = ranges.iter().map(ToString::to_string).collect();
    assert_eq!(
        ranges,
        [
            "192.0.0.0/8",
            "198.51.100.7/32",
            "198.51.100.8/32",
            "203.0.113.0/24"
        ]
    );
}

#[test]
fn unreadable_ranges_admit_no_client() {
    let mut web = web();
    web["spec"]["loadBalancerSourceRanges"] = json!(["10.0.0.0/33"]);
    let mut index = index_of(&[web]);
    let restricted: Vec<_> = frontends(&mut index, "web")
        .into_iter()
        .filter(|it| it.ends_with('+'))
        .collect();
    assert_eq!(restricted.len(), 3, "of both families: {restricted:?}");
    let ranges = port(&mut index, "web").ranges;
    assert!(
        ranges.iter().all(|range| range.addr().is_unspecified()),
        "{ranges:?}"
    );
    assert_eq!(
        reasons(&mut index),
        [
            "Service default/web: spec.loadBalancerSourceRanges \"10.0.0.0/33\" is not an address range: it \
          admits no client"
        ]
    );
}

#[test]
fn health_checks_are_for_balancers_whose_policy_is_local() {
    let number = |change: fn(&mut Value)| {
        let mut web = web();
        change(&mut web);
        let web: core::Service = object(web);
        Parser::new(NODE)
            .service(&web)
            .model
            .unwrap()
            .health_check_node_port
    };
    assert_eq!(number(|_| {}), Some(32_000));
    assert_eq!(
        number(|web| web["spec"]["externalTrafficPolicy"] = json!("Cluster")),
        None
    );
    assert_eq!(number(|web| web["spec"]["type"] = json!("NodePort")), None);
    assert_eq!(number(|web| web["spec"]["healthCheckNodePort"] = json!(0)), None);
}

#[test]
fn odd_addresses_and_ports_are_refused_one_by_one() {
    let mut web = web();
    web["spec"]["externalIPs"] = json!(["198.51.100.1", "127.0.0.1", "nobody"]);
    web["status"]["loadBalancer"]["ingress"] = json!([{ "ip": "0.0.0.0" }, { "ip": "198.51.100.7" }]);
    web["spec"]["ports"] =
        json!([{ "name": "http", "port": 80 }, { "name": "x", "port": 81, "nodePort": 70000 }]);
    web["spec"]["clusterIPs"] = json!(["10.96.0.1"]);
    let mut index = index_of(&[web]);
    assert_eq!(
        frontends(&mut index, "web"),
        [
            "10.96.0.1:80/TCP ClusterIP",
            "198.51.100.1:80/TCP externalIP",
            "198.51.100.7:80/TCP LoadBalancer +"
        ]
    );
    assert_eq!(
        reasons(&mut index),
        [
            "Service default/web: spec.externalIPs 127.0.0.1 is a loopback address: no Service can have such an address",
            "Service default/web: spec.externalIPs \"nobody\" is not an IP address",
            "Service default/web: status.loadBalancer.ingress.ip 0.0.0.0 is the unspecified address: no Service can \
             have such an address",
            "Service default/web: spec.ports.nodePort 70000 is not a port (1-65535)",
        ]
    );
}

#[test]
fn of_an_address_named_twice_the_kind_with_more_rules_counts() {
    let mut web = web();
    web["spec"]["externalIPs"] = json!(["198.51.100.7"]);
    web["spec"]["clusterIPs"] = json!(["10.96.0.1"]);
    let mut index = index_of(&[web]);
    assert_eq!(
        frontends(&mut index, "web")[2],
        "198.51.100.7:80/TCP LoadBalancer +"
    );
    assert_eq!(reasons(&mut index), [""; 0]);
}

#[test]
fn the_older_service_has_a_frontend_of_any_kind_that_two_ask_for() {
    let mut older = service("older", "10.96.0.1");
    older["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    older["spec"]["externalIPs"] = json!(["198.51.100.1"]);
    older["spec"]["ports"][0]["nodePort"] = json!(30080);
    let mut newer = service("newer", "10.96.0.2");
    newer["metadata"]["creationTimestamp"] = json!("2026-02-01T00:00:00Z");
    newer["spec"]["ports"][0]["nodePort"] = json!(30080);
    newer["status"]["loadBalancer"]["ingress"] = json!([{ "ip": "198.51.100.1" }]);
    let mut index = index_of(&[older.clone(), newer]);
    assert_eq!(frontends(&mut index, "newer"), ["10.96.0.2:80/TCP ClusterIP"]);
    assert_eq!(frontends(&mut index, "older").len(), 3);
    assert_eq!(
        reasons(&mut index),
        [
            "Service default/newer: 198.51.100.1:80/TCP belongs to default/older:http/TCP, which is older",
            "Service default/newer: 0.0.0.0:30080/TCP belongs to default/older:http/TCP, which is older",
        ]
    );
    index.take_dirty();
    older["spec"]["ports"][0]["nodePort"] = json!(30081);
    index.apply(applied(&older));
    assert_eq!(names(index.take_dirty()), ["newer", "older"]);
    assert_eq!(
        frontends(&mut index, "newer"),
        ["0.0.0.0:30080/TCP NodePort", "10.96.0.2:80/TCP ClusterIP"]
    );
    index.apply(deleted(&older));
    assert_eq!(frontends(&mut index, "newer").len(), 3);
    assert_eq!(reasons(&mut index), [""; 0]);
}

#[test]
fn a_service_that_becomes_a_mere_name_or_another_proxys_is_gone_and_comes_back() {
    let mut index = index_of(&[web(), slice("web-1", "web", &["10.0.0.1"])]);
    let whole = frontends(&mut index, "web");
    let hiding: [fn(&mut Value); 4] = [
        |web| web["spec"]["type"] = json!("ExternalName"),
        |web| {
            web["spec"]["clusterIP"] = json!("None");
            web["spec"]["clusterIPs"] = json!(["None"]);
        },
        |web| web["metadata"]["labels"]["service.kubernetes.io/service-proxy-name"] = json!(""),
        |web| web["metadata"]["labels"]["service.kubernetes.io/headless"] = json!(""),
    ];
    for hide in hiding {
        let mut hidden = web();
        hide(&mut hidden);
        index.apply(applied(&hidden));
        assert_eq!(names(index.take_dirty()), ["web"]);
        assert_eq!(frontends(&mut index, "web"), [""; 0], "{hidden}");
        index.apply(applied(&web()));
        assert_eq!(frontends(&mut index, "web"), whole);
        index.take_dirty();
    }
}

#[test]
fn a_proxy_with_a_name_sees_what_names_it_and_nothing_else() {
    let parser = Parser::new(NODE).for_proxy("mine");
    assert_eq!(
        parser.selector(),
        "service.kubernetes.io/service-proxy-name=mine,!service.kubernetes.io/headless"
    );
    let seen = |labels: Value| {
        let mut web = web();
        web["metadata"]["labels"] = labels;
        let web: core::Service = object(web);
        parser.service(&web).model.is_some()
    };
    assert!(seen(
        json!({ "service.kubernetes.io/service-proxy-name": "mine" })
    ));
    assert!(!seen(
        json!({ "service.kubernetes.io/service-proxy-name": "other" })
    ));
    assert!(!seen(json!({})));
    assert!(!seen(json!({
        "service.kubernetes.io/service-proxy-name": "mine",
        "service.kubernetes.io/headless": "",
    })));
}

#[test]
fn an_outside_policy_alone_does_not_change_the_cluster_ips() {
    let mut index = index_of(&[web()]);
    let port = port(&mut index, "web");
    let policies: Vec<_> = port.frontends.values().map(|it| (it.kind, it.policy)).collect();
    for (kind, policy) in policies {
        let wanted = match kind.as_str() {
            "ClusterIP" => TrafficPolicy::Cluster,
            _ => TrafficPolicy::Local,
        };
        assert_eq!(policy, wanted, "{kind}");
    }
}
