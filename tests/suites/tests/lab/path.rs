// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the path tells of itself: fragments, smaller links, errors on the way and at its end.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use lab::netlink::Route;
use lab::netns::Netns;
use lab::service::ServiceSpec;
use lab::{Family, Ips, Lab, Node};
use rtnetlink::packet_route::address::AddressFlags;
use rtnetlink::packet_route::route::RouteScope;

use crate::all_paths::AllPaths;
use crate::{clusters, counted, lead};

/// A link in the middle lets no larger packets through; the ends' own links have 1,500.
const SMALL: u32 = 1_400;
/// Some hundreds of segments.
const TRANSFER: usize = 300_000;

#[test]
#[ignore = "needs root"]
fn large_datagrams_pass_both_ways_from_pods_and_from_outside() {
    for lab in clusters() {
        AllPaths::new(&lab).all_work(&lab);
        // What ingress translated, egress on the same node does not look at again: the mark survives the stack's way.
        assert!(
            counted(&lab, 1, "egress_skipped") > 5,
            "{}",
            counted(&lab, 1, "egress_skipped")
        );
        assert!(counted(&lab, 1, "fragment_translated") > 0);
        assert_eq!(counted(&lab, 1, "fragment_dropped"), 0);
    }
}

#[test]
#[ignore = "needs root"]
fn pods_discover_a_small_mtu_between_the_nodes() {
    for lab in clusters() {
        let paths = AllPaths::new(&lab);
        // Each node is the router before the small link, for one direction.
        for (node, other) in [(1, 2), (2, 1)] {
            route_to_pods(&lab, node, other);
        }
        for family in Family::ALL {
            finds_out(&paths.client.talk(), paths.services[1].at(family, 80));
        }
        assert!(counted(&lab, 1, "error_translated") > 0);
    }
}

#[test]
#[ignore = "needs root"]
fn a_client_outside_and_a_pod_discover_a_small_mtu_between_them() {
    for lab in clusters() {
        let paths = AllPaths::new(&lab);
        let far = host_behind_a_small_link(&lab);
        for family in Family::ALL {
            for service in &paths.services {
                finds_out(&far.talk(), service.at(family, 80));
            }
        }
        assert!(counted(&lab, 1, "error_translated") > 0);
    }
}

/// Much by TCP, and datagrams of a size that passes the ends' links only: the first of either way is lost, and
/// with it goes the news of how large they may be.
pub(crate) fn finds_out(talk: &lab::client::From<'_>, vip: SocketAddr) {
    let much = "x".repeat(TRANSFER);
    let heard = talk
        .ask_tcp(vip, &much)
        .unwrap_or_else(|error| panic!("much by TCP to {vip}: {error}"))
        .heard;
    assert_eq!(heard.len(), much.len());

    let question = "x".repeat(SMALL as usize - 20);
    let socket = talk.impatient().udp(vip).unwrap();
    let answered = (0..6).find_map(|_| socket.ask(&question).ok());
    assert_eq!(
        answered.map(|answer| answer.heard.len()),
        Some(question.len()),
        "UDP to {vip}"
    );
}

pub(crate) fn route_to_pods(lab: &Lab, node: usize, other: usize) {
    let other = lab.node(other);
    let routes =
        Family::ALL.map(|family| Route::via(pods_of(other, family), other.ips().get(family)).mtu(SMALL));
    add_routes(lab.node(node).netns(), &routes);
}

fn pods_of(node: &Node, family: Family) -> (IpAddr, u8) {
    let first = lab::addresses::pod(node.number(), 0).get(family);
    match family {
        Family::V4 => (first, lab::addresses::POD_PREFIX_V4),
        Family::V6 => (first, lab::addresses::POD_PREFIX_V6),
    }
}

fn add_routes(netns: &Netns, routes: &[Route<'_>]) {
    netns
        .configure(async |network| {
            for route in routes {
                network.add_route(*route).await?;
            }
            Ok(())
        })
        .unwrap();
}

/// Makes the outside host a router, with a host behind it, and lets nothing large pass it, either way.
fn host_behind_a_small_link(lab: &Lab) -> Netns {
    let router = lab.outside();
    let far = Netns::create(&lab.folder().netns(), "behind").unwrap();
    far.sysctl(&[
        ("ipv6/conf/all/disable_ipv6", "0"),
        ("ipv6/conf/default/disable_ipv6", "0"),
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
    ])
    .unwrap();
    router.join("behind", &far, "eth0").unwrap();
    router
        .sysctl(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])
        .unwrap();
    let ends = |host| Ips {
        v4: [192, 0, 2, host].into(),
        v6: [0x2001, 0xdb8, 2, 0, 0, 0, 0, host.into()].into(),
    };
    let prefix = |family| match family {
        Family::V4 => 24,
        Family::V6 => 64,
    };
    for (netns, device, host) in [(router, "behind", 1), (&far, "eth0", 2)] {
        netns
            .configure(async |network| {
                for family in Family::ALL {
                    let address = (ends(host).get(family), prefix(family));
                    network
                        .add_address(device, address, AddressFlags::Noprefixroute)
                        .await?;
                }
                Ok(())
            })
            .unwrap();
    }
    for family in Family::ALL {
        let subnet = (ends(0).get(family), prefix(family));
        let device = Route::device(subnet, "behind", RouteScope::Link);
        add_routes(router, &[device.mtu(SMALL)]);
        add_routes(&far, &[Route::device(subnet, "eth0", RouteScope::Link)]);
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
        let node = lab.node(1).ips().get(family);
        add_routes(router, &[Route::via(services, node).mtu(SMALL)]);
        add_routes(&far, &[Route::via(services, ends(1).get(family))]);
        for node in lab.nodes() {
            add_routes(
                node.netns(),
                &[Route::via(subnet, lab::addresses::outside().get(family))],
            );
        }
    }
    far
}

#[test]
#[ignore = "needs root"]
fn a_pods_closed_port_is_refused_in_the_name_of_the_vip() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let pods = [lab.node(1).pod("near").unwrap(), lab.node(2).pod("far").unwrap()];
        for pod in &pods {
            let name = format!("to-{}", pod.name());
            let service = lab
                .service(ServiceSpec::new(&name).tcp_and_udp(80, 8080))
                .unwrap();
            lead(&lab, &service, &[pod.ready()]);
            for family in Family::ALL {
                let vip = service.at(family, 80);
                for from in [client.netns(), lab.outside(), pod.netns()] {
                    let context = format!("{family} from {} to {}", from.name(), pod.name());
                    let tcp = from.talk().ask_tcp(vip, "x").err();
                    let udp = from.talk().ask_udp(vip, "x").err();
                    for error in [tcp, udp] {
                        let kind = error.and_then(|error| error.io_kind());
                        assert_eq!(kind, Some(ErrorKind::ConnectionRefused), "{context}");
                    }
                }
            }
        }
    }
}

/// As traceroute does it: a router's "time exceeded" is about the VIP, or it would reach no socket.
#[test]
#[ignore = "needs root"]
fn routers_on_the_way_to_a_backend_show_on_the_way_to_its_vip() {
    for lab in clusters() {
        let paths = AllPaths::new(&lab);
        for family in Family::ALL {
            let vip = paths.services[1].at(family, 80);
            // The client's node, then the server's.
            for hops in [1, 2] {
                let socket = paths.client.talk().udp(vip).unwrap();
                socket.expire_after(hops).unwrap();
                let error = socket.exchange(b"how far?").err();
                assert_eq!(
                    error.as_ref().map(std::io::Error::kind),
                    Some(ErrorKind::HostUnreachable),
                    "{family}, {hops} hops: {error:?}"
                );
            }
            let socket = paths.client.talk().udp(vip).unwrap();
            socket.expire_after(3).unwrap();
            assert_eq!(socket.ask("there").unwrap().pod, "far", "{family}");
        }
    }
}
