// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent is killed, restarted or stopped, and traffic goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aya::programs::SchedClassifier;
use aya::programs::tc::TcAttachType;
use dataplane_common::MAP_ABI;
use lab::agent::Agent;
use lab::{Family, Lab, Node, Wiring, wait};

use crate::background_clients::BackgroundClients;
use crate::{clusters, echo_pod, lead, service};

#[test]
#[ignore = "needs root"]
fn no_reply_is_lost_when_agents_are_killed_and_started_again() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let servers = [echo_pod(&lab, 1, "near"), echo_pod(&lab, 2, "far")];
        let service = service(&lab, "web", &[&servers[0], &servers[1]]);
        let pins: Vec<_> = lab.nodes().iter().map(Node::pins).collect();
        let steady = BackgroundClients::start(&client, &service);

        on_all_agents(&lab, Agent::kill9);
        steady.go_on(100);
        on_all_agents(&lab, Agent::restart);
        steady.go_on(100);

        steady.stop_without_a_loss();
        let after: Vec<_> = lab.nodes().iter().map(Node::pins).collect();
        assert_eq!(pins, after, "a new agent adopts what is there");
    }
}

#[test]
#[ignore = "needs root"]
fn an_agent_takes_the_place_of_one_with_another_layout() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let servers = [echo_pod(&lab, 1, "near"), echo_pod(&lab, 2, "far")];
        let service = service(&lab, "web", &[&servers[0], &servers[1]]);
        on_all_agents(&lab, Agent::kill9);
        let before = settings(&lab);
        for node in lab.nodes() {
            std::fs::rename(node.bpf_root().join(format!("v{MAP_ABI}")), other_version(node)).unwrap();
        }
        // Those of the other version serve until the new ones can.
        client
            .talk()
            .ask_tcp(service.at(Family::V4, 80), "by the old ones")
            .unwrap();

        on_all_agents(&lab, Agent::restart);
        lab.settle().unwrap();
        for node in lab.nodes() {
            wait::until_gone(&other_version(node)).unwrap();
        }

        assert_eq!(settings(&lab), before, "a device has one program at each hook");
        for family in Family::ALL {
            client
                .talk()
                .ask_tcp(service.at(family, 80), "by the new ones")
                .unwrap();
        }
    }
}

fn other_version(node: &Node) -> PathBuf {
    node.bpf_root().join("v1")
}

#[test]
#[ignore = "needs root"]
fn traffic_goes_on_after_an_agent_is_stopped() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let server = echo_pod(&lab, 2, "server");
        let service = service(&lab, "web", &[&server]);
        let steady = BackgroundClients::start(&client, &service);

        on_all_agents(&lab, Agent::terminate);
        steady.go_on(100);

        steady.stop_without_a_loss();
    }
}

#[test]
#[ignore = "needs root"]
fn changes_made_while_no_agent_runs_are_in_force_once_one_runs_again() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let (old, new) = (echo_pod(&lab, 1, "old"), echo_pod(&lab, 2, "new"));
        let changed = service(&lab, "changed", &[&old]);
        let deleted = service(&lab, "deleted", &[&old]);
        on_all_agents(&lab, Agent::kill9);

        changed.lead_to(&[new.ready()]).unwrap();
        deleted.delete().unwrap();
        let later = echo_pod(&lab, 1, "later");
        let created = lab
            .service(lab::service::ServiceSpec::new("created").tcp_and_udp(80, 8080))
            .unwrap();
        created.lead_to(&[later.ready()]).unwrap();
        on_all_agents(&lab, Agent::restart);
        lab.settle().unwrap();

        for family in Family::ALL {
            assert_eq!(
                client.talk().ask_tcp(changed.at(family, 80), "x").unwrap().pod,
                "new"
            );
            assert_eq!(
                client.talk().ask_udp(created.at(family, 80), "x").unwrap().pod,
                "later"
            );
            assert!(client.talk().ask_tcp(deleted.at(family, 80), "x").is_err());
            // A pod that came while no agent was there is a client like any other.
            assert_eq!(
                later.talk().ask_tcp(changed.at(family, 80), "x").unwrap().pod,
                "new"
            );
        }
    }
}

#[test]
#[ignore = "needs root"]
fn pods_are_served_when_they_appear_and_forgotten_when_they_go() {
    for lab in clusters() {
        let server = echo_pod(&lab, 2, "server");
        let service = service(&lab, "web", &[&server]);
        for round in 0..5 {
            let client = lab.node(1).pod(&format!("client{round}")).unwrap();
            lab.settle().unwrap();
            for family in Family::ALL {
                assert_eq!(
                    client.talk().ask_tcp(service.at(family, 80), "x").unwrap().pod,
                    "server"
                );
            }
            client.delete().unwrap();
        }
        lead(&lab, &service, &[]);
    }
}

#[test]
#[ignore = "needs root"]
fn cleanup_leaves_a_node_as_it_was_before_the_first_agent() {
    for wiring in Wiring::ALL {
        println!("on {wiring} wiring");
        let lab = Lab::new(wiring).unwrap();
        let client = lab.node(1).pod("client").unwrap();
        let server = echo_pod(&lab, 2, "server");
        let before = settings(&lab);
        lab.start_agents().unwrap();
        let service = service(&lab, "web", &[&server]);
        client.talk().ask_tcp(service.at(Family::V4, 80), "x").unwrap();

        on_all_agents(&lab, Agent::terminate);
        for node in lab.nodes() {
            node.shunt_text(&["cleanup"]).unwrap();
            assert_eq!(node.pins(), BTreeMap::new(), "{}", node.name());
        }

        assert!(
            client.talk().ask_tcp(service.at(Family::V4, 80), "x").is_err(),
            "the VIP still works"
        );
        assert_eq!(settings(&lab), before);
        assert_eq!(
            client
                .talk()
                .ask_tcp(server.at(Family::V4, 8080), "x")
                .unwrap()
                .pod,
            "server"
        );
    }
}

fn on_all_agents(lab: &Lab, work: impl Fn(&mut Agent) -> lab::Result<()>) {
    for node in lab.nodes() {
        lab.agent(node.number().into(), &work).unwrap();
    }
}

/// All of a node's settings that an agent may have a reason to touch.
fn settings(lab: &Lab) -> BTreeMap<String, String> {
    let devices = |node: &Node| {
        node.netns()
            .configure(async |network| network.devices().await)
            .unwrap()
    };
    let mut settings = BTreeMap::new();
    for node in lab.nodes() {
        let of_devices = devices(node)
            .into_iter()
            .chain(["all".to_owned(), "default".to_owned()]);
        for device in of_devices {
            for name in [
                "send_redirects",
                "rp_filter",
                "accept_local",
                "route_localnet",
                "forwarding",
            ] {
                let key = format!("ipv4/conf/{device}/{name}");
                let value = node.netns().read_sysctl(&key).unwrap();
                settings.insert(format!("{} {key}", node.name()), value);
            }
            if !matches!(device.as_str(), "all" | "default") {
                let key = format!("{} {device} programs", node.name());
                settings.insert(key, programs_on(node, &device).to_string());
            }
        }
        let ports = node.netns().read_sysctl("ipv4/ip_local_reserved_ports").unwrap();
        settings.insert(format!("{} reserved ports", node.name()), ports);
    }
    settings
}

/// How many tc programs a device has, in both directions.
fn programs_on(node: &Node, device: &str) -> usize {
    let count = |hook| SchedClassifier::query_tcx(device, hook).unwrap().1.len();
    node.netns()
        .run(|| count(TcAttachType::Ingress) + count(TcAttachType::Egress))
        .unwrap()
}
