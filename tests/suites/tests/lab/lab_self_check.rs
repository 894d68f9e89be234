// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab checks itself without Shunt: a failure here is the lab's, not Shunt's.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use lab::binaries::Binaries;
use lab::capture::Capture;
use lab::lookup::Found;
use lab::offload::Offloads;
use lab::programs::bulk::Way;
use lab::service::{Protocol, ServiceSpec};
use lab::workloads::none_failed;
use lab::{Family, Lab, Wiring, wait};

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
fn a_lab_is_removed_when_its_owner_is_killed() {
    let binaries = Binaries::find().unwrap();
    let mut owner = Command::new(&binaries.lab)
        .arg("hold")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(owner.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let folder = Path::new(line.trim_end());
    assert!(folder.exists());

    owner.kill().unwrap();
    owner.wait().unwrap();

    wait::until_gone(folder).unwrap();
}

#[test]
#[ignore = "needs root"]
fn a_pod_finds_a_server_by_name_and_counts_its_answers() {
    let lab = Lab::new(Wiring::Bridge).unwrap();
    let dns = lab.node(2).pod("dns").unwrap();
    let web = lab.node(1).pod("web").unwrap();
    let client = lab.node(1).pod("client").unwrap();
    dns.serve_dns().unwrap();
    web.serve_http(80, "v1").unwrap();
    lab.service(ServiceSpec::new("web").at(web.ips()).port(Protocol::Tcp, 80, 80))
        .unwrap();
    client.use_dns(dns.ip(Family::V4)).unwrap();

    let mut load = client.load("web:80", &["--rate", "500"]).unwrap();
    load.wait_for(50).unwrap();
    let counts = load.stop().unwrap();

    none_failed(&counts).unwrap();
    assert_eq!(counts.by_pod.get("web"), Some(&counts.sent));
    for over in Protocol::ALL {
        let ask = |name| {
            client
                .talk()
                .look_up(dns.at(Family::V4, 53), name, Family::V6, over)
                .unwrap()
        };
        assert_eq!(
            ask("web.default.svc.cluster.local."),
            Found::Addresses(vec![web.ip(Family::V6)])
        );
        assert_eq!(ask("nothing.default.svc.cluster.local."), Found::NoSuchName);
    }
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
