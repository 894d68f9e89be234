// SPDX-License-Identifier: MIT OR Apache-2.0
//! What becomes of socket calls, by the host build of the decisions. The kernel runs them in the lab only: it has no
//! test run for such programs.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dataplane::model::{Family, FrontendKind, Protocol, TrafficPolicy};
use dataplane_common::host::HostSocket;
use dataplane_common::{Call, Outcome};
use suites::cases::Datapath as _;
use suites::host::{Host, plain};
use suites::setup::{Names, Setup};

const NODE: u64 = 7;
const POD: u64 = 8;

fn socket(protocol: Protocol, namespace: u64) -> HostSocket {
    HostSocket::new(dataplane_common::Protocol(protocol.number()), namespace, 1)
}

fn tcp() -> HostSocket {
    socket(Protocol::Tcp, NODE)
}

fn udp() -> HostSocket {
    socket(Protocol::Udp, NODE)
}

fn in_both_families(test: impl Fn(Names, Setup)) {
    for family in Family::ALL {
        let names = Names { family };
        let setup = Setup {
            netns: NODE,
            ..Setup::default()
        };
        test(names, setup.node_at(names.node(0).ip()));
    }
}

fn host(setup: &Setup) -> Host {
    let mut host = Host::default();
    host.set(setup);
    host
}

#[test]
fn a_call_to_a_vip_goes_to_a_backend_and_the_process_sees_the_vip() {
    in_both_families(|names, setup| {
        let (vip, pod) = (names.vip(1, 80), names.pod(2, 8080));
        let setup = setup
            .service(vip, Protocol::Tcp, &[pod])
            .service(vip, Protocol::Udp, &[pod]);
        let mut host = host(&setup);
        for (what, mut socket) in [
            (Call::Connect, tcp()),
            (Call::Connect, udp()),
            (Call::Send, udp()),
        ] {
            assert_eq!(host.call(what, &mut socket, vip), (Outcome::NewFlow, pod));
            for shown in [Call::Receive, Call::PeerName] {
                assert_eq!(host.call(shown, &mut socket, pod), (Outcome::Translated, vip));
                let other = names.pod(2, 8081);
                assert_eq!(host.call(shown, &mut socket, other), (Outcome::NotOurs, other));
            }
        }
    });
}

#[test]
fn sockets_without_a_service_see_real_addresses() {
    in_both_families(|names, setup| {
        let (vip, pod) = (names.vip(1, 80), names.pod(2, 8080));
        let mut host = host(&setup.service(vip, Protocol::Udp, &[pod]));
        assert_eq!(host.call(Call::Receive, &mut udp(), pod), (Outcome::NotOurs, pod));
        assert_eq!(host.call(Call::Connect, &mut udp(), pod), (Outcome::NotOurs, pod));
        assert_eq!(host.call(Call::Send, &mut udp(), pod), (Outcome::NotOurs, pod));
    });
}

#[test]
fn a_nodes_connections_spread() {
    in_both_families(|names, setup| {
        let vip = names.vip(1, 80);
        let pods = [2, 3, 4].map(|number| names.pod(number, 8080));
        let mut host = host(&setup.service(vip, Protocol::Tcp, &pods));
        let mut given = BTreeMap::<_, u32>::new();
        for cookie in 1..=900 {
            let mut socket = tcp();
            socket.cookie = cookie;
            let (_, pod) = host.call(Call::Connect, &mut socket, vip);
            *given.entry(pod).or_default() += 1;
            assert_eq!(host.call(Call::Connect, &mut socket, vip).1, pod, "again");
        }
        assert!(pods.iter().all(|pod| given[pod] > 240), "{given:?}");
    });
}

#[test]
fn a_datagram_goes_to_the_backend_of_the_last_one_while_that_serves() {
    in_both_families(|names, setup| {
        let (vip, first, second) = (names.vip(1, 53), names.pod(2, 53), names.pod(3, 53));
        let setup = setup.service(vip, Protocol::Udp, &[first]);
        let (mut host, mut socket) = (host(&setup), udp());
        assert_eq!(host.call(Call::Send, &mut socket, vip), (Outcome::NewFlow, first));
        let setup = setup.endpoints(vip, Protocol::Udp, &[first, second]);
        host.set(&setup);
        assert_eq!(
            host.call(Call::Send, &mut socket, vip),
            (Outcome::Translated, first)
        );
        let setup = setup.endpoints(vip, Protocol::Udp, &[second]);
        host.set(&setup);
        assert_eq!(
            host.call(Call::Send, &mut socket, vip),
            (Outcome::Resteered, second)
        );
        assert_eq!(
            host.call(Call::Receive, &mut socket, second),
            (Outcome::Translated, vip)
        );
        host.set(&setup.endpoints(vip, Protocol::Udp, &[]));
        assert_eq!(
            host.call(Call::Send, &mut socket, vip).0,
            Outcome::RejectedNoEndpoint
        );
    });
}

#[test]
fn only_a_connected_udp_socket_is_tracked() {
    in_both_families(|names, setup| {
        let (vip, pod) = (names.vip(1, 53), names.pod(2, 53));
        let setup = setup
            .service(vip, Protocol::Udp, &[pod])
            .service(vip, Protocol::Tcp, &[pod]);
        let mut host = host(&setup);
        for (what, mut socket, tracked) in [
            (Call::Connect, udp(), true),
            (Call::Send, udp(), false),
            (Call::Connect, tcp(), false),
        ] {
            host.call(what, &mut socket, vip);
            let peer = socket.tracked.get();
            assert_eq!(
                peer.map(|peer| plain((peer.addr, peer.port))),
                tracked.then_some(pod)
            );
        }
    });
}

#[test]
fn an_unconnected_socket_knows_several_names_and_the_last_of_one_backend() {
    in_both_families(|names, setup| {
        let (a, b) = (names.vip(1, 53), names.vip(2, 53));
        let (pod, other) = (names.pod(2, 53), names.pod(3, 53));
        let setup = setup
            .service(a, Protocol::Udp, &[pod])
            .service(b, Protocol::Udp, &[other]);
        let (mut host, mut socket) = (host(&setup), udp());
        host.call(Call::Send, &mut socket, a);
        host.call(Call::Send, &mut socket, b);
        assert_eq!(host.call(Call::Receive, &mut socket, pod).1, a);
        assert_eq!(host.call(Call::Receive, &mut socket, other).1, b);
        // By its own address: from now on it answers by that.
        host.call(Call::Send, &mut socket, pod);
        assert_eq!(host.call(Call::Receive, &mut socket, pod).1, pod);
        host.call(Call::Send, &mut socket, a);
        assert_eq!(host.call(Call::Receive, &mut socket, pod).1, a);
        // A connected one names its peer with each datagram, for the kernel's own reasons.
        socket.connected = true;
        host.call(Call::Send, &mut socket, pod);
        assert_eq!(host.call(Call::Receive, &mut socket, pod).1, a);
    });
}

#[test]
fn calls_to_unreachable_services_fail_with_a_fitting_error() {
    in_both_families(|names, setup| {
        let pod = names.pod(2, 8080);
        let [empty, dropped, web] = [1, 2, 3].map(|number| names.vip(number, 80));
        let setup = setup
            .service(empty, Protocol::Tcp, &[])
            .service(dropped, Protocol::Tcp, &[pod])
            .policy_drops(dropped, Protocol::Tcp)
            .service(web, Protocol::Tcp, &[pod]);
        let mut host = host(&setup);
        for (to, outcome, errno) in [
            (empty, Outcome::RejectedNoEndpoint, 111),
            (names.vip(3, 81), Outcome::RejectedUnknownPort, 111),
            (dropped, Outcome::PolicyDropped, 113),
        ] {
            let (found, to_whom) = host.call(Call::Connect, &mut tcp(), to);
            assert_eq!((found, found.errno(), to_whom), (outcome, Some(errno), to));
        }
        let mut forgetful = tcp();
        forgetful.has_memory = false;
        let (found, _) = host.call(Call::Connect, &mut forgetful, web);
        assert_eq!((found, found.errno()), (Outcome::NoMemory, Some(12)));
        assert_eq!(Outcome::NewFlow.errno(), None);
    });
}

#[test]
fn a_cluster_ip_that_the_node_owns_is_left_to_the_node_and_other_addresses_are_not() {
    in_both_families(|names, setup| {
        let (vip, pod) = (names.vip(1, 53), names.pod(2, 53));
        let lent = names.lent(1, 53);
        let setup = setup
            .service(vip, Protocol::Udp, &[pod])
            .frontend(
                vip,
                Protocol::Udp,
                (FrontendKind::ExternalIp, lent),
                TrafficPolicy::Cluster,
            )
            .owned(vip.ip())
            .owned(lent.ip());
        let mut host = host(&setup);
        assert_eq!(host.call(Call::Send, &mut udp(), vip), (Outcome::OwnAddress, vip));
        assert_eq!(host.call(Call::Send, &mut udp(), lent), (Outcome::NewFlow, pod));
    });
}

#[test]
fn node_ports_are_served_at_the_nodes_addresses_and_on_loopback() {
    in_both_families(|names, setup| {
        let (vip, pod) = (names.vip(1, 80), names.pod(2, 8080));
        let node = names.node(30_080);
        let setup = setup
            .service(vip, Protocol::Tcp, &[pod])
            .node_port(vip, Protocol::Tcp, 30_080)
            .own(node.ip(), true)
            .own(names.lent(9, 0).ip(), false);
        let mut host = host(&setup);
        let loopbacks: [&str; 2] = match names.family {
            Family::V4 => ["127.0.0.1", "127.9.9.9"],
            Family::V6 => ["::1", "::"],
        };
        let at = |text: &str, port| SocketAddr::new(text.parse().unwrap(), port);
        for to in [node, at(loopbacks[0], 30_080), at(loopbacks[1], 30_080)] {
            let mut socket = tcp();
            assert_eq!(host.call(Call::Connect, &mut socket, to), (Outcome::NewFlow, pod));
            assert_eq!(host.call(Call::PeerName, &mut socket, pod).1, to);
        }
        for to in [
            names.node(22),
            at(loopbacks[0], 22),
            names.lent(9, 30_080),
            names.outside(30_080),
        ] {
            assert_eq!(host.call(Call::Connect, &mut tcp(), to), (Outcome::NotOurs, to));
        }
        assert_eq!(
            host.call(Call::Connect, &mut udp(), node),
            (Outcome::NotOurs, node)
        );
    });
}

#[test]
fn all_processes_of_the_node_are_one_client() {
    in_both_families(|names, setup| {
        let vip = names.vip(1, 80);
        let pods = [2, 3, 4].map(|number| names.pod(number, 8080));
        let setup = setup
            .service(vip, Protocol::Tcp, &pods)
            .affinity(vip, Protocol::Tcp, 60);
        let mut host = host(&setup);
        let first = host.call(Call::Connect, &mut tcp(), vip).1;
        for cookie in 2..50 {
            let mut socket = tcp();
            socket.cookie = cookie;
            assert_eq!(host.call(Call::Connect, &mut socket, vip).1, first);
        }
    });
}

#[test]
fn source_ranges_are_asked_for_the_nodes_address() {
    in_both_families(|names, setup| {
        let pod = names.pod(2, 8080);
        let near = names.range("172.18.0.0/16", "fd00:172:18::/48");
        let far = names.range("203.0.113.0/24", "2001:db8::/32");
        let mut setup = setup;
        for (number, range) in [(1, near), (2, far)] {
            let (vip, lent) = (names.vip(number, 80), names.lent(number, 80));
            setup = setup
                .service(vip, Protocol::Tcp, &[pod])
                .load_balancer(vip, Protocol::Tcp, lent)
                .source_ranges(vip, Protocol::Tcp, &[range]);
        }
        let mut host = host(&setup);
        let mut connect = |to| host.call(Call::Connect, &mut tcp(), to).0;
        assert_eq!(connect(names.lent(1, 80)), Outcome::NewFlow);
        assert_eq!(connect(names.lent(2, 80)), Outcome::SourceDropped);
        assert_eq!(connect(names.vip(2, 80)), Outcome::NewFlow);
    });
}

#[test]
fn only_this_nodes_sockets_are_translated() {
    in_both_families(|names, setup| {
        let (vip, pod) = (names.vip(1, 80), names.pod(2, 8080));
        let setup = setup.service(vip, Protocol::Tcp, &[pod]);
        let mut socket = socket(Protocol::Tcp, POD);
        let left = (Outcome::OtherNamespace, vip);
        assert_eq!(host(&setup).call(Call::Connect, &mut socket, vip), left);
        let off = Setup { netns: 0, ..setup };
        assert_eq!(host(&off).call(Call::Connect, &mut tcp(), vip), left);
    });
}

#[test]
fn pods_sockets_are_translated_on_request_except_where_their_device_does_better() {
    in_both_families(|names, setup| {
        let pod = names.pod(2, 8080);
        let [plain, sticky] = [1, 2].map(|number| names.vip(number, 80));
        let lent = names.lent(1, 80);
        let setup = Setup {
            pod_sockets: true,
            ..setup
        };
        let setup = setup
            .service(plain, Protocol::Tcp, &[pod])
            .service(plain, Protocol::Udp, &[pod])
            .node_port(plain, Protocol::Tcp, 30_080)
            .load_balancer(plain, Protocol::Tcp, lent)
            .source_ranges(
                plain,
                Protocol::Tcp,
                &[names.range("172.18.0.0/16", "fd00:172:18::/48")],
            )
            .service(sticky, Protocol::Tcp, &[pod])
            .affinity(sticky, Protocol::Tcp, 60);
        let mut host = host(&setup);
        let loopback = match names.family {
            Family::V4 => "127.0.0.1",
            Family::V6 => "::1",
        };
        let loopback = SocketAddr::new(loopback.parse().unwrap(), 30_080);
        for (protocol, to, outcome) in [
            (Protocol::Tcp, plain, Outcome::NewFlow),
            (Protocol::Udp, plain, Outcome::LeftToPackets),
            (Protocol::Tcp, sticky, Outcome::LeftToPackets),
            (Protocol::Tcp, lent, Outcome::LeftToPackets),
            (Protocol::Tcp, loopback, Outcome::NotOurs),
        ] {
            let mut socket = socket(protocol, POD);
            assert_eq!(
                host.call(Call::Connect, &mut socket, to).0,
                outcome,
                "{protocol} {to}"
            );
        }
        assert_eq!(
            host.call(Call::Connect, &mut udp(), plain),
            (Outcome::NewFlow, pod)
        );
    });
}

/// `getaddrinfo` and others connect a UDP socket only to ask for the address that the host would have.
#[test]
fn connecting_a_udp_socket_never_fails_and_what_is_sent_does() {
    in_both_families(|names, world| {
        let pod = names.pod(2, 8080);
        let [empty, dropped, web] = [1, 2, 3].map(|number| names.vip(number, 80));
        let world = world
            .service(empty, Protocol::Udp, &[])
            .service(dropped, Protocol::Udp, &[pod])
            .policy_drops(dropped, Protocol::Udp)
            .service(web, Protocol::Udp, &[pod]);
        let mut host = host(&world);
        for to in [empty, dropped, names.vip(3, 81), names.vip(3, 0)] {
            let mut socket = udp();
            let passed = (Outcome::ConnectPassed, to);
            assert_eq!(host.call(Call::Connect, &mut socket, to), passed);
            assert_eq!(socket.tracked.get(), None);
            assert_eq!(Outcome::ConnectPassed.errno(), None);
            let sent = host.call(Call::Send, &mut socket, to).0;
            assert!(sent.errno().is_some(), "{to}: {sent:?}");
            assert!(host.call(Call::Connect, &mut tcp(), to).0.errno().is_some());
        }
        assert_eq!(host.call(Call::Connect, &mut udp(), web), (Outcome::NewFlow, pod));
    });
}

/// Any process may have a NodePort's number for its own port, and ask a server on this node something.
#[test]
fn an_answer_goes_to_the_one_that_asked_though_a_service_has_its_address() {
    in_both_families(|names, world| {
        let (vip, pod) = (names.vip(1, 53), names.pod(2, 53));
        let lent = names.lent(1, 5_353);
        let world = world
            .service(vip, Protocol::Udp, &[pod])
            .node_port(vip, Protocol::Udp, 30_053)
            .load_balancer(vip, Protocol::Udp, lent)
            .own(names.node(0).ip(), true)
            .own(lent.ip(), false);
        let mut host = host(&world);
        let loopback: &str = match names.family {
            Family::V4 => "127.0.0.1",
            Family::V6 => "::1",
        };
        let loopback = SocketAddr::new(loopback.parse().unwrap(), 30_053);
        for asker in [loopback, names.node(30_053), lent] {
            let mut server = udp();
            let came = (Outcome::NotOurs, asker);
            assert_eq!(host.call(Call::Receive, &mut server, asker), came);
            let answered = (Outcome::AnswerPassed, asker);
            assert_eq!(host.call(Call::Send, &mut server, asker), answered);
            assert_eq!(host.call(Call::Connect, &mut server, asker), answered);
            // Others are asked as ever, by this socket too.
            assert_eq!(host.call(Call::Send, &mut server, vip).0, Outcome::NewFlow);
            assert_eq!(host.call(Call::Send, &mut udp(), asker), (Outcome::NewFlow, pod));
            host.age(200);
            assert_eq!(host.call(Call::Send, &mut server, asker), (Outcome::NewFlow, pod));
            // From now on what comes from the backend is the Service's.
            let shown = (Outcome::Translated, asker);
            assert_eq!(host.call(Call::Receive, &mut server, pod), shown);
        }
        // A client that no Service shares its address with is not remembered, nor is one of a connected socket.
        let mut server = udp();
        let plain = names.outside(30_053);
        host.call(Call::Receive, &mut server, plain);
        assert_eq!(
            host.call(Call::Send, &mut server, plain),
            (Outcome::NotOurs, plain)
        );
        server.connected = true;
        host.call(Call::Receive, &mut server, loopback);
        assert_eq!(host.call(Call::Send, &mut server, loopback).0, Outcome::NewFlow);
    });
}
