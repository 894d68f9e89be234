// SPDX-License-Identifier: MIT OR Apache-2.0
//! `shunt status` on a node.

use lab::agent::{Agent, AgentOptions};
use lab::{Lab, Wiring};
use serde_json::{Value, json};

#[test]
#[ignore = "needs root"]
fn settings_in_force_can_be_read_from_the_kernel_with_or_without_an_agent() {
    let lab = Lab::new(Wiring::Ptp).unwrap();
    let flags = AgentOptions::saying(&[
        "--take-over",
        "--masquerade-all",
        "--external-cluster-ip=refuse",
        "--socket-lb=pods",
        "--detect-local=cluster-cidr",
        "--cluster-cidr=10.244.0.0/16",
        "--service-cidr=10.96.0.0/16,fd00:10:96::/112",
        "--nodeport-addresses=127.0.0.0/8,::/0",
    ]);
    lab.start_agents_with(&flags).unwrap();
    let node = lab.node(1);
    let settings = || -> Value {
        let text = node.shunt_text(&["status", "-o", "json"]).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["settings"].take()
    };
    let shown = settings();
    for (name, value) in [
        ("take_over", json!(true)),
        ("masquerade_all", json!(true)),
        ("external_cluster_ip", json!("refuse")),
        ("socket_lb", json!("pods")),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    let (v4, v6) = (&shown["ipv4"], &shown["ipv6"]);
    assert_eq!(v4["detect_local"], "10.244.0.0/16");
    assert_eq!(v6["detect_local"], "none", "no range of that family was given");
    assert_eq!(v4["service_cidrs"], json!(["10.96.0.0/16"]));
    assert_eq!(v6["service_cidrs"], json!(["fd00:10:96::/112"]));
    assert_eq!(v4["nodeport_addresses"], json!([]), "never on loopback");
    let serving = v6["nodeport_addresses"].as_array().unwrap();
    assert!(serving.contains(&v6["node_address"]), "{v6}");
    let cgroup = shown["cgroup_root"].as_str().unwrap();
    assert!(std::path::Path::new(cgroup).is_dir(), "{cgroup}");

    let text = node.shunt_text(&["status"]).unwrap();
    assert!(text.contains(&format!("pods, below {cgroup}")), "{text}");

    lab.agent(1, Agent::terminate).unwrap();
    assert_eq!(settings(), shown, "while no agent runs");
}
