// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node's own processes reach Services, by every socket call there is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use lab::caller::{Caller, Held};
use lab::capture::Capture;
use lab::netlink::{AddressFlags, Route};
use lab::programs::calls::{Domains, Kind};
use lab::programs::echo::Answer;
use lab::service::{Endpoint, Protocol, ServiceSpec};
use lab::workloads::none_failed;
use lab::{Family, Lab, Node, Service};

use crate::{clusters, echo_pod, lead, service};

pub(crate) const ECONNREFUSED: i32 = 111;
pub(crate) const EHOSTUNREACH: i32 = 113;

/// A socket's domains for addresses of this family alone.
pub(crate) fn domains(family: Family) -> Domains {
    let [(domains, _), _] = paths(family);
    domains
}

/// AllPaths for a socket to name an address of this family; the second takes an IPv4 address as mapped.
pub(crate) fn paths(family: Family) -> [(Domains, bool); 2] {
    match family {
        Family::V4 => [(Domains::V4, false), (Domains::Both, true)],
        Family::V6 => [(Domains::V6, false), (Domains::Both, false)],
    }
}

/// `::ffff:a.b.c.d`, where a socket for both families needs it.
pub(crate) fn named(addr: SocketAddr, mapped: bool) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(v4) if mapped => SocketAddr::new(v4.to_ipv6_mapped().into(), addr.port()),
        _ => addr,
    }
}

#[test]
#[ignore = "needs root"]
fn every_socket_call_reaches_a_vip_and_the_process_sees_the_vip() {
    for lab in clusters() {
        let servers = [echo_pod(&lab, 1, "near"), echo_pod(&lab, 2, "far")];
        let services = servers
            .each_ref()
            .map(|server| service(&lab, server.name(), &[server]));
        let callers = lab.nodes().iter().map(|node| (node, node.caller().unwrap()));
        let callers: Vec<_> = callers.collect();
        let capture = everywhere(&lab);
        for (node, caller) in &callers {
            for (server, service) in servers.iter().zip(&services) {
                for family in Family::ALL {
                    for (domains, mapped) in paths(family) {
                        println!("{} to {} by {domains:?} {family}", node.name(), server.name());
                        let vip = named(service.at(family, 80), mapped);
                        for answer in speak(caller, domains, vip) {
                            assert_eq!(answer.pod, server.name());
                            assert!(is_of(node, answer.client.ip()), "{answer:?}");
                        }
                    }
                }
            }
        }
        assert_no_vip(capture, &services);
    }
}

/// All calls that lead to an answer; each checks what it is shown.
pub(crate) fn speak(caller: &Caller, domains: Domains, vip: SocketAddr) -> Vec<Answer> {
    let mut answers: Vec<_> = [Kind::Tcp, Kind::Mptcp]
        .map(|kind| {
            let socket = caller.open(kind, domains).unwrap();
            socket.connect(vip).unwrap();
            // Of a multipath socket the kernel asks for the name of a subflow, which is another socket.
            if kind != Kind::Mptcp {
                assert_eq!(socket.peer(), Ok(vip));
            }
            socket.send("hello\n").unwrap();
            socket.receive().unwrap()
        })
        .into();
    let shown = |(answer, from): (Answer, SocketAddr)| {
        assert_eq!(from, vip);
        answer
    };
    let connected = caller.open(Kind::Udp, domains).unwrap();
    connected.connect(vip).unwrap();
    assert_eq!(connected.peer(), Ok(vip));
    connected.send("hello").unwrap();
    answers.push(connected.receive().unwrap());
    connected.send("hello").unwrap();
    answers.push(shown(connected.receive_from().unwrap()));
    connected.send("hello").unwrap();
    answers.push(shown(connected.receive_message().unwrap()));
    let unconnected = caller.open(Kind::Udp, domains).unwrap();
    unconnected.send_to(vip, "hello").unwrap();
    answers.push(shown(unconnected.receive_from().unwrap()));
    unconnected.send_message(vip, "hello").unwrap();
    answers.push(shown(unconnected.receive_message().unwrap()));
    answers
}

#[test]
#[ignore = "needs root"]
fn one_socket_speaks_with_several_services_and_with_pods_directly() {
    for lab in clusters() {
        let caller = lab.node(1).caller().unwrap();
        let servers = [
            echo_pod(&lab, 1, "a"),
            echo_pod(&lab, 2, "b"),
            echo_pod(&lab, 2, "c"),
        ];
        let services = servers
            .each_ref()
            .map(|server| service(&lab, server.name(), &[server]));
        let direct = echo_pod(&lab, 2, "direct");
        let capture = everywhere(&lab);
        for domains in [Domains::V4, Domains::V6, Domains::Both] {
            let socket = caller.open(Kind::Udp, domains).unwrap();
            let families: &[_] = match domains {
                Domains::V4 => &[Family::V4],
                Domains::V6 => &[Family::V6],
                Domains::Both => &Family::ALL,
            };
            let names = |addr| named(addr, domains == Domains::Both);
            for family in families.repeat(3) {
                for (server, service) in servers.iter().zip(&services) {
                    let vip = names(service.at(family, 80));
                    let (answer, from) = ask(&socket, vip);
                    assert_eq!((answer.pod.as_str(), from), (server.name(), vip));
                }
                // The second is a backend, known by its Service's name until it is spoken to by its own.
                for pod in [&direct, &servers[0]] {
                    let own = names(pod.at(family, 8080));
                    let (answer, from) = ask(&socket, own);
                    assert_eq!((answer.pod.as_str(), from), (pod.name(), own));
                }
            }
        }
        assert_no_vip(capture, &services);
    }
}

/// Says something on a connected socket; who answers.
pub(crate) fn say(socket: &Held<'_>) -> String {
    socket.send("hello\n").unwrap();
    socket.receive().unwrap().pod
}

pub(crate) fn ask(socket: &Held<'_>, to: SocketAddr) -> (Answer, SocketAddr) {
    socket.send_to(to, "hello").unwrap();
    socket.receive_from().unwrap()
}

#[test]
#[ignore = "needs root"]
fn a_backend_may_be_a_process_of_this_node() {
    for lab in clusters() {
        let node = lab.node(1);
        let _server = node.serve_echo(8080).unwrap();
        let service = lab
            .service(ServiceSpec::new("host").tcp_and_udp(80, 8080))
            .unwrap();
        lead(&lab, &service, &[Endpoint::on_node(node)]);
        let caller = node.caller().unwrap();
        for family in Family::ALL {
            for answer in speak(&caller, domains(family), service.at(family, 80)) {
                assert_eq!(answer.pod, node.name());
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_nodes_connections_spread_over_all_backends() {
    for lab in clusters() {
        let servers = [
            echo_pod(&lab, 1, "a"),
            echo_pod(&lab, 2, "b"),
            echo_pod(&lab, 2, "c"),
        ];
        let service = service(&lab, "web", &servers.each_ref());
        let caller = lab.node(1).caller().unwrap();
        for family in Family::ALL {
            let vip = service.at(family, 80);
            let mut answered = std::collections::BTreeMap::<_, u32>::new();
            for _ in 0..90 {
                let socket = caller.open(Kind::Udp, domains(family)).unwrap();
                *answered.entry(ask(&socket, vip).0.pod).or_default() += 1;
            }
            assert!(
                answered.len() == 3 && answered.values().all(|count| *count > 10),
                "{answered:?}"
            );
        }
    }
}

#[test]
#[ignore = "needs root"]
fn calls_to_unreachable_services_fail_at_once() {
    for lab in clusters() {
        let pod = echo_pod(&lab, 2, "server");
        let web = service(&lab, "web", &[&pod]);
        let empty = service(&lab, "empty", &[]);
        let local = lab
            .service(ServiceSpec::new("local").tcp_and_udp(80, 8080).internal_local())
            .unwrap();
        lead(&lab, &local, &[pod.ready()]);
        let caller = lab.node(1).caller().unwrap();
        let capture = everywhere(&lab);
        for family in Family::ALL {
            for (domains, mapped) in paths(family) {
                for (at, errno, why) in [
                    (empty.at(family, 80), ECONNREFUSED, "no endpoint"),
                    (web.at(family, 81), ECONNREFUSED, "no such port"),
                    (
                        local.at(family, 80),
                        EHOSTUNREACH,
                        "none on this node, as policy asks",
                    ),
                ] {
                    let at = named(at, mapped);
                    let open = |kind| caller.open(kind, domains).unwrap();
                    assert_eq!(open(Kind::Tcp).connect(at), Err(errno), "TCP: {why}");
                    // It sends nothing: many only ask so for the address that the host would have.
                    let connected = open(Kind::Udp);
                    assert_eq!(connected.connect(at), Ok(()), "UDP: {why}");
                    assert_eq!(connected.peer(), Ok(at), "UDP: {why}");
                    assert_eq!(open(Kind::Udp).send_to(at, "x"), Err(errno), "sendto: {why}");
                    assert_eq!(
                        open(Kind::Udp).send_message(at, "x"),
                        Err(errno),
                        "sendmsg: {why}"
                    );
                }
            }
        }
        // Something to see, besides.
        let socket = caller.open(Kind::Udp, Domains::V4).unwrap();
        ask(&socket, web.at(Family::V4, 80));
        lab.settle().unwrap();
        assert_no_vip(capture, &[web, empty, local]);
    }
}

/// Any process may have a NodePort's number for its own port. What it asks a server of the node is answered to it.
#[test]
#[ignore = "needs root"]
fn a_server_of_the_node_answers_a_client_whose_port_is_a_node_port() {
    const PORT: u16 = 5300;
    for lab in clusters() {
        let pod = echo_pod(&lab, 2, "elsewhere");
        let spec = ServiceSpec::new("web").tcp_and_udp(80, 8080).node_port(30_080);
        let web = lab.service(spec).unwrap();
        lead(&lab, &web, &[pod.ready()]);
        let node = lab.node(1);
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        let _at_all = node.serve_echo(PORT).unwrap();
        let _at_loopback = loopback.map(|addr| node.serve_echo_at((addr, PORT + 1).into()).unwrap());
        for (family, loopback) in Family::ALL.into_iter().zip(loopback) {
            for server in [
                (loopback, PORT),
                (loopback, PORT + 1),
                (node.ips().get(family), PORT),
            ] {
                for _ in 0..3 {
                    let client = node.netns().talk_from(30_080);
                    let answer = client.ask_udp(server.into(), "who?").unwrap();
                    assert_eq!(answer.pod, node.name(), "{family} at {server:?}");
                    assert_eq!(answer.client.port(), 30_080);
                }
            }
            // The NodePort itself is served as ever.
            let caller = node.caller().unwrap();
            let socket = caller.open(Kind::Udp, domains(family)).unwrap();
            assert_eq!(
                ask(&socket, (loopback, 30_080).into()).0.pod,
                "elsewhere",
                "{family}"
            );
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_vip_that_the_node_owns_is_answered_by_the_node() {
    for lab in clusters() {
        let node = lab.node(1);
        let pod = echo_pod(&lab, 2, "elsewhere");
        let service = service(&lab, "dns", &[&pod]);
        node.netns()
            .configure(async |network| {
                for family in Family::ALL {
                    let host = if family == Family::V4 { 32 } else { 128 };
                    let own = (service.vip().get(family), host);
                    network.add_address("lo", own, AddressFlags::empty()).await?;
                }
                Ok(())
            })
            .unwrap();
        let _cache = node.serve_echo(80).unwrap();
        lab.settle().unwrap();
        let caller = node.caller().unwrap();
        for family in Family::ALL {
            for answer in speak(&caller, domains(family), service.at(family, 80)) {
                assert_eq!(answer.pod, node.name());
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn programs_of_the_node_resolve_names_and_fetch_pages() {
    for lab in clusters() {
        let dns_pod = lab.node(2).pod("dns").unwrap();
        dns_pod.serve_dns().unwrap();
        let dns = lab
            .service(
                ServiceSpec::new("kube-dns")
                    .namespace("kube-system")
                    .number(10)
                    .port(Protocol::Udp, 53, 53)
                    .port(Protocol::Tcp, 53, 53),
            )
            .unwrap();
        let web_pod = lab.node(1).pod("web").unwrap();
        web_pod.serve_http(8080, "v1").unwrap();
        let web = lab
            .service(ServiceSpec::new("web").port(Protocol::Tcp, 80, 8080))
            .unwrap();
        lead(&lab, &dns, &[dns_pod.ready()]);
        lead(&lab, &web, &[web_pod.ready()]);
        let capture = everywhere(&lab);
        for family in Family::ALL {
            let node = lab.node(1);
            node.use_dns(dns.vip().get(family)).unwrap();
            // glibc's resolver: sendmmsg on a connected socket, and an answer from anybody else is not taken.
            let name = "web.default.svc.cluster.local:80";
            let wanted = if family == Family::V4 { "v4" } else { "v6" };
            let mut load = node.load(name, &["--family", wanted]).unwrap();
            load.wait_for(20).unwrap();
            none_failed(&load.stop().unwrap()).unwrap();
            curl(node, &format!("http://{name}/"));
            curl(node, &format!("http://{}/", web.at(family, 80)));
        }
        assert_no_vip(capture, &[dns, web]);
    }
}

pub(crate) fn curl(node: &Node, url: &str) {
    let curl = Path::new("/usr/bin/curl");
    if !curl.exists() {
        println!("*** SKIPPED: no curl on this machine ***");
        return;
    }
    let output = node.run(curl, &["-gsS", "--max-time", "4", url]).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("web"),
        "{url}: {text} {errors}"
    );
}

/// Packets of both nodes and around them, with a route for VIPs that would show any that leaves.
pub(crate) fn everywhere(lab: &Lab) -> Capture {
    for node in lab.nodes() {
        let by_default = [
            (
                IpAddr::from(Ipv4Addr::UNSPECIFIED),
                lab::addresses::outside().v4.into(),
            ),
            (
                IpAddr::from(Ipv6Addr::UNSPECIFIED),
                lab::addresses::outside().v6.into(),
            ),
        ];
        node.netns()
            .configure(async |network| {
                for (anywhere, gateway) in by_default {
                    network.add_route(Route::via((anywhere, 0), gateway)).await?;
                }
                Ok(())
            })
            .unwrap();
    }
    let nodes = lab.nodes().iter().map(Node::netns);
    Capture::start(nodes.chain([lab.outside()])).unwrap()
}

/// A socket's call leaves nothing to be translated later: not a packet names a VIP.
#[track_caller]
pub(crate) fn assert_no_vip(capture: Capture, services: &[Service]) {
    assert_none_names(capture, |addr| {
        services.iter().any(|service| service.vip().contains(addr.ip()))
    });
}

/// Not a packet is from or to such an address.
#[track_caller]
pub(crate) fn assert_none_names(capture: Capture, is_such: impl Fn(SocketAddr) -> bool) {
    let seen = capture.stop().unwrap();
    assert!(!seen.is_empty(), "the capture saw nothing");
    for packet in &seen {
        if let Some(it) = packet.packet() {
            assert!(!is_such(it.source) && !is_such(it.destination), "{packet}");
        }
    }
}

/// A node speaks from any of its addresses: the uplink's, or the gateway's that a pod's device carries.
pub(crate) fn is_of(node: &Node, addr: IpAddr) -> bool {
    node.ips().contains(addr) || lab::addresses::gateway(node.number()).contains(addr)
}
