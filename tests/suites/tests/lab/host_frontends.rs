// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node's own processes at every other address of a Service than its ClusterIP, and the policies that hold for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lab::addresses::node;
use lab::caller::{Caller, Errno};
use lab::capture::Capture;
use lab::programs::calls::Kind;
use lab::service::{Endpoint, Protocol, ServiceSpec};
use lab::{Family, Pod, Service};

use crate::frontends::{NODE_PORT, at, lent, web};
use crate::host_clients::{
    ECONNREFUSED, EHOSTUNREACH, assert_none_names, curl, domains, everywhere, is_of, named, paths, say, speak,
};
use crate::{clusters, echo_pod, lead};

fn loopback(family: Family) -> SocketAddr {
    let ip: IpAddr = match family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    };
    (ip, NODE_PORT).into()
}

/// Where processes of node `n` find a Service that [`web`] is with all the addresses there are.
fn all_addresses(service: &Service, n: u8, family: Family) -> [SocketAddr; 5] {
    [
        service.at(family, 80),
        at(node(n), family, NODE_PORT),
        loopback(family),
        at(lent(1), family, 80),
        at(lent(2), family, 80),
    ]
}

/// [`web`] with an address of every kind.
fn with_all_addresses() -> ServiceSpec {
    web()
        .node_port(NODE_PORT)
        .load_balancer(lent(1))
        .external_ips(lent(2))
}

/// Connects a TCP and a UDP socket to an address: what pod answers each, or how the call failed. A UDP socket's connect
/// sends nothing and never fails; a datagram with an address does.
fn reached(caller: &Caller, to: SocketAddr) -> [Result<String, Errno>; 2] {
    let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
    [Kind::Tcp, Kind::Udp].map(|kind| {
        let socket = caller.open(kind, domains(family)).unwrap();
        if kind == Kind::Udp {
            caller
                .open(kind, domains(family))
                .unwrap()
                .send_to(to, "hello\n")?;
        }
        socket.connect(to)?;
        Ok(say(&socket))
    })
}

/// Asserts that connections of both transports end so: at this pod, or with this error.
#[track_caller]
fn assert_reached(caller: &Caller, to: SocketAddr, wanted: Result<&str, Errno>) {
    for got in reached(caller, to) {
        assert_eq!(got.as_deref().map_err(|errno| *errno), wanted, "at {to}");
    }
}

/// As [`assert_reached`], by every call that leads to an answer.
#[track_caller]
fn assert_all_calls_reach(caller: &Caller, family: Family, to: SocketAddr, pod: &Pod, on: &lab::Node) {
    for (domains, mapped) in paths(family) {
        for answer in speak(caller, domains, named(to, mapped)) {
            assert_eq!(answer.pod, pod.name(), "at {to} by {domains:?}");
            assert!(is_of(on, answer.client.ip()), "at {to}: {answer:?}");
        }
    }
}

/// No packet names an address of the Services or a NodePort: all was done at the socket.
#[track_caller]
fn assert_no_frontend(capture: Capture, service: &Service) {
    assert_none_names(capture, |addr| {
        let vips = [service.vip(), lent(1), lent(2)];
        addr.port() == NODE_PORT || vips.iter().any(|ips| ips.contains(addr.ip()))
    });
}

#[test]
#[ignore = "needs root"]
fn the_nodes_processes_reach_every_address_of_a_service_and_loopback() {
    for lab in clusters() {
        let (near, far) = (echo_pod(&lab, 1, "near"), echo_pod(&lab, 2, "far"));
        let service = lab.service(with_all_addresses()).unwrap();
        let on = lab.node(1);
        let caller = on.caller().unwrap();
        let capture = everywhere(&lab);
        for pod in [&near, &far] {
            lead(&lab, &service, &[pod.ready()]);
            for family in Family::ALL {
                for to in all_addresses(&service, 1, family) {
                    assert_all_calls_reach(&caller, family, to, pod, on);
                }
            }
        }
        lead(&lab, &service, &[]);
        for family in Family::ALL {
            for to in all_addresses(&service, 1, family) {
                assert_reached(&caller, to, Err(ECONNREFUSED));
            }
        }
        assert_no_frontend(capture, &service);
    }
}

#[test]
#[ignore = "needs root"]
fn curl_fetches_from_a_node_port_of_localhost() {
    for lab in clusters() {
        let server = lab.node(2).pod("web").unwrap();
        server.serve_http(8080, "v1").unwrap();
        let spec = ServiceSpec::new("web").port(Protocol::Tcp, 80, 8080);
        let service = lab.service(spec.node_port(NODE_PORT)).unwrap();
        lead(&lab, &service, &[server.ready()]);
        let capture = everywhere(&lab);
        for family in Family::ALL {
            curl(lab.node(1), &format!("http://{}/", loopback(family)));
        }
        assert_no_frontend(capture, &service);
    }
}

#[test]
#[ignore = "needs root"]
fn loopback_serves_node_ports_to_the_node_and_not_to_its_pods() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let server = echo_pod(&lab, 1, "server");
        let service = lab.service(web().node_port(NODE_PORT)).unwrap();
        lead(&lab, &service, &[server.ready()]);
        for family in Family::ALL {
            let to = loopback(family);
            assert_reached(&lab.node(1).caller().unwrap(), to, Ok("server"));
            let refused = client.talk().ask_tcp(to, "who").unwrap_err();
            assert!(refused.to_string().contains("refused"), "{refused}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_nodes_process_reaches_another_nodes_node_port() {
    for lab in clusters() {
        let (here, there) = (echo_pod(&lab, 1, "here"), echo_pod(&lab, 2, "there"));
        let service = lab.service(web().node_port(NODE_PORT)).unwrap();
        let caller = lab.node(1).caller().unwrap();
        // The other node does what it does for clients outside: it keeps the address where the reply passes it anyway.
        for (pod, client) in [(&there, node(1)), (&here, node(2))] {
            lead(&lab, &service, &[pod.ready()]);
            for family in Family::ALL {
                let to = at(node(2), family, NODE_PORT);
                for answer in speak(&caller, domains(family), to) {
                    assert_eq!(answer.pod, pod.name());
                    assert_eq!(answer.client.ip(), client.get(family), "{answer:?}");
                }
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn all_processes_of_a_node_keep_one_backend_with_affinity_until_it_goes() {
    for lab in clusters() {
        let pods: Vec<_> = (0..4)
            .map(|number| echo_pod(&lab, 1 + number % 2, &format!("server{number}")))
            .collect();
        let service = lab.service(with_all_addresses().affinity(600)).unwrap();
        let all: Vec<_> = pods.iter().map(Pod::ready).collect();
        lead(&lab, &service, &all);
        // Two processes are one client: behind kube-proxy they would have one address, too.
        let callers = [lab.node(1).caller().unwrap(), lab.node(1).caller().unwrap()];
        let capture = everywhere(&lab);
        for family in Family::ALL {
            let addresses = all_addresses(&service, 1, family);
            // Each protocol is a Service port of its own, with an affinity of its own.
            let ask = |number: usize| {
                let to = addresses[number % addresses.len()];
                reached(&callers[number % 2], to).map(Result::unwrap)
            };
            let stays = |pods: &[String; 2]| (0..20).for_each(|number| assert_eq!(ask(number), *pods));
            let first = ask(0);
            stays(&first);
            let left: Vec<Endpoint> = pods
                .iter()
                .filter(|pod| !first.contains(&pod.name().to_owned()))
                .map(Pod::ready)
                .collect();
            lead(&lab, &service, &left);
            let next = ask(0);
            assert!(next.iter().all(|pod| !first.contains(pod)), "{next:?}");
            stays(&next);
            lead(&lab, &service, &all);
            stays(&next);
        }
        assert_no_frontend(capture, &service);
    }
}

#[test]
#[ignore = "needs root"]
fn source_ranges_apply_to_the_nodes_own_address() {
    for lab in clusters() {
        let server = echo_pod(&lab, 2, "server");
        let ranges = |ips: lab::Ips| [format!("{}/32", ips.v4), format!("{}/128 ", ips.v6)];
        let named_in =
            |spec: ServiceSpec, ips| spec.source_ranges(&ranges(ips).each_ref().map(String::as_str));
        let mut service = lab.service(named_in(with_all_addresses(), node(1))).unwrap();
        lead(&lab, &service, &[server.ready()]);
        let callers = [1, 2].map(|n| lab.node(n).caller().unwrap());
        let capture = everywhere(&lab);
        for (admitted, other) in [(1, 2), (2, 1)] {
            for family in Family::ALL {
                let balancer = at(lent(1), family, 80);
                assert_reached(&callers[admitted - 1], balancer, Ok("server"));
                assert_reached(&callers[other - 1], balancer, Err(EHOSTUNREACH));
                // Nothing but the load balancer's address is restricted.
                for to in all_addresses(&service, other as u8, family) {
                    if to != balancer {
                        assert_reached(&callers[other - 1], to, Ok("server"));
                    }
                }
            }
            service.become_(|spec| named_in(spec, node(2))).unwrap();
            lab.settle().unwrap();
        }
        assert_no_frontend(capture, &service);
    }
}

#[test]
#[ignore = "needs root"]
fn the_internal_policy_local_applies_to_a_nodes_processes_only_at_the_cluster_ip() {
    for lab in clusters() {
        let (here, there) = (echo_pod(&lab, 1, "here"), echo_pod(&lab, 2, "there"));
        let service = lab.service(with_all_addresses().internal_local()).unwrap();
        let callers = [1, 2].map(|n| lab.node(n).caller().unwrap());
        lead(&lab, &service, &[here.ready(), there.ready()]);
        let capture = everywhere(&lab);
        for family in Family::ALL {
            let vip = service.at(family, 80);
            for _ in 0..10 {
                assert_reached(&callers[0], vip, Ok("here"));
                assert_reached(&callers[1], vip, Ok("there"));
            }
        }
        lead(&lab, &service, &[there.ready()]);
        for family in Family::ALL {
            let [vip, others @ ..] = all_addresses(&service, 1, family);
            assert_reached(&callers[0], vip, Err(EHOSTUNREACH));
            for to in others {
                assert_reached(&callers[0], to, Ok("there"));
            }
        }
        assert_no_frontend(capture, &service);
    }
}

#[test]
#[ignore = "needs root"]
fn the_external_policy_local_does_not_apply_to_a_nodes_processes() {
    for lab in clusters() {
        let there = echo_pod(&lab, 2, "there");
        let service = lab.service(with_all_addresses().external_local()).unwrap();
        lead(&lab, &service, &[there.ready()]);
        let caller = lab.node(1).caller().unwrap();
        let capture = everywhere(&lab);
        for family in Family::ALL {
            for to in all_addresses(&service, 1, family) {
                assert_reached(&caller, to, Ok("there"));
            }
        }
        assert_no_frontend(capture, &service);
    }
}
