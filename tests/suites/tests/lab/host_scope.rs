// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which sockets are translated: the node's; on request those of pods too; none after cleanup.

use std::net::SocketAddr;

use lab::agent::{Agent, AgentOptions};
use lab::capture::Capture;
use lab::programs::calls::{Domains, Kind};
use lab::{Family, Node, Pod, Service};

use crate::host_clients::{ask, domains};
use crate::{clusters, clusters_with, echo_pod, service};

const ENETUNREACH: i32 = 101;

#[test]
#[ignore = "needs root"]
fn pods_sockets_are_left_to_their_devices() {
    for lab in clusters() {
        let (client, server) = (lab.node(1).pod("client").unwrap(), echo_pod(&lab, 2, "server"));
        let service = service(&lab, "web", &[&server]);
        assert_eq!(spoken(&client, &service), [(Kind::Tcp, true), (Kind::Udp, true)]);
        assert!(counted(lab.node(1), "connect", "other_namespace") >= 4);
    }
}

#[test]
#[ignore = "needs root"]
fn pods_tcp_sockets_are_translated_on_request_and_their_udp_follows_endpoints() {
    for lab in clusters_with(&["--socket-lb=pods"]) {
        let (client, server) = (lab.node(1).pod("client").unwrap(), echo_pod(&lab, 2, "server"));
        let service = service(&lab, "web", &[&server]);
        assert_eq!(spoken(&client, &service), [(Kind::Tcp, false), (Kind::Udp, true)]);
        assert!(counted(lab.node(1), "connect", "left_to_packets") >= 2);
        // The node itself as ever.
        let caller = lab.node(1).caller().unwrap();
        let socket = caller.open(Kind::Udp, Domains::V4).unwrap();
        let vip = service.at(Family::V4, 80);
        let (answer, from) = ask(&socket, vip);
        assert_eq!((answer.pod.as_str(), from), ("server", vip));
    }
}

/// Speaks from a pod to a Service by each transport: whether packets at the pod's own device name the VIP.
fn spoken(client: &Pod, service: &Service) -> [(Kind, bool); 2] {
    let caller = client.caller().unwrap();
    [Kind::Tcp, Kind::Udp].map(|kind| {
        let capture = Capture::start([client.netns()]).unwrap();
        for family in Family::ALL {
            let vip = service.at(family, 80);
            let socket = caller.open(kind, domains(family)).unwrap();
            socket.connect(vip).unwrap();
            assert_eq!(socket.peer(), Ok(vip));
            socket.send("hello\n").unwrap();
            assert_eq!(socket.receive().unwrap().client.ip(), client.ip(family));
        }
        let seen = capture.stop().unwrap();
        let is_vip = |addr: SocketAddr| service.vip().contains(addr.ip());
        let named = seen
            .iter()
            .filter_map(lab::capture::Seen::packet)
            .any(|packet| is_vip(packet.destination));
        (kind, named)
    })
}

#[test]
#[ignore = "needs root"]
fn a_socket_in_another_nodes_cgroup_is_not_translated_by_that_node() {
    for lab in clusters() {
        let server = echo_pod(&lab, 2, "server");
        let service = service(&lab, "web", &[&server]);
        // In the namespace of node 1, below the cgroup of node 2: as a machine's processes are below all.
        let caller = lab.node(1).caller_below(lab.node(2)).unwrap();
        for family in Family::ALL {
            let socket = caller.open(Kind::Tcp, domains(family)).unwrap();
            assert_eq!(socket.connect(service.at(family, 80)), Err(ENETUNREACH));
        }
        assert_eq!(counted(lab.node(2), "connect", "other_namespace"), 2);
        assert_eq!(counted(lab.node(1), "connect", "new_flow"), 0);
    }
}

#[test]
#[ignore = "needs root"]
fn no_socket_is_translated_when_switched_off_or_cleaned_up() {
    for lab in clusters() {
        let server = echo_pod(&lab, 2, "server");
        let service = service(&lab, "web", &[&server]);
        let node = lab.node(1);
        let caller = node.caller().unwrap();
        let held = caller.open(Kind::Tcp, Domains::V4).unwrap();
        held.connect(service.at(Family::V4, 80)).unwrap();
        let reaches = || {
            let socket = caller.open(Kind::Tcp, Domains::V4).unwrap();
            socket.connect(service.at(Family::V4, 80))
        };
        assert_eq!(reaches(), Ok(()));
        assert!(
            node.shunt_text(&["status"])
                .unwrap()
                .contains("serving socket calls")
        );

        lab.agent(1, Agent::terminate).unwrap();
        let off = AgentOptions::saying(&["--socket-lb=off"]);
        let mut agent = node.start_agent(&off).unwrap();
        agent.wait_ready().unwrap();
        assert_eq!(reaches(), Err(ENETUNREACH), "switched off");
        agent.terminate().unwrap();

        lab.agent(1, Agent::restart).unwrap();
        assert_eq!(reaches(), Ok(()), "switched on again");
        lab.agent(1, Agent::terminate).unwrap();
        assert_eq!(reaches(), Ok(()), "while no agent runs");
        node.shunt_text(&["cleanup"]).unwrap();
        assert_eq!(reaches(), Err(ENETUNREACH), "cleaned up");
        // An open connection goes on: its socket was only ever connected to the backend.
        held.send("hello\n").unwrap();
        assert_eq!(held.receive().unwrap().pod, "server");
    }
}

/// How often calls of this kind came out so on a node.
fn counted(node: &Node, call: &str, outcome: &str) -> u64 {
    let status: serde_json::Value =
        serde_json::from_str(&node.shunt_text(&["status", "-o", "json"]).unwrap()).unwrap();
    let all = status["outcomes"].as_array().unwrap();
    let of_these = all
        .iter()
        .filter(|count| count["hook"] == call && count["outcome"] == outcome);
    of_these.map(|count| count["packets"].as_u64().unwrap()).sum()
}
