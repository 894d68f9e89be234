// SPDX-License-Identifier: MIT OR Apache-2.0
//! NodePorts, load balancers' and external addresses, and what depends on who asks there.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lab::addresses::{self, node};
use lab::client::From;
use lab::programs::echo::Answer;
use lab::service::ServiceSpec;
use lab::{Family, Ips, Service};

use crate::{clusters, clusters_with, echo_pod, lead};

pub(crate) const NODE_PORT: u16 = 30_080;

/// Port 80 of TCP and UDP, to port 8080.
pub(crate) fn web() -> ServiceSpec {
    ServiceSpec::new("web").tcp_and_udp(80, 8080)
}

/// An address among the Services' that is no ClusterIP: the host outside knows the way there, by node 1.
pub(crate) fn lent(number: u16) -> Ips {
    addresses::vip(0xe000 + number)
}

pub(crate) fn at(ips: Ips, family: Family, port: u16) -> SocketAddr {
    (ips.get(family), port).into()
}

/// The answers to a question over TCP and one over UDP.
fn ask(from: &From<'_>, server: SocketAddr) -> [Answer; 2] {
    [
        from.ask_tcp(server, "who").unwrap(),
        from.ask_udp(server, "who").unwrap(),
    ]
}

/// Asserts that a server's answers come from this pod, and how it saw the client.
fn assert_answers(from: &From<'_>, server: SocketAddr, pod: &str, client: IpAddr) {
    for answer in ask(from, server) {
        assert_eq!(
            (answer.pod.as_str(), answer.client.ip()),
            (pod, client),
            "at {server}"
        );
    }
}

/// Asserts that nobody answers, and nobody refuses.
fn assert_silent(from: From<'_>, server: SocketAddr) {
    let refused = |error: &lab::Error| error.to_string().contains("refused");
    let tcp = from.impatient().ask_tcp(server, "anybody").unwrap_err();
    let udp = from.impatient().ask_udp(server, "anybody").unwrap_err();
    assert!(!refused(&tcp) && !refused(&udp), "at {server}: {tcp}; {udp}");
}

#[test]
#[ignore = "needs root"]
fn a_node_port_leads_clients_outside_to_a_pod_on_this_or_another_node() {
    for lab in clusters() {
        let (near, far) = (echo_pod(&lab, 1, "near"), echo_pod(&lab, 2, "far"));
        let service = lab.service(web().node_port(NODE_PORT)).unwrap();
        let outside = lab.outside().talk();
        for family in Family::ALL {
            let server = at(node(1), family, NODE_PORT);
            lead(&lab, &service, &[near.ready()]);
            assert_answers(&outside, server, "near", addresses::outside().get(family));
            lead(&lab, &service, &[far.ready()]);
            assert_answers(&outside, server, "far", node(1).get(family));
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_pod_reaches_node_ports_of_its_own_node_and_of_another() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let server = echo_pod(&lab, 2, "server");
        let service = lab.service(web().node_port(NODE_PORT)).unwrap();
        lead(&lab, &service, &[server.ready()]);
        for family in Family::ALL {
            for number in [1, 2] {
                let server = at(node(number), family, NODE_PORT);
                assert_answers(&client.talk(), server, "server", client.ip(family));
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn load_balancers_and_external_addresses_lead_to_the_service_from_outside_and_from_pods() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let server = echo_pod(&lab, 1, "server");
        let spec = web().load_balancer(lent(1)).external_ips(lent(2));
        let service = lab.service(spec).unwrap();
        lead(&lab, &service, &[server.ready()]);
        for family in Family::ALL {
            for number in [1, 2] {
                let server = at(lent(number), family, 80);
                let own = addresses::outside().get(family);
                assert_answers(&lab.outside().talk(), server, "server", own);
                assert_answers(&client.talk(), server, "server", client.ip(family));
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn source_ranges_admit_their_clients_and_can_be_changed_while_in_force() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let server = echo_pod(&lab, 1, "server");
        let outsiders = ["172.18.0.0/16 ", " fd00:172:18::/64"];
        let spec = web().node_port(NODE_PORT).load_balancer(lent(1));
        let mut service = lab.service(spec.source_ranges(&outsiders)).unwrap();
        lead(&lab, &service, &[server.ready()]);
        let pods = ["10.244.0.0/16", "fd00:10:244::/48"];
        for round in 0..2 {
            let (admitted, other) = match round {
                0 => (lab.outside().talk(), client.talk()),
                _ => (client.talk(), lab.outside().talk()),
            };
            for family in Family::ALL {
                let balancer = at(lent(1), family, 80);
                assert_eq!(ask(&admitted, balancer)[0].pod, "server");
                assert_silent(other, balancer);
                // Neither the NodePort nor the ClusterIP is restricted.
                for server in [at(node(1), family, NODE_PORT), service.at(family, 80)] {
                    assert_eq!(ask(&other, server)[0].pod, "server");
                }
            }
            service.become_(|spec| spec.source_ranges(&pods)).unwrap();
            lab.settle().unwrap();
        }
    }
}

#[test]
#[ignore = "needs root"]
fn the_external_policy_local_applies_to_clients_outside_only() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let server = echo_pod(&lab, 2, "server");
        let service = lab.service(web().node_port(NODE_PORT).external_local()).unwrap();
        lead(&lab, &service, &[server.ready()]);
        for family in Family::ALL {
            let here = at(node(1), family, NODE_PORT);
            let there = at(node(2), family, NODE_PORT);
            assert_silent(lab.outside().talk(), here);
            assert_answers(
                &lab.outside().talk(),
                there,
                "server",
                addresses::outside().get(family),
            );
            assert_answers(&client.talk(), here, "server", client.ip(family));
        }
        lead(&lab, &service, &[]);
        let refused = lab
            .outside()
            .talk()
            .ask_tcp(at(node(1), Family::V4, NODE_PORT), "who");
        assert!(refused.unwrap_err().to_string().contains("refused"));
    }
}

#[test]
#[ignore = "needs root"]
fn a_client_with_affinity_keeps_its_backend_at_every_frontend_until_it_is_removed() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let pods: Vec<_> = (0..4)
            .map(|number| echo_pod(&lab, 1 + number % 2, &format!("server{number}")))
            .collect();
        let spec = web().node_port(NODE_PORT).load_balancer(lent(1)).affinity(600);
        let service = lab.service(spec).unwrap();
        let mut endpoints: Vec<_> = pods.iter().map(|pod| (pod.name(), pod.ready())).collect();
        let set = |endpoints: &[(&str, lab::service::Endpoint)]| {
            let endpoints: Vec<_> = endpoints.iter().map(|(_, endpoint)| endpoint.clone()).collect();
            lead(&lab, &service, &endpoints);
        };
        set(&endpoints);
        for family in Family::ALL {
            // Each protocol is a Service port of its own, with an affinity of its own.
            let first = ask(&client.talk(), service.at(family, 80)).map(|answer| answer.pod);
            for server in everywhere(&service, family).into_iter().cycle().take(12) {
                let answered = ask(&client.talk(), server).map(|answer| answer.pod);
                assert_eq!(answered, first, "{family} at {server}");
            }
        }
        let gone = ask(&client.talk(), service.at(Family::V4, 80))[0].pod.clone();
        endpoints.retain(|(name, _)| *name != gone);
        set(&endpoints);
        let next = ask(&client.talk(), service.at(Family::V4, 80))[0].pod.clone();
        assert_ne!(next, gone);
        for server in everywhere(&service, Family::V4).into_iter().cycle().take(12) {
            assert_eq!(ask(&client.talk(), server)[0].pod, next);
        }
    }
}

#[test]
#[ignore = "needs root"]
fn affinity_ends_when_its_timeout_has_passed_since_the_last_new_connection() {
    for lab in clusters() {
        let clients: Vec<_> = (0..10)
            .map(|number| lab.node(1).pod(&format!("client{number}")).unwrap())
            .collect();
        let pods: Vec<_> = (0..4)
            .map(|number| echo_pod(&lab, 1, &format!("server{number}")))
            .collect();
        let service = lab.service(web().affinity(1)).unwrap();
        let endpoints: Vec<_> = pods.iter().map(|pod| pod.ready()).collect();
        let vip = service.at(Family::V4, 80);
        let ask = || -> BTreeSet<_> {
            let pods = clients
                .iter()
                .map(|client| client.talk().ask_tcp(vip, "who").unwrap().pod);
            pods.collect()
        };
        lead(&lab, &service, &endpoints[..1]);
        assert_eq!(ask().len(), 1, "there is only one backend");
        lead(&lab, &service, &endpoints);
        // The hash of the client decides again: that it says the first pod ten times is one in a million.
        std::thread::sleep(Duration::from_millis(3_500));
        let answered = ask();
        assert!(answered.len() > 1, "{answered:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn addresses_that_appear_later_serve_node_ports_where_all_do() {
    for lab in clusters_with(&["--nodeport-addresses=all"]) {
        let server = echo_pod(&lab, 1, "server");
        let service = lab.service(web().node_port(NODE_PORT)).unwrap();
        lead(&lab, &service, &[server.ready()]);
        let later = node(60);
        lab.node(1).add_addresses(later).unwrap();
        for family in Family::ALL {
            let server = at(later, family, NODE_PORT);
            lab::wait::until(&format!("{server} to be served"), || {
                let outside = lab.outside().talk().impatient();
                outside
                    .ask_tcp(server, "who")
                    .map(drop)
                    .map_err(|error| error.to_string())
            })
            .unwrap();
            let own = addresses::outside().get(family);
            assert_answers(&lab.outside().talk(), server, "server", own);
        }
    }
}

/// The Service's frontends, as a pod of node 1 may dial them.
fn everywhere(service: &Service, family: Family) -> [SocketAddr; 4] {
    [
        service.at(family, 80),
        at(node(1), family, NODE_PORT),
        at(lent(1), family, 80),
        service.at(family, 80),
    ]
}
