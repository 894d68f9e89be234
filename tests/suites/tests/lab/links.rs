// SPDX-License-Identifier: MIT OR Apache-2.0
//! AllPaths between nodes that are no plain Ethernet: a vxlan overlay as flannel makes it, devices without
//! Ethernet headers.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lab::agent::AgentOptions;
use lab::netlink::Route;
use lab::service::ServiceSpec;
use lab::tun::Tun;
use lab::{Family, Ips, Lab, Node, Wiring};
use rtnetlink::packet_route::address::AddressFlags;
use rtnetlink::packet_route::route::RouteScope;

use crate::all_paths::{AllPaths, LARGE};
use crate::{clusters, echo_pod, lead, service};

/// The node's own address on the overlay, as flannel gives it: the first of its pod subnet, alone.
fn on_overlay(node: &Node) -> Ips {
    Ips {
        v4: lab::addresses::pod(node.number(), 0).v4,
        // The subnet's first is every router's in IPv6.
        v6: lab::addresses::pod(node.number(), 255).v6,
    }
}

fn whole(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

fn pods_of(node: &Node, family: Family) -> (IpAddr, u8) {
    let first = lab::addresses::pod(node.number(), 0).get(family);
    match family {
        Family::V4 => (first, lab::addresses::POD_PREFIX_V4),
        Family::V6 => (first, lab::addresses::POD_PREFIX_V6),
    }
}

fn make_overlay(node: &Node, other: &Node) {
    const DEVICE: &str = "flannel.1";
    node.netns()
        .configure(async |network| {
            let (local, remote) = (node.ips().v4, other.ips().v4);
            network.add_vxlan(DEVICE, "eth0", local, remote).await?;
            for family in Family::ALL {
                let own = (on_overlay(node).get(family), whole(family));
                network.add_address(DEVICE, own, AddressFlags::empty()).await?;
                let gateway = on_overlay(other).get(family);
                let by_device = Route::device((gateway, whole(family)), DEVICE, RouteScope::Link);
                network.add_route(by_device).await?;
                network
                    .add_route(Route::via(pods_of(other, family), gateway))
                    .await?;
            }
            Ok(())
        })
        .unwrap();
}

#[test]
#[ignore = "needs root"]
fn services_work_over_a_vxlan_overlay() {
    for lab in clusters() {
        make_overlay(lab.node(1), lab.node(2));
        make_overlay(lab.node(2), lab.node(1));
        let paths = AllPaths::new(&lab);
        paths.work_from_pods();
        paths.work_from_outside(&lab, on_overlay(lab.node(1)));
    }
}

/// The node's address on the tun pair.
fn on_tun(node: &Node) -> Ips {
    Ips {
        v4: Ipv4Addr::new(10, 99, 0, node.number()),
        v6: Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, node.number().into()),
    }
}

/// Node 1 runs Shunt and serves; a client's packets come to it by a device without Ethernet headers, as they
/// would by wireguard.
#[test]
#[ignore = "needs root"]
fn services_work_over_devices_without_ethernet_headers() {
    const DEVICE: &str = "tun0";
    let lab = Lab::new(Wiring::Ptp).unwrap();
    let (serving, other) = (lab.node(1), lab.node(2));
    let _tun = Tun::join(serving.netns(), other.netns(), DEVICE).unwrap();
    for (node, peer) in [(serving, other), (other, serving)] {
        node.netns()
            .configure(async |network| {
                for family in Family::ALL {
                    let prefix = if family == Family::V4 { 24 } else { 64 };
                    let own = (on_tun(node).get(family), prefix);
                    network.add_address(DEVICE, own, AddressFlags::empty()).await?;
                    let gateway = on_tun(peer).get(family);
                    network
                        .add_route(Route::via(pods_of(peer, family), gateway))
                        .await?;
                    let services = match family {
                        Family::V4 => (
                            lab::addresses::SERVICES_V4.0.into(),
                            lab::addresses::SERVICES_V4.1,
                        ),
                        Family::V6 => (
                            lab::addresses::SERVICES_V6.0.into(),
                            lab::addresses::SERVICES_V6.1,
                        ),
                    };
                    if node.number() == other.number() {
                        network.add_route(Route::via(services, gateway)).await?;
                    }
                }
                Ok(())
            })
            .unwrap();
    }
    lab.start_agents_on(&lab.nodes()[..1], &AgentOptions::default())
        .unwrap();

    let client = other.pod("client").unwrap();
    let (near, back) = (echo_pod(&lab, 1, "near"), echo_pod(&lab, 2, "back"));
    let (there, and_back) = (
        service(&lab, "there", &[&near]),
        service(&lab, "and-back", &[&back]),
    );
    let empty = lab
        .service(ServiceSpec::new("empty").tcp_and_udp(80, 8080))
        .unwrap();
    let closed = lab
        .service(ServiceSpec::new("closed").tcp_and_udp(80, 9))
        .unwrap();
    lead(&lab, &empty, &[]);
    lead(&lab, &closed, &[near.ready()]);
    let large = "x".repeat(LARGE);
    for family in Family::ALL {
        // The second is masqueraded: its packets leave by the device they came by.
        let paths = [
            (&there, &near, client.ip(family)),
            (&and_back, &back, on_tun(serving).get(family)),
        ];
        for (service, server, seen) in paths {
            let vip = service.at(family, 80);
            for question in ["small", &large] {
                for answer in [
                    client.talk().ask_tcp(vip, question),
                    client.talk().ask_udp(vip, question),
                ] {
                    let answer =
                        answer.unwrap_or_else(|error| panic!("{family} to {}: {error}", server.name()));
                    assert_eq!(
                        (answer.pod.as_str(), answer.heard.as_str()),
                        (server.name(), question)
                    );
                    assert_eq!(answer.client.ip(), seen, "{family} to {}", server.name());
                }
            }
        }
        for service in [&empty, &closed] {
            let vip = service.at(family, 80);
            for error in [
                client.talk().ask_tcp(vip, "x").err(),
                client.talk().ask_udp(vip, "x").err(),
            ] {
                let kind = error.and_then(|error| error.io_kind());
                assert_eq!(
                    kind,
                    Some(ErrorKind::ConnectionRefused),
                    "{family}: {}",
                    service.name()
                );
            }
        }
    }
}
