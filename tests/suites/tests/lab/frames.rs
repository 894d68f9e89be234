// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames that are not for the device they come in by: for another host, or for a device stacked on it. Each packet is
//! translated once.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lab::agent::AgentOptions;
use lab::capture::{Capture, Way};
use lab::netns::Netns;
use lab::service::ServiceSpec;
use lab::{Family, Lab, Node, Wiring, tool};

use crate::all_paths::AllPaths;
use crate::{clusters, counted, echo_pod, lead, service};

/// A link-layer address that no device in the lab has: the switch floods frames for it.
const ANOTHER: &str = "02:00:00:00:77:77";

/// The neighbour with that address.
fn another(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(172, 18, 0, 77).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0x172, 0x18, 0, 0, 0, 0, 0x77).into(),
    }
}

fn ip(place: &Netns, words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    place.tool("ip", &words, "").unwrap()
}

#[test]
#[ignore = "needs root"]
fn frames_for_another_host_are_left_alone() {
    if !tool::is_there("ip", "frames_for_another_host_are_left_alone") {
        return;
    }
    for lab in clusters() {
        let server = echo_pod(&lab, 1, "server");
        let web = service(&lab, "web", &[&server]);
        let empty = lab
            .service(ServiceSpec::new("empty").tcp_and_udp(80, 8080))
            .unwrap();
        lead(&lab, &empty, &[]);
        let outside = lab.outside();
        for family in Family::ALL {
            let (gateway, prefix) = match family {
                Family::V4 => (another(family), 32),
                Family::V6 => (another(family), 128),
            };
            ip(
                outside,
                &format!("neigh replace {gateway} lladdr {ANOTHER} dev eth0 nud permanent"),
            );
            for service in [&web, &empty] {
                let vip = service.vip().get(family);
                ip(outside, &format!("route replace {vip}/{prefix} via {gateway}"));
            }
        }
        let capture = Capture::start([outside]).unwrap();
        for family in Family::ALL {
            for at in [
                web.at(family, 80),
                web.at(family, 81),
                empty.at(family, 80),
                (empty.vip().get(family), 9).into(),
            ] {
                let talk = outside.talk().impatient();
                for error in [talk.ask_tcp(at, "x").err(), talk.ask_udp(at, "x").err()] {
                    let kind = error.expect("silence").io_kind();
                    assert_ne!(kind, Some(ErrorKind::ConnectionRefused), "{at}");
                }
            }
        }
        let seen = capture.stop().unwrap();
        let answers = seen.iter().filter(|seen| {
            let packet = seen.packet();
            let source = packet.map(|packet| packet.source.ip());
            seen.way == Way::In && source.is_some_and(|ip| web.vip().contains(ip) || empty.vip().contains(ip))
        });
        let answers: Vec<String> = answers.map(ToString::to_string).collect();
        assert_eq!(answers, [""; 0]);
        for n in [1, 2] {
            assert!(counted(&lab, n, "not_for_device") > 0, "node {n}");
            for outcome in ["new_flow", "rejected_no_endpoint", "rejected_unknown_port"] {
                assert_eq!(counted(&lab, n, outcome), 0, "node {n}: {outcome}");
            }
        }
    }
}

/// Gives a node's addresses and routes to a device over its uplink.
fn move_to_macvlan(node: &Node, mode: &str) {
    const ABOVE: &str = "up0";
    let place = node.netns();
    let routes = ["-4", "-6"].map(|family| (family, ip(place, &format!("{family} route show dev eth0"))));
    ip(
        place,
        &format!("link add {ABOVE} link eth0 type macvlan mode {mode}"),
    );
    ip(place, "addr flush dev eth0");
    ip(place, &format!("link set {ABOVE} up"));
    let own = node.ips();
    ip(place, &format!("addr add {}/16 dev {ABOVE}", own.v4));
    ip(place, &format!("addr add {}/64 dev {ABOVE} nodad", own.v6));
    for (family, routes) in routes {
        let others = routes.lines().filter(|line| !line.contains("proto kernel"));
        for route in others {
            ip(place, &format!("{family} route replace {route} dev {ABOVE}"));
        }
    }
}

/// An uplink with a device of another address on it, and with one of the same address: packets for that come through
/// the uplink's ingress first, as those of a VLAN do.
#[test]
#[ignore = "needs root"]
fn a_packet_is_translated_once_where_the_uplink_is_a_device_over_another() {
    if !tool::is_there(
        "ip",
        "a_packet_is_translated_once_where_the_uplink_is_a_device_over_another",
    ) {
        return;
    }
    for (wiring, mode) in [(Wiring::Ptp, "bridge"), (Wiring::Bridge, "passthru")] {
        println!("macvlan in mode {mode}");
        let lab = Lab::new(wiring).unwrap();
        move_to_macvlan(lab.node(1), mode);
        let options = AgentOptions::saying(&["--device", "eth0=uplink"]);
        lab.start_agents_with(&options).unwrap();
        let paths = AllPaths::new(&lab);
        paths.all_work(&lab);
        for outcome in ["plain_moved", "moved", "contested"] {
            assert_eq!(counted(&lab, 1, outcome), 0, "{outcome}");
        }
        let passed = match mode {
            "bridge" => "not_for_device",
            _ => "already_translated",
        };
        assert!(counted(&lab, 1, passed) > 0, "{passed}");
    }
}
