// SPDX-License-Identifier: MIT OR Apache-2.0
//! Coexistence with other software on the node: a CNI's masquerade, firewalls, policies, flowtables, a cache on the
//! DNS Service's own address. Real rulesets in the nodes' namespaces, real clients.

use lab::netns::Netns;
use lab::tool;
use lab::{Family, Lab, wait};
use rtnetlink::packet_route::address::AddressFlags;

use crate::all_paths::AllPaths;
use crate::{clusters, echo_pod, service};

/// Puts a ruleset on every node, if this machine has the tool.
fn on_all_nodes(lab: &Lab, ruleset: &str) {
    for node in lab.nodes() {
        node.netns().nft(ruleset).unwrap();
    }
}

/// kindnet's masquerade (its `pkg/masq`): all that begins here and leaves for anywhere but a pod or the node.
pub(crate) const KINDNET: &str = "
table inet kindnet-ipmasq {
  set pods4 { type ipv4_addr; flags interval; elements = { 10.244.0.0/16 } }
  set pods6 { type ipv6_addr; flags interval; elements = { fd00:10:244::/48 } }
  chain postrouting {
    type nat hook postrouting priority srcnat - 10; policy accept;
    ct state established,related accept
    fib saddr type local accept
    ip daddr @pods4 accept
    ip6 daddr @pods6 accept
    masquerade
  }
}";

#[test]
#[ignore = "needs root"]
fn kindnets_masquerade_rules_do_not_apply_to_service_traffic() {
    if !tool::is_there("nft", "kindnets_masquerade_rules_do_not_apply_to_service_traffic") {
        return;
    }
    for lab in clusters() {
        on_all_nodes(&lab, KINDNET);
        AllPaths::new(&lab).all_work(&lab);
        pods_reach_the_outside_in_the_nodes_name(&lab);
    }
}

/// The CNI's own work goes on: the outside host answers a pod that it has no route to.
fn pods_reach_the_outside_in_the_nodes_name(lab: &Lab) {
    let pod = lab.node(1).pod("tourist").unwrap();
    for family in Family::ALL {
        let at = (lab::addresses::outside().get(family), 8080).into();
        let server = serve(lab.outside(), at);
        let answer = pod.talk().ask_tcp(at, "hello").unwrap();
        assert_eq!(answer.heard, "hello");
        assert_eq!(
            server.join().unwrap(),
            lab.node(1).ips().get(family),
            "{family}: who the outside host saw"
        );
    }
}

/// One answer from a host that has no programs; whom it saw.
fn serve(host: &Netns, at: std::net::SocketAddr) -> std::thread::JoinHandle<std::net::IpAddr> {
    use std::io::{BufRead, Write};
    let listener = host.run(|| std::net::TcpListener::bind(at)).unwrap().unwrap();
    std::thread::spawn(move || {
        let (mut stream, client) = listener.accept().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(&stream).read_line(&mut line).unwrap();
        let answer = lab::programs::echo::Answer {
            pod: "outside".to_owned(),
            client,
            heard: line.trim_end().to_owned(),
        };
        let mut text = serde_json::to_vec(&answer).unwrap();
        text.push(b'\n');
        stream.write_all(&text).unwrap();
        client.ip()
    })
}

/// flannel's (`pkg/trafficmngr/iptables`), for node `n`.
fn flannel(n: u8) -> [(&'static str, Vec<String>); 2] {
    let rules = |cluster: &str, own: &str, multicast: &str| {
        [
            "-t nat -N FLANNEL-POSTRTG".to_owned(),
            "-t nat -A POSTROUTING -m comment --comment flannel -j FLANNEL-POSTRTG".to_owned(),
            "-t nat -A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -j RETURN".to_owned(),
            format!("-t nat -A FLANNEL-POSTRTG -s {own} -d {cluster} -j RETURN"),
            format!("-t nat -A FLANNEL-POSTRTG -s {cluster} -d {own} -j RETURN"),
            format!("-t nat -A FLANNEL-POSTRTG ! -s {cluster} -d {own} -j RETURN"),
            format!("-t nat -A FLANNEL-POSTRTG -s {cluster} ! -d {multicast} -j MASQUERADE --random-fully"),
            format!("-t nat -A FLANNEL-POSTRTG ! -s {cluster} -d {cluster} -j MASQUERADE --random-fully"),
            "-N FLANNEL-FWD".to_owned(),
            "-A FORWARD -j FLANNEL-FWD".to_owned(),
            format!("-A FLANNEL-FWD -s {cluster} -j ACCEPT"),
            format!("-A FLANNEL-FWD -d {cluster} -j ACCEPT"),
        ]
        .to_vec()
    };
    [
        (
            "iptables",
            rules("10.244.0.0/16", &format!("10.244.{n}.0/24"), "224.0.0.0/4"),
        ),
        (
            "ip6tables",
            rules("fd00:10:244::/48", &format!("fd00:10:244:{n}::/64"), "ff00::/8"),
        ),
    ]
}

#[test]
#[ignore = "needs root"]
fn flannels_masquerade_rules_do_not_apply_to_service_traffic() {
    if !tool::is_there(
        "iptables",
        "flannels_masquerade_rules_do_not_apply_to_service_traffic",
    ) {
        return;
    }
    for lab in clusters() {
        for node in lab.nodes() {
            for (tool, rules) in flannel(node.number()) {
                for rule in rules {
                    let words: Vec<&str> = rule.split_whitespace().collect();
                    node.netns().tool(tool, &words, "").unwrap();
                }
            }
        }
        let paths = AllPaths::new(&lab);
        paths.work_from_pods();
        // An outside client's packet to a pod elsewhere, flannel would masquerade itself, at POSTROUTING and so before Shunt:
        // with the address Shunt would have taken.
        paths.work_from_outside(&lab, lab.node(1).ips());
    }
}

/// A node that forwards nothing, but for what its pods say and hear: and drops what conntrack knows nothing of.
const STRICT_FORWARDING: &str = "
table inet firewall {
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state invalid counter drop
    ct state established,related accept
    ip saddr 10.244.0.0/16 accept
    ip daddr 10.244.0.0/16 accept
    ip6 saddr fd00:10:244::/48 accept
    ip6 daddr fd00:10:244::/48 accept
  }
}";

#[test]
#[ignore = "needs root"]
fn a_strict_firewall_that_drops_invalid_packets_lets_service_traffic_through() {
    if !tool::is_there(
        "nft",
        "a_strict_firewall_that_drops_invalid_packets_lets_service_traffic_through",
    ) {
        return;
    }
    for lab in clusters() {
        on_all_nodes(&lab, STRICT_FORWARDING);
        AllPaths::new(&lab).all_work(&lab);
        for node in lab.nodes() {
            let rules = node
                .netns()
                .tool("nft", &["list", "table", "inet", "firewall"], "")
                .unwrap();
            assert!(
                rules.contains("counter packets 0 bytes 0 drop"),
                "invalid packets: {rules}"
            );
        }
    }
}

/// A policy engine's rule on the pod's node knows pods by their addresses, and Shunt leaves it the addresses it knows.
#[test]
#[ignore = "needs root"]
fn a_network_policy_sees_clients_and_pods_by_their_own_addresses() {
    if !tool::is_there(
        "nft",
        "a_network_policy_sees_clients_and_pods_by_their_own_addresses",
    ) {
        return;
    }
    for lab in clusters() {
        let (friend, stranger) = (
            lab.node(1).pod("friend").unwrap(),
            lab.node(1).pod("stranger").unwrap(),
        );
        let server = echo_pod(&lab, 2, "server");
        let service = service(&lab, "guarded", &[&server]);
        let (server4, server6) = (server.ip(Family::V4), server.ip(Family::V6));
        let (friend4, friend6) = (friend.ip(Family::V4), friend.ip(Family::V6));
        let policy = format!(
            "table inet guard {{
              chain forward {{
                type filter hook forward priority filter; policy accept;
                ct state established,related accept
                ip daddr {server4} ip saddr != {friend4} drop
                ip6 daddr {server6} ip6 saddr != {friend6} drop
              }}
            }}"
        );
        lab.node(2).netns().nft(&policy).unwrap();
        for family in Family::ALL {
            let vip = service.at(family, 80);
            assert_eq!(friend.talk().ask_tcp(vip, "x").unwrap().pod, "server", "{family}");
            assert_eq!(friend.talk().ask_udp(vip, "x").unwrap().pod, "server", "{family}");
            assert!(stranger.talk().impatient().ask_tcp(vip, "x").is_err(), "{family}");
            assert!(stranger.talk().impatient().ask_udp(vip, "x").is_err(), "{family}");
        }
    }
}

/// As the node-local DNS cache does it. (That uses a dummy device; any of the node's own does.)
#[test]
#[ignore = "needs root"]
fn a_vip_that_the_node_has_itself_is_answered_by_the_node() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let server = echo_pod(&lab, 2, "server");
        let service = service(&lab, "dns", &[&server]);
        let node = lab.node(1);
        for family in Family::ALL {
            let vip = service.at(family, 80);
            assert_eq!(
                client.talk().ask_udp(vip, "before").unwrap().pod,
                "server",
                "{family}"
            );
            let alone = if family == Family::V4 { 32 } else { 128 };
            node.netns()
                .configure(async |network| {
                    network
                        .add_address("lo", (vip.ip(), alone), AddressFlags::empty())
                        .await
                })
                .unwrap();
            let _cache = node.serve_echo_at(vip).unwrap();
            wait::until("the node to answer for the VIP", || {
                let answers = [
                    client.talk().impatient().ask_tcp(vip, "x"),
                    client.talk().impatient().ask_udp(vip, "x"),
                ];
                for answer in answers {
                    let answer = answer.map_err(|error| error.to_string())?;
                    if answer.pod != node.name() {
                        return Err(format!("{} answers", answer.pod));
                    }
                }
                Ok(())
            })
            .unwrap();
        }
    }
}

/// A flowtable of the kernel's takes established flows past routing and netfilter, behind Shunt's ingress and before its
/// egress.
#[test]
#[ignore = "needs root"]
fn a_flowtable_carries_translated_flows() {
    const TEST: &str = "a_flowtable_carries_translated_flows";
    if !tool::is_there("nft", TEST) {
        return;
    }
    for lab in clusters() {
        let paths = AllPaths::new(&lab);
        let node = lab.node(1);
        let pods = node.pods();
        let devices: Vec<&str> = std::iter::once("eth0")
            .chain(pods.iter().map(lab::Pod::host_device))
            .collect();
        let flowtable = format!(
            "table inet fast {{
              flowtable f {{ hook ingress priority filter; devices = {{ {} }}; }}
              chain forward {{
                type filter hook forward priority filter; policy accept;
                meta l4proto {{ tcp, udp }} flow add @f
              }}
            }}",
            devices.join(", ")
        );
        if let Err(error) = node.netns().nft(&flowtable) {
            eprintln!("*** SKIPPED: {TEST}: this kernel makes no flowtable: {error} ***");
            return;
        }
        for _ in 0..3 {
            paths.all_work(&lab);
        }
    }
}
