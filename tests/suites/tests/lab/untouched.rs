// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is not Shunt's passes as if Shunt were not there.

use std::net::SocketAddr;

use lab::capture::{Capture, Seen, Way};
use lab::packet::{Layer, Packet};
use lab::{Family, Lab, Pod};

use crate::{clusters, echo_pod, service};

#[test]
#[ignore = "needs root"]
fn packets_between_pods_arrive_as_they_were_sent() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let server = echo_pod(&lab, 2, "server");
        service(&lab, "web", &[&server]);
        for family in Family::ALL {
            let direct = server.at(family, 8080);
            let seen = capture(&lab, &[&client, &server], || {
                client.talk().ask_tcp(direct, "over TCP").unwrap();
                client.talk().ask_udp(direct, "over UDP").unwrap();
            });
            for (sender, receiver) in [(&client, &server), (&server, &client)] {
                let sent = bytes_at(&seen, sender, Way::Out, direct);
                assert!(!sent.is_empty());
                assert_eq!(
                    sent,
                    bytes_at(&seen, receiver, Way::In, direct),
                    "{family} from {}",
                    sender.name()
                );
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn no_redirects_are_sent() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let servers = [echo_pod(&lab, 1, "near"), echo_pod(&lab, 2, "far")];
        let services = servers
            .each_ref()
            .map(|server| service(&lab, server.name(), &[server]));
        let hairpin = service(&lab, "hairpin", &[&servers[0]]);
        let seen = capture(&lab, &[&client, &servers[0], &servers[1]], || {
            for family in Family::ALL {
                client.talk().ask_tcp(services[1].at(family, 80), "x").unwrap();
                if family == Family::V6 {
                    // IPv6 cannot be told not to (no send_redirects): where a packet leaves by the device it came by,
                    // a bridge or the pod's own, the kernel tells the client of a neighbour it knows already.
                    continue;
                }
                client.talk().ask_tcp(services[0].at(family, 80), "x").unwrap();
                servers[0].talk().ask_tcp(hairpin.at(family, 80), "x").unwrap();
            }
        });
        let redirects: Vec<_> = seen
            .iter()
            .filter(|seen| is_redirect(seen))
            .map(ToString::to_string)
            .collect();
        assert_eq!(redirects, Vec::<String>::new());
    }
}

fn capture(lab: &Lab, pods: &[&Pod], traffic: impl FnOnce()) -> Vec<Seen> {
    let nodes = lab.nodes().iter().map(lab::Node::netns);
    let capture = Capture::start(nodes.chain(pods.iter().map(|pod| pod.netns()))).unwrap();
    traffic();
    capture.stop().unwrap()
}

/// The conversation's packets at a pod's `eth0`, without what every router changes: the link header, the hop
/// count, and IPv4's header checksum over it.
fn bytes_at(seen: &[Seen], pod: &Pod, way: Way, server: SocketAddr) -> Vec<Vec<u8>> {
    const ETHERNET: usize = 14;
    let belongs = |packet: Packet| packet.source == server || packet.destination == server;
    let at_pod = seen
        .iter()
        .filter(|seen| seen.place == pod.name() && seen.device == "eth0" && seen.way == way);
    let own = at_pod.filter(|seen| seen.packet().is_some_and(belongs));
    let routed = |seen: &Seen| {
        let mut bytes = seen.frame[ETHERNET..].to_vec();
        let changing: &[usize] = if server.is_ipv4() { &[8, 10, 11] } else { &[7] };
        changing.iter().for_each(|&index| bytes[index] = 0);
        bytes
    };
    own.map(routed).collect()
}

fn is_redirect(seen: &Seen) -> bool {
    seen.packet().is_some_and(|packet| match packet.layer {
        Layer::Icmp(kind, _) => kind == if packet.source.is_ipv4() { 5 } else { 137 },
        _ => false,
    })
}
