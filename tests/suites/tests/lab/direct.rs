// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--forwarding=direct`: established flows past the host's stack, and back through it where that is needed.

use lab::Family;
use lab::offload::Offloads;
use lab::programs::bulk::Way;
use lab::service::{Protocol, ServiceSpec};

use crate::path::{finds_out, route_to_pods};
use crate::ways::Ways;
use crate::{clusters, clusters_with, counted, lead};

const DIRECT: &[&str] = &["--forwarding=direct"];
const BYTES: u64 = 100_000_000;

#[test]
#[ignore = "needs root"]
fn every_way_to_a_service_works_past_the_stack() {
    for lab in clusters_with(DIRECT) {
        Ways::new(&lab).all_work(&lab);
        // Asked and answered between two pods of one node, and with the other node.
        assert!(
            counted(&lab, 1, "shortcut") > 20,
            "{}",
            counted(&lab, 1, "shortcut")
        );
        assert_eq!(counted(&lab, 1, "rewrite_failed"), 0);
    }
}

#[test]
#[ignore = "needs root"]
fn much_data_arrives_whole_past_the_stack_with_offloads_on_and_off() {
    for lab in clusters_with(DIRECT) {
        let client = lab.node(1).pod("client").unwrap();
        let spec = ServiceSpec::new("bulk").port(Protocol::Tcp, 80, 9000);
        let service = lab.service(spec).unwrap();
        for (server, family) in [
            (lab.node(1).pod("near").unwrap(), Family::V6),
            (lab.node(2).pod("far").unwrap(), Family::V4),
        ] {
            server.serve_bulk(9000).unwrap();
            lead(&lab, &service, &[server.ready()]);
            for offloads in Offloads::ALL {
                lab.set_offloads(offloads).unwrap();
                for way in [Way::Up, Way::Down] {
                    println!(
                        "{way:?} to {} over {family}, offloads {offloads:?}",
                        server.name()
                    );
                    let (sent, received) = client.bulk(service.at(family, 80), way, BYTES).unwrap();
                    assert_eq!((received.bytes, received), (BYTES, sent));
                }
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_small_link_is_found_out_past_the_stack() {
    for lab in clusters_with(DIRECT) {
        let ways = Ways::new(&lab);
        for (node, other) in [(1, 2), (2, 1)] {
            route_to_pods(&lab, node, other);
        }
        for family in Family::ALL {
            finds_out(&ways.client.talk(), ways.services[1].at(family, 80));
        }
    }
}

/// What the stack does not forward is not forwarded past it either, from the next packet on.
#[test]
#[ignore = "needs root"]
fn a_node_that_stops_to_forward_stops_to_forward_directly() {
    for lab in clusters_with(DIRECT) {
        let ways = Ways::new(&lab);
        let node = lab.node(1).netns();
        let forward = |is: &str| node.sysctl(&[("ipv4/ip_forward", is)]).unwrap();
        for service in &ways.services {
            let socket = ways
                .client
                .talk()
                .impatient()
                .udp(service.at(Family::V4, 80))
                .unwrap();
            let answered = |question: &str| socket.ask(question).is_ok();
            assert!(answered("first") && answered("second"));
            let before = counted(&lab, 1, "shortcut");
            forward("0");
            assert!(!answered("into the void"));
            assert_eq!(counted(&lab, 1, "shortcut"), before);
            forward("1");
            assert!(answered("again"));
        }
    }
}

#[test]
#[ignore = "needs root"]
fn pods_are_reached_through_the_stack_where_nobody_asked_for_more() {
    for lab in clusters() {
        Ways::new(&lab).work_from_pods();
        assert_eq!(counted(&lab, 1, "shortcut"), 0);
    }
}
