// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--forwarding=direct`: established flows past the host's stack, and back through it where that is needed.

use lab::Family;
use lab::offload::Offloads;
use lab::programs::bulk::Way;
use lab::service::{Protocol, ServiceSpec};

use crate::all_paths::AllPaths;
use crate::path::{finds_out, route_to_pods};
use crate::{clusters, clusters_with, counted, lead};

const DIRECT: &[&str] = &["--forwarding=direct"];
const BYTES: u64 = 100_000_000;

#[test]
#[ignore = "needs root"]
fn every_path_to_a_service_works_on_the_fast_path() {
    for lab in clusters_with(DIRECT) {
        AllPaths::new(&lab).all_work(&lab);
        // Asked and answered between two pods of one node, and with the other node.
        assert!(
            counted(&lab, 1, "fast_path") > 20,
            "{}",
            counted(&lab, 1, "fast_path")
        );
        assert_eq!(counted(&lab, 1, "rewrite_failed"), 0);
    }
}

#[test]
#[ignore = "needs root"]
fn bulk_data_arrives_whole_on_the_fast_path_with_offloads_on_and_off() {
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
fn path_mtu_discovery_works_on_the_fast_path() {
    for lab in clusters_with(DIRECT) {
        let paths = AllPaths::new(&lab);
        for (node, other) in [(1, 2), (2, 1)] {
            route_to_pods(&lab, node, other);
        }
        for family in Family::ALL {
            finds_out(&paths.client.talk(), paths.services[1].at(family, 80));
        }
    }
}

/// What the stack does not forward is not forwarded past it either, from the next packet on.
#[test]
#[ignore = "needs root"]
fn the_fast_path_stops_when_the_node_stops_forwarding() {
    for lab in clusters_with(DIRECT) {
        let paths = AllPaths::new(&lab);
        let node = lab.node(1).netns();
        let forward = |is: &str| node.sysctl(&[("ipv4/ip_forward", is)]).unwrap();
        for service in &paths.services {
            let socket = paths
                .client
                .talk()
                .impatient()
                .udp(service.at(Family::V4, 80))
                .unwrap();
            let answered = |question: &str| socket.ask(question).is_ok();
            assert!(answered("first") && answered("second"));
            let before = counted(&lab, 1, "fast_path");
            forward("0");
            assert!(!answered("into the void"));
            assert_eq!(counted(&lab, 1, "fast_path"), before);
            forward("1");
            assert!(answered("again"));
        }
    }
}

#[test]
#[ignore = "needs root"]
fn pods_are_reached_through_the_stack_by_default() {
    for lab in clusters() {
        AllPaths::new(&lab).work_from_pods();
        assert_eq!(counted(&lab, 1, "fast_path"), 0);
    }
}
