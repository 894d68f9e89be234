// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a VIP to a pod and back.

use std::collections::BTreeSet;

use lab::Family;
use lab::lookup::Found;
use lab::service::{Protocol, ServiceSpec};

use crate::{clusters, echo_pod, service};

#[test]
#[ignore = "needs root"]
fn a_vip_leads_to_its_pod_and_the_pod_sees_the_client() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        for node in [1, 2] {
            let server = echo_pod(&lab, node, &format!("server{node}"));
            let service = service(&lab, server.name(), &[&server]);
            for family in Family::ALL {
                println!("to node {node} over {family}");
                let vip = service.at(family, 80);
                let tcp = client.talk().ask_tcp(vip, "hello").unwrap();
                let udp = client.talk().ask_udp(vip, "hello").unwrap();
                let (unconnected, from) = client.talk().ask_udp_unconnected(vip, "hello").unwrap();
                assert_eq!(from, vip);
                for answer in [tcp, udp, unconnected] {
                    assert_eq!(answer.pod, server.name());
                    assert_eq!(answer.client.ip(), client.ip(family));
                    assert_eq!(answer.heard, "hello");
                }
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn every_backend_of_a_vip_gets_connections() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let servers = [
            echo_pod(&lab, 1, "a"),
            echo_pod(&lab, 2, "b"),
            echo_pod(&lab, 2, "c"),
        ];
        let service = service(&lab, "web", &[&servers[0], &servers[1], &servers[2]]);
        for family in Family::ALL {
            let ask = |_| client.talk().ask_tcp(service.at(family, 80), "who").unwrap().pod;
            let answered: BTreeSet<_> = (0..60).map(ask).collect();
            assert_eq!(answered.len(), 3, "{family}: {answered:?}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn cluster_dns_answers_at_its_vip_over_udp_and_tcp() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let server = lab.node(2).pod("kube-dns").unwrap();
        server.serve_dns().unwrap();
        let spec = ServiceSpec::new("kube-dns")
            .namespace("kube-system")
            .number(10)
            .tcp_and_udp(53, 53);
        let dns = lab.service(spec).unwrap();
        dns.lead_to(&[server.ready()]).unwrap();
        lab.settle().unwrap();
        for (family, over) in both_families_over(Protocol::ALL) {
            let ask = |name| {
                client
                    .talk()
                    .look_up(dns.at(family, 53), name, family, over)
                    .unwrap()
            };
            let own = Found::Addresses(vec![dns.vip().get(family)]);
            assert_eq!(
                ask("kube-dns.kube-system.svc.cluster.local."),
                own,
                "{family} {over:?}"
            );
            assert_eq!(
                ask("absent.default.svc.cluster.local."),
                Found::NoSuchName,
                "{family} {over:?}"
            );
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_pod_reaches_itself_through_its_service() {
    for lab in clusters() {
        let pod = echo_pod(&lab, 1, "selfish");
        let service = service(&lab, "selfish", &[&pod]);
        for family in Family::ALL {
            let vip = service.at(family, 80);
            for answer in [
                pod.talk().ask_tcp(vip, "me").unwrap(),
                pod.talk().ask_udp(vip, "me").unwrap(),
            ] {
                assert_eq!(answer.pod, "selfish", "{family}");
            }
            let (_, from) = pod.talk().ask_udp_unconnected(vip, "me").unwrap();
            assert_eq!(from, vip);
        }
    }
}

#[test]
#[ignore = "needs root"]
fn tcp_and_udp_of_one_vip_and_port_lead_to_their_own_ports() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let (tcp, udp) = (lab.node(2).pod("tcp").unwrap(), lab.node(2).pod("udp").unwrap());
        tcp.serve_echo(7001).unwrap();
        udp.serve_echo(7002).unwrap();
        let spec = ServiceSpec::new("split")
            .port(Protocol::Tcp, 53, 7001)
            .port(Protocol::Udp, 53, 7002);
        let service = lab.service(spec).unwrap();
        // Only the pod that listens on the port of the protocol can answer.
        for (pod, over) in [(&tcp, Protocol::Tcp), (&udp, Protocol::Udp)] {
            crate::lead(&lab, &service, &[pod.ready()]);
            for family in Family::ALL {
                let vip = service.at(family, 53);
                let answer = match over {
                    Protocol::Tcp => client.talk().ask_tcp(vip, "who"),
                    Protocol::Udp => client.talk().ask_udp(vip, "who"),
                };
                assert_eq!(answer.unwrap().pod, pod.name(), "{family} {over:?}");
            }
        }
    }
}

fn both_families_over(protocols: [Protocol; 2]) -> impl Iterator<Item = (Family, Protocol)> {
    Family::ALL
        .into_iter()
        .flat_map(move |family| protocols.map(|protocol| (family, protocol)))
}
