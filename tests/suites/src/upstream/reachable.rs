// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be reached at all: `TestNoEndpointsReject`, `TestClusterIPGeneral`, `TestLoadBalancer`, `TestNodePorts`.

use dataplane::model::Protocol;
use serde_json::json;

use super::Masquerade::{No, Yes};
use super::cluster::{Cluster, elsewhere, here};
use super::{BLOCKED, OUTSIDE, POD, Table, node, outside, pod, refused, row};

pub(super) fn tables() -> Vec<Table> {
    let node_ports = NODE_PORTS.iter().map(node_ports);
    [no_endpoints(), cluster_ip_general(), load_balancer()]
        .into_iter()
        .chain(node_ports)
        .collect()
}

fn no_endpoints() -> Table {
    let spec = json!({
        "type": "LoadBalancer",
        "clusterIP": "172.30.0.41",
        "externalIPs": ["192.168.99.11"],
        "ports": [{ "name": "p80", "port": 80, "nodePort": 3001 }],
    });
    let rejected = |name, from, to| refused(name, from, to, "REJECT");
    Table {
        name: "TestNoEndpointsReject".to_owned(),
        cluster: Cluster::new().service("svc1", spec, &["1.2.3.4"]),
        rows: vec![
            rejected("pod to cluster IP with no endpoints", pod(POD), "172.30.0.41:80"),
            rejected(
                "external to external IP with no endpoints",
                outside(OUTSIDE),
                "192.168.99.11:80",
            ),
            rejected("pod to NodePort with no endpoints", pod(POD), "192.168.0.2:3001"),
            rejected(
                "external to NodePort with no endpoints",
                outside(OUTSIDE),
                "192.168.0.2:3001",
            ),
            rejected("pod to LoadBalancer IP with no endpoints", pod(POD), "1.2.3.4:80"),
            rejected(
                "external to LoadBalancer IP with no endpoints",
                outside(OUTSIDE),
                "1.2.3.4:80",
            ),
        ],
    }
}

fn cluster_ip_general() -> Table {
    let svc1 = json!({ "clusterIP": "172.30.0.41", "ports": [{ "name": "http", "port": 80 }] });
    let svc2 = json!({
        "clusterIP": "172.30.0.42",
        "ports": [
            { "name": "http", "port": 80 },
            { "name": "https", "port": 443, "targetPort": 8443 },
            { "name": "dns-udp", "port": 53, "protocol": "UDP" },
            { "name": "dns-tcp", "port": 53, "targetPort": 5353 },
            { "name": "dns-sctp", "port": 53, "protocol": "SCTP" },
        ],
    });
    let slice2 = [
        ("http", "TCP", 80),
        ("https", "TCP", 8443),
        ("dns-udp", "UDP", 53),
        ("dns-tcp", "TCP", 5353),
        ("dns-sctp", "SCTP", 53),
    ];
    let client = || pod("10.180.0.2");
    Table {
        name: "TestClusterIPGeneral".to_owned(),
        cluster: Cluster::new()
            .service("svc1", svc1, &[])
            .service("svc2", svc2, &[])
            .slice("svc1", &[("http", "TCP", 80)], &[here("10.180.0.1")])
            .slice("svc2", &slice2, &[here("10.180.0.1"), elsewhere("10.180.2.1")]),
        rows: vec![
            row(
                "simple clusterIP",
                client(),
                "172.30.0.41:80",
                "10.180.0.1:80",
                No,
            ),
            row(
                "hairpin to cluster IP",
                pod("10.180.0.1"),
                "172.30.0.41:80",
                "10.180.0.1:80",
                Yes,
            ),
            row(
                "clusterIP with multiple endpoints",
                client(),
                "172.30.0.42:80",
                "10.180.0.1:80, 10.180.2.1:80",
                No,
            ),
            row(
                "clusterIP with TargetPort",
                client(),
                "172.30.0.42:443",
                "10.180.0.1:8443, 10.180.2.1:8443",
                No,
            ),
            row(
                "clusterIP with TCP, UDP, and SCTP on same port (TCP)",
                client(),
                "172.30.0.42:53",
                "10.180.0.1:5353, 10.180.2.1:5353",
                No,
            ),
            row(
                "clusterIP with TCP, UDP, and SCTP on same port (UDP)",
                client(),
                "172.30.0.42:53",
                "10.180.0.1:53, 10.180.2.1:53",
                No,
            )
            .over(Protocol::Udp),
            row(
                "clusterIP with TCP, UDP, and SCTP on same port (SCTP)",
                client(),
                "172.30.0.42:53",
                "10.180.0.1:53, 10.180.2.1:53",
                No,
            )
            .over(Protocol::Sctp),
            refused(
                "TCP-only port does not match UDP traffic",
                client(),
                "172.30.0.42:80",
                "REJECT",
            )
            .over(Protocol::Udp),
            refused(
                "svc1 does not accept svc2's ports",
                client(),
                "172.30.0.41:443",
                "REJECT",
            ),
            refused(
                "packet to unallocated cluster ip",
                client(),
                "172.30.0.50:80",
                "DROP",
            ),
        ],
    }
}

fn load_balancer() -> Table {
    let spec = json!({
        "type": "LoadBalancer",
        "clusterIP": "172.30.0.41",
        "ports": [{ "name": "p80", "port": 80, "nodePort": 3001 }],
        // Excess white space does not matter.
        "loadBalancerSourceRanges": ["192.168.0.0/24", " 203.0.113.0/25"],
    });
    let endpoint = "10.180.0.1:80";
    Table {
        name: "TestLoadBalancer".to_owned(),
        cluster: Cluster::new()
            .service("svc1", spec, &["1.2.3.4", "5.6.7.8"])
            .slice("svc1", &[("p80", "TCP", 80)], &[elsewhere("10.180.0.1")]),
        rows: vec![
            row("pod to cluster IP", pod(POD), "172.30.0.41:80", endpoint, No),
            row(
                "external to nodePort",
                outside(OUTSIDE),
                "192.168.0.2:3001",
                endpoint,
                Yes,
            ),
            row(
                "nodePort bypasses LoadBalancerSourceRanges",
                outside(BLOCKED),
                "192.168.0.2:3001",
                endpoint,
                Yes,
            ),
            row(
                "accepted external to LB1",
                outside(OUTSIDE),
                "1.2.3.4:80",
                endpoint,
                Yes,
            ),
            row(
                "accepted external to LB2",
                outside(OUTSIDE),
                "5.6.7.8:80",
                endpoint,
                Yes,
            ),
            refused("blocked external to LB1", outside(BLOCKED), "1.2.3.4:80", "DROP"),
            refused("blocked external to LB2", outside(BLOCKED), "5.6.7.8:80", "DROP"),
            refused(
                "pod to LB1 (blocked by LoadBalancerSourceRanges)",
                pod(POD),
                "1.2.3.4:80",
                "DROP",
            ),
            refused(
                "pod to LB2 (blocked by LoadBalancerSourceRanges)",
                pod(POD),
                "5.6.7.8:80",
                "DROP",
            ),
            row(
                "node to LB1 (allowed by LoadBalancerSourceRanges)",
                node(),
                "1.2.3.4:80",
                endpoint,
                Yes,
            ),
            row(
                "node to LB2 (allowed by LoadBalancerSourceRanges)",
                node(),
                "5.6.7.8:80",
                endpoint,
                Yes,
            ),
            row(
                "same node to LB1, SNATted to LB1 (implicitly allowed)",
                outside("1.2.3.4"),
                "1.2.3.4:80",
                endpoint,
                Yes,
            ),
            row(
                "same node to LB2, SNATted to LB2 (implicitly allowed)",
                outside("5.6.7.8"),
                "5.6.7.8:80",
                endpoint,
                Yes,
            ),
        ],
    }
}

struct NodePorts {
    name: &'static str,
    v6: bool,
    addresses: &'static [&'static str],
    at_other_address: bool,
}

const NODE_PORTS: [NodePorts; 4] = [
    NodePorts {
        name: "ipv4",
        v6: false,
        addresses: &[],
        at_other_address: false,
    },
    NodePorts {
        name: "ipv4, multiple nodeport-addresses",
        v6: false,
        addresses: &["192.168.0.0/24", "192.168.1.0/24", "2001:db8::/64"],
        at_other_address: true,
    },
    NodePorts {
        name: "ipv6",
        v6: true,
        addresses: &[],
        at_other_address: false,
    },
    NodePorts {
        name: "ipv6, multiple nodeport-addresses",
        v6: true,
        addresses: &[
            "192.168.0.0/24",
            "192.168.1.0/24",
            "2001:db8::/64",
            "2001:db8:1::2/128",
        ],
        at_other_address: true,
    },
];

fn node_ports(of: &NodePorts) -> Table {
    let (vip, far, near) = if of.v6 {
        ("fd00:172:30::41", "fd00:10:180::1", "fd00:10:180::2:1")
    } else {
        ("172.30.0.41", "10.180.0.1", "10.180.2.1")
    };
    let (client, stranger, own, other) = if of.v6 {
        ("fd00:10::2", "2600:5200::1", "[2001:db8::1]", "[2001:db8:1::2]")
    } else {
        (POD, OUTSIDE, "192.168.0.2", "192.168.1.2")
    };
    let bracket = |addr: &str| {
        if of.v6 {
            format!("[{addr}]")
        } else {
            addr.to_owned()
        }
    };
    let spec = json!({
        "type": "NodePort",
        "clusterIP": vip,
        "ports": [{ "name": "p80", "port": 80, "nodePort": 3001 }],
    });
    let both = format!("{}:80, {}:80", bracket(far), bracket(near));
    let last = if of.at_other_address {
        row(
            "external to nodePort on secondary IP",
            outside(stranger),
            &format!("{other}:3001"),
            &both,
            Yes,
        )
    } else {
        refused(
            "secondary nodeIP ignores NodePorts",
            outside(stranger),
            &format!("{other}:3001"),
            "",
        )
    };
    Table {
        name: format!("TestNodePorts, {}", of.name),
        cluster: Cluster::new()
            .node_ports_at(of.addresses)
            .service("svc1", spec, &[])
            .slice("svc1", &[("p80", "TCP", 80)], &[elsewhere(far), here(near)]),
        rows: vec![
            row(
                "pod to cluster IP",
                pod(client),
                &format!("{}:80", bracket(vip)),
                &both,
                No,
            ),
            row(
                "external to nodePort",
                outside(stranger),
                &format!("{own}:3001"),
                &both,
                Yes,
            ),
            row("node to nodePort", node(), &format!("{own}:3001"), &both, Yes),
            last,
        ],
    }
}
