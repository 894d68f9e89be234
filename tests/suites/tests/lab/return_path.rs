// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replies of pods that have another way out than the one their client came in by.

use lab::agent::AgentOptions;
use lab::netlink::{AddressFlags, Route};
use lab::service::ServiceSpec;
use lab::{Family, Lab, Wiring, tool, wait};
use rtnetlink::packet_route::route::RouteScope;

use crate::frontends::{NODE_PORT, at};
use crate::{echo_pod, lead};

/// A second device of the pod, straight into the network that the nodes share, as ipvlan, macvlan or SR-IOV give it: the
/// pod answers the outside host by itself.
#[test]
#[ignore = "needs root"]
fn a_pod_with_a_way_of_its_own_is_reached_by_masquerade() {
    let lab = Lab::new(Wiring::Ptp).unwrap();
    lab.start_agents_with(&AgentOptions::saying(&["--masquerade-external"]))
        .unwrap();
    let server = echo_pod(&lab, 1, "server");
    let outside = lab::addresses::outside();
    // What the pod has for the outside host is a way that leads nowhere.
    server
        .netns()
        .configure(async |network| {
            for (family, prefix) in [(Family::V4, 32), (Family::V6, 128)] {
                let to = (outside.get(family), prefix);
                network
                    .add_route(Route::device(to, "lo", RouteScope::Link))
                    .await?;
            }
            Ok(())
        })
        .unwrap();
    let spec = ServiceSpec::new("web").tcp_and_udp(80, 8080).node_port(NODE_PORT);
    let service = lab.service(spec).unwrap();
    lead(&lab, &service, &[server.ready()]);
    for family in Family::ALL {
        let to = at(lab.node(1).ips(), family, NODE_PORT);
        for answer in [
            lab.outside().talk().ask_tcp(to, "x"),
            lab.outside().talk().ask_udp(to, "x"),
        ] {
            let answer = answer.unwrap_or_else(|error| panic!("{family}: {error}"));
            assert_ne!(answer.client.ip(), outside.get(family), "{family}");
        }
    }
}

/// The AWS VPC CNI's rules for pods whose address is another network card's, and the one that Shunt needs beside them.
const AWS: &str = "
table ip aws {
  chain prerouting {
    type filter hook prerouting priority mangle; policy accept;
    iifname eth0 fib daddr type local ct mark set ct mark or 0x80
    iifname veth* meta mark set ct mark and 0x80
  }
}";
const BESIDE_SHUNT: &str = "
table ip shunt {
  chain prerouting {
    type filter hook prerouting priority mangle - 1; policy accept;
    iifname eth0 fib daddr type != local ct mark set ct mark or 0x80
  }
}";

#[test]
#[ignore = "needs root"]
fn replies_of_pods_on_a_second_network_card_leave_by_the_first() {
    const TEST: &str = "replies_of_pods_on_a_second_network_card_leave_by_the_first";
    if !tool::is_there("nft", TEST) || !tool::is_there("ip", TEST) {
        return;
    }
    let lab = Lab::new(Wiring::Ptp).unwrap();
    lab.start_agents().unwrap();
    let node = lab.node(1);
    let server = echo_pod(&lab, 1, "server");
    let pod = server.ip(Family::V4).to_string();
    // The second card leads nowhere: what leaves by it is lost.
    node.netns()
        .configure(async |network| network.add_bridge("eth1", [2, 0, 0, 0, 1, 1]).await)
        .unwrap();
    let commands = [
        "link set eth1 up".to_owned(),
        "addr add 172.19.0.22/16 dev eth1".to_owned(),
        "route add default dev eth1 table 2".to_owned(),
        "rule add fwmark 0x80/0x80 lookup main priority 1024".to_owned(),
        format!("rule add from {pod} lookup 2 priority 1536"),
    ];
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        node.netns().tool("ip", &words, "").unwrap();
    }
    node.netns()
        .sysctl(&[
            ("ipv4/conf/all/rp_filter", "2"),
            ("ipv4/conf/eth0/rp_filter", "2"),
        ])
        .unwrap();
    node.netns().nft(AWS).unwrap();
    for (name, local) in [("cluster", false), ("local", true)] {
        let mut spec = ServiceSpec::new(name).tcp_and_udp(80, 8080).node_port(NODE_PORT);
        if local {
            spec = spec.external_local();
        }
        let service = lab.service(spec).unwrap();
        lead(&lab, &service, &[server.ready()]);
        let to = at(node.ips(), Family::V4, NODE_PORT);
        if !local {
            let alone = lab.outside().talk().impatient().ask_tcp(to, "x");
            assert!(alone.is_err(), "as documented: {alone:?}");
            node.netns().nft(BESIDE_SHUNT).unwrap();
        }
        for answer in [
            lab.outside().talk().ask_tcp(to, "x"),
            lab.outside().talk().ask_udp(to, "x"),
        ] {
            let answer = answer.unwrap_or_else(|error| panic!("policy {name}: {error}"));
            assert_eq!(
                answer.client.ip(),
                lab::addresses::outside().get(Family::V4),
                "policy {name}"
            );
        }
        service.delete().unwrap();
        lab.settle().unwrap();
    }
}

/// kube-proxy's timeouts are in force wherever netfilter tracks connections.
#[test]
#[ignore = "needs root"]
fn conntrack_waits_as_long_as_with_kube_proxy() {
    const CLOSE_WAIT: &str = "netfilter/nf_conntrack_tcp_timeout_close_wait";
    let lab = Lab::new(Wiring::Ptp).unwrap();
    let node = lab.node(1).netns();
    if node.read_sysctl(CLOSE_WAIT).is_err() {
        eprintln!(
            "*** SKIPPED: conntrack_waits_as_long_as_with_kube_proxy: this kernel has no nf_conntrack ***"
        );
        return;
    }
    lab.start_agents().unwrap();
    let is = |seconds: &str| {
        wait::until(&format!("{CLOSE_WAIT} to be {seconds}"), || {
            match node.read_sysctl(CLOSE_WAIT) {
                Ok(found) if found == seconds => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .unwrap();
    };
    is("3600");
    node.sysctl(&[(CLOSE_WAIT, "60")]).unwrap();
    is("3600");
    assert_eq!(
        node.read_sysctl("netfilter/nf_conntrack_tcp_timeout_established")
            .unwrap(),
        "86400"
    );
}

/// kube-proxy in IPVS mode went, its device stayed: every ClusterIP is still an address of the node.
#[test]
#[ignore = "needs root"]
fn what_ipvs_has_left_does_not_keep_services_from_working() {
    let lab = Lab::new(Wiring::Ptp).unwrap();
    let number = 7_777;
    let vip = lab::addresses::vip(number);
    let node = lab.node(1).netns();
    // The kernel of this machine may have no dummy devices: the name says what it is.
    node.configure(async |network| {
        network.add_bridge("kube-ipvs0", [2, 0, 0, 0, 1, 2]).await?;
        for (family, prefix) in [(Family::V4, 32), (Family::V6, 128)] {
            let address = (vip.get(family), prefix);
            network
                .add_address("kube-ipvs0", address, AddressFlags::empty())
                .await?;
        }
        Ok(())
    })
    .unwrap();
    lab.start_agents().unwrap();
    let client = lab.node(1).pod("client").unwrap();
    let server = echo_pod(&lab, 2, "server");
    let spec = ServiceSpec::new("web").number(number).tcp_and_udp(80, 8080);
    let service = lab.service(spec).unwrap();
    lead(&lab, &service, &[server.ready()]);
    for family in Family::ALL {
        let vip = service.at(family, 80);
        assert_eq!(client.talk().ask_tcp(vip, "x").unwrap().pod, "server", "{family}");
        assert_eq!(client.talk().ask_udp(vip, "x").unwrap().pod, "server", "{family}");
    }
    wait::until("the metric to tell", || {
        match lab.agent(1, |agent| agent.metric("shunt_device_own_cluster_ips")) {
            Ok(2.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .unwrap();
    let output = lab.node(1).shunt(&["check"]).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}");
}
