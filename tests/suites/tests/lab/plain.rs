// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab itself, without Shunt: what fails here is not Shunt's fault.

use lab::capture::Capture;
use lab::offload::Offloads;
use lab::programs::bulk::Way;
use lab::{Family, Lab, Wiring};

#[test]
#[ignore = "needs root"]
fn pods_reach_each_other_by_their_own_addresses() {
    for wiring in Wiring::ALL {
        let lab = Lab::new(wiring).unwrap();
        let client = lab.node(1).pod("client").unwrap();
        let near = lab.node(1).pod("near").unwrap();
        let far = lab.node(2).pod("far").unwrap();
        for server in [&near, &far] {
            server.serve_echo(8080).unwrap();
            for family in Family::ALL {
                let tcp = client.talk().ask_tcp(server.at(family, 8080), "hello").unwrap();
                let udp = client.talk().ask_udp(server.at(family, 8080), "hello").unwrap();
                for answer in [tcp, udp] {
                    assert_eq!(answer.pod, server.name(), "{wiring} {family}");
                    assert_eq!(answer.client.ip(), client.ip(family), "{wiring} {family}");
                }
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_lab_leaves_nothing_behind() {
    let lab = Lab::new(Wiring::Ptp).unwrap();
    lab.node(1).pod("web").unwrap().serve_http(80, "v1").unwrap();
    let folder = lab.folder().root().to_owned();
    assert!(folder.exists());

    drop(lab);

    assert!(!folder.exists());
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(folder.to_str().unwrap()), "{mounts}");
}

#[test]
#[ignore = "needs root"]
fn captures_see_a_packet_at_every_device_in_order() {
    let lab = Lab::new(Wiring::Ptp).unwrap();
    let client = lab.node(1).pod("client").unwrap();
    let server = lab.node(2).pod("server").unwrap();
    server.serve_echo(8080).unwrap();
    let places = [
        client.netns(),
        lab.node(1).netns(),
        lab.node(2).netns(),
        server.netns(),
    ];
    let capture = Capture::start(places).unwrap();

    client
        .talk()
        .ask_udp(server.at(Family::V4, 8080), "find me")
        .unwrap();

    let seen = capture.stop().unwrap();
    let request = seen
        .iter()
        .filter(|seen| seen.packet().is_some_and(|packet| packet.payload == b"find me"));
    let taps: Vec<_> = request
        .map(|seen| (seen.place.as_str(), seen.device.as_str(), seen.way))
        .collect();
    use lab::capture::Way::{In, Out};
    let expected = [
        ("client", "eth0", Out),
        ("node1", client.host_device(), In),
        ("node1", "eth0", Out),
        ("node2", "eth0", In),
        ("node2", server.host_device(), Out),
        ("server", "eth0", In),
    ];
    assert_eq!(taps, expected);
}

#[test]
#[ignore = "needs root"]
fn bulk_data_arrives_whole_with_offloads_on_and_off() {
    let lab = Lab::new(Wiring::Ptp).unwrap();
    let client = lab.node(1).pod("client").unwrap();
    let server = lab.node(2).pod("server").unwrap();
    server.serve_bulk(9000).unwrap();
    for offloads in Offloads::ALL {
        lab.set_offloads(offloads).unwrap();
        for way in [Way::Up, Way::Down] {
            let (sent, received) = client.bulk(server.at(Family::V4, 9000), way, 50_000_000).unwrap();
            assert_eq!(sent, received);
        }
    }
}
