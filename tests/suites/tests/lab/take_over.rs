// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shunt takes kube-proxy's place on a node that serves.

use lab::agent::AgentOptions;
use lab::client::Tcp;
use lab::service::ServiceSpec;
use lab::{Family, Lab, Pod, Service, Wiring, tool, wait};

use crate::coexistence::KINDNET;
use crate::echo_pod;

/// What kube-proxy's nftables mode has for a Service with one endpoint, in short: DNAT at prerouting by a map of
/// Services.
fn kube_proxy(services: &[(&Service, &Pod)]) -> String {
    let table = |family: Family| {
        let (name, addr, to) = match family {
            Family::V4 => ("ip", "ipv4_addr", "ip"),
            Family::V6 => ("ip6", "ipv6_addr", "ip6"),
        };
        let chains: String = services
            .iter()
            .map(|(service, pod)| {
                let chain = service.name();
                let at = pod.at(family, 8080);
                format!(
                    "  chain endpoint-{chain} {{ meta l4proto {{ tcp, udp }} dnat to {at}; }}
                       chain service-{chain} {{ numgen random mod 1 vmap {{ 0 : goto endpoint-{chain} }}; }}\n"
                )
            })
            .collect();
        let elements: Vec<String> = services
            .iter()
            .flat_map(|(service, _)| {
                let (vip, chain) = (service.vip().get(family), service.name());
                ["tcp", "udp"].map(|protocol| format!("{vip} . {protocol} . 80 : goto service-{chain}"))
            })
            .collect();
        format!(
            "table {name} kube-proxy {{
            {chains}
              map service-ips {{
                type {addr} . inet_proto . inet_service : verdict;
                elements = {{ {} }};
              }}
              chain services {{ {to} daddr . meta l4proto . th dport vmap @service-ips; }}
              chain nat-prerouting {{ type nat hook prerouting priority dstnat; policy accept; jump services; }}
            }}\n",
            elements.join(", ")
        )
    };
    Family::ALL.map(table).concat()
}

#[test]
#[ignore = "needs root"]
fn connections_made_by_kube_proxy_outlive_it() {
    if !tool::is_there("nft", "connections_made_by_kube_proxy_outlive_it") {
        return;
    }
    for wiring in Wiring::ALL {
        let lab = Lab::new(wiring).unwrap();
        let client = lab.node(1).pod("client").unwrap();
        let servers = [echo_pod(&lab, 1, "near"), echo_pod(&lab, 2, "far")];
        let services = servers.each_ref().map(|server| {
            let service = lab
                .service(ServiceSpec::new(server.name()).tcp_and_udp(80, 8080))
                .unwrap();
            service.lead_to(&[server.ready()]).unwrap();
            service
        });
        let pairs: Vec<_> = services.iter().zip(&servers).collect();
        // The CNI's rules stay. Without any NAT rule on the node, the kernel would stop to translate old connections,
        // too, with kube-proxy's last rule.
        lab.node(1).netns().nft(KINDNET).unwrap();
        lab.node(1).netns().nft(&kube_proxy(&pairs)).unwrap();

        let mut old = conversations(&client, &services);
        ask_all(&mut old, "by kube-proxy");

        let options = AgentOptions::saying(&["--take-over"]);
        lab.start_agents_on(lab.nodes(), &options).unwrap();
        lab.settle().unwrap();
        ask_all(&mut old, "beside Shunt");
        let mut new = conversations(&client, &services);
        ask_all(&mut new, "by Shunt");

        for table in ["ip", "ip6"] {
            lab.node(1)
                .netns()
                .tool("nft", &["delete", "table", table, "kube-proxy"], "")
                .unwrap();
        }
        for question in ["without kube-proxy", "and again"] {
            ask_all(&mut old, question);
            ask_all(&mut new, question);
        }
        let much = "x".repeat(100_000);
        ask_all(&mut old, &much);
        for (service, server) in pairs {
            for family in Family::ALL {
                let answer = client.talk().ask_udp(service.at(family, 80), "x").unwrap();
                assert_eq!(answer.pod, server.name());
            }
        }
        let taken = wait::until("the count of packets left to others", || {
            let status = lab
                .node(1)
                .shunt_text(&["status"])
                .map_err(|error| error.to_string())?;
            status
                .lines()
                .find(|line| line.contains("taken_over"))
                .map(str::to_owned)
                .ok_or(status)
        });
        println!("{}", taken.unwrap());
    }
}

fn conversations(client: &Pod, services: &[Service]) -> Vec<Tcp> {
    services
        .iter()
        .flat_map(|service| Family::ALL.map(|family| client.talk().tcp(service.at(family, 80)).unwrap()))
        .collect()
}

fn ask_all(conversations: &mut [Tcp], question: &str) {
    for conversation in conversations {
        assert_eq!(conversation.ask(question).unwrap().heard, question);
    }
}
