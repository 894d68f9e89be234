// SPDX-License-Identifier: MIT OR Apache-2.0
//! Different conversations of a client that look the same behind the VIP: same client port, same pod.

use std::net::SocketAddr;

use lab::addresses::{self, node};
use lab::capture::{Capture, Seen};
use lab::packet::Packet;
use lab::{Family, Lab, Pod};

use crate::frontends::{NODE_PORT, web};
use crate::{clusters, echo_pod, lead, service};

/// The source port that everything in a test shares.
const PORT: u16 = 41_000;
/// One that the kernel gives to no socket, so that a masqueraded client keeps it.
const UNSHARED_PORT: u16 = 61_234;

/// Until the server has closed, too, the connection lives, and a direct one beside it goes by another port.
fn close_both_ways(mut stream: &std::net::TcpStream) {
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    std::io::Read::read_to_end(&mut stream, &mut Vec::new()).unwrap();
}

#[test]
#[ignore = "needs root"]
fn a_source_port_can_be_used_directly_after_a_vip_connection_closed() {
    for_both_places(|_, client, server, vip, family| {
        let direct = server.at(family, 8080);
        for port in PORT..PORT + 3 {
            let talk = client.talk_from(port);
            let mut by_vip = talk.tcp(vip).unwrap();
            by_vip.ask("by VIP").unwrap();
            close_both_ways(by_vip.stream());
            drop(by_vip);
            let answer = talk.ask_tcp(direct, "directly").unwrap();
            assert_eq!(
                answer.client,
                client.at(family, port),
                "a direct connection is not ours to touch"
            );
            talk.ask_udp(vip, "by VIP").unwrap();
            let (_, from) = talk.ask_udp_unconnected(direct, "directly").unwrap();
            assert_eq!(from, direct);
        }
    });
}

#[test]
#[ignore = "needs root"]
fn a_source_port_can_be_used_directly_while_a_vip_connection_is_open() {
    for_both_places(|_, client, server, vip, family| {
        let (direct, talk) = (server.at(family, 8080), client.talk_from(PORT));
        let mut by_vip = talk.tcp(vip).unwrap();
        by_vip.ask("one").unwrap();
        let mut directly = talk.tcp(direct).unwrap();
        for _ in 0..3 {
            assert_eq!(directly.ask("directly").unwrap().heard, "directly");
            assert_eq!(by_vip.ask("by VIP").unwrap().heard, "by VIP");
        }
        assert_eq!(directly.stream().peer_addr().unwrap(), direct);
    });
}

#[test]
#[ignore = "needs root"]
fn a_source_port_can_be_used_for_a_vip_after_a_direct_connection_closed() {
    for_both_places(|_, client, server, vip, family| {
        let direct = server.at(family, 8080);
        // The client keeps a closed connection's pair of addresses for a while: each round has its own port.
        for port in PORT..PORT + 3 {
            let talk = client.talk_from(port);
            let mut directly = talk.tcp(direct).unwrap();
            directly.ask("directly").unwrap();
            close_both_ways(directly.stream());
            talk.ask_tcp(vip, "by VIP").unwrap();
            talk.ask_udp(direct, "directly").unwrap();
            let (_, from) = talk.ask_udp_unconnected(vip, "by VIP").unwrap();
            assert_eq!(from, vip);
        }
    });
}

#[test]
#[ignore = "needs root"]
fn a_source_port_can_be_used_for_a_vip_while_a_direct_connection_is_open() {
    for_both_places(|_, client, server, vip, family| {
        let (direct, talk) = (server.at(family, 8080), client.talk_from(PORT));
        let mut directly = talk.tcp(direct).unwrap();
        directly.ask("one").unwrap();
        let mut by_vip = talk.tcp(vip).unwrap();
        for _ in 0..3 {
            assert_eq!(by_vip.ask("by VIP").unwrap().heard, "by VIP");
            assert_eq!(directly.ask("directly").unwrap().heard, "directly");
        }
    });
}

#[test]
#[ignore = "needs root"]
fn one_source_port_talks_to_two_vips_of_one_pod_at_once() {
    for_both_places(|lab, client, server, vip, family| {
        let other = service(lab, &format!("other-{}", server.name()), &[server]).at(family, 80);
        let talk = client.talk_from(PORT);
        let mut open = [talk.tcp(vip).unwrap(), talk.tcp(other).unwrap()];
        for question in ["one", "two", "three"] {
            for conversation in &mut open {
                assert_eq!(conversation.ask(question).unwrap().heard, question);
            }
        }
        for _ in 0..3 {
            for wanted in [vip, other] {
                let (_, from) = talk.ask_udp_unconnected(wanted, "udp").unwrap();
                assert_eq!(from, wanted);
            }
        }
    });
}

/// The node has forgotten that connection; the pod answers a SYN there with a challenge (RFC 5961).
#[test]
#[ignore = "needs root"]
fn a_masqueraded_connection_uses_another_port_if_the_pod_has_a_connection_with_its_own() {
    for lab in clusters() {
        let server = echo_pod(&lab, 2, "server");
        let service = lab.service(web().node_port(NODE_PORT)).unwrap();
        lead(&lab, &service, &[server.ready()]);
        for family in Family::ALL {
            let (node, outside) = (node(1).get(family), addresses::outside().get(family));
            let from_node = lab.node(1).netns().talk_from(UNSHARED_PORT);
            let mut old = from_node.tcp(server.at(family, 8080)).unwrap();
            assert_eq!(old.ask("old").unwrap().client, (node, UNSHARED_PORT).into());
            old.vanish().unwrap();

            let capture = Capture::start([server.netns()]).unwrap();
            let from_outside = lab.outside().talk_from(UNSHARED_PORT);
            let new = from_outside.ask_tcp((node, NODE_PORT).into(), "new").unwrap();
            let seen: Vec<_> = capture.stop().unwrap().iter().filter_map(Seen::packet).collect();

            assert_eq!(new.client.ip(), node);
            assert_ne!(new.client.port(), UNSHARED_PORT);
            let as_before = |packet: &Packet| packet.source == (node, UNSHARED_PORT).into();
            assert!(seen.iter().any(as_before), "{family}: {seen:?}");
            let leaked = seen.iter().find(|packet| packet.source.ip() == outside);
            assert_eq!(leaked, None, "{family}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn short_connections_by_vip_and_directly_from_few_source_ports_all_work() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let pods = [echo_pod(&lab, 1, "near"), echo_pod(&lab, 2, "far")];
        let services = [
            service(&lab, "one", &[&pods[0], &pods[1]]),
            service(&lab, "two", &[&pods[0], &pods[1]]),
        ];
        for family in Family::ALL {
            let vips = services.each_ref().map(|service| service.at(family, 80));
            let direct = pods.each_ref().map(|pod| pod.at(family, 8080));
            let failures: Vec<_> = (0..1500_usize)
                .filter_map(|n| churn(&client, n, vips, direct))
                .collect();
            assert!(
                failures.is_empty(),
                "{family}: {} failed, first {:?}",
                failures.len(),
                failures.first()
            );
        }
    }
}

/// One short connection; `None` if all was well.
fn churn(client: &Pod, n: usize, vips: [SocketAddr; 2], direct: [SocketAddr; 2]) -> Option<String> {
    let port = 42_000 + u16::try_from(n * 7 % 5).unwrap();
    // A fixed but irregular order of VIPs and pods.
    let targets = [
        vips[0], direct[0], vips[1], direct[1], vips[0], vips[1], direct[0],
    ];
    let target = targets[n * n % 7];
    let talk = || {
        let mut conversation = client.talk_from(port).tcp(target)?;
        let answer = conversation.ask("x")?;
        conversation.reset()?;
        Ok::<_, lab::Error>(answer)
    };
    match talk() {
        Ok(answer) if vips.contains(&target) || answer.client.port() == port => None,
        Ok(answer) => Some(format!(
            "{n}: {target} from {port} was seen from {}",
            answer.client
        )),
        Err(error) => Some(format!("{n}: {target} from {port}: {error}")),
    }
}

/// Tries a pair of client and server on one node and on two, over both families, with the Service's VIP.
fn for_both_places(test: impl Fn(&Lab, &Pod, &Pod, SocketAddr, Family)) {
    for lab in clusters() {
        for node in [1, 2] {
            for family in Family::ALL {
                println!("server on node {node}, {family}");
                let name = format!("{}-{node}", family.to_string().to_lowercase());
                let client = lab.node(1).pod(&format!("client-{name}")).unwrap();
                let server = echo_pod(&lab, node, &format!("server-{name}"));
                let vip = service(&lab, &name, &[&server]).at(family, 80);
                test(&lab, &client, &server, vip, family);
            }
        }
    }
}
