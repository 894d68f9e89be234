// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table `ip kube-proxy` as kube-proxy's nftables mode writes it (Kubernetes 1.33): the same chains, hooks,
//! priorities, maps and order of rules, for ClusterIP and NodePort Services with endpoints.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::{POD_NETWORK, SERVICE_NETWORK, ServicePort, distinct, in_lines, lower};

/// What is there without any Service.
fn base(node: Ipv4Addr) -> String {
    let service = "type ipv4_addr . inet_proto . inet_service : verdict ;";
    let port = "type inet_proto . inet_service : verdict ;";
    let declarations = [
        "table ip kube-proxy",
        "set ip kube-proxy cluster-ips { type ipv4_addr ; }",
        "set ip kube-proxy nodeport-ips { type ipv4_addr ; }",
        &format!("map ip kube-proxy firewall-ips {{ {service} }}"),
        &format!("map ip kube-proxy no-endpoint-services {{ {service} }}"),
        &format!("map ip kube-proxy service-ips {{ {service} }}"),
        &format!("map ip kube-proxy no-endpoint-nodeports {{ {port} }}"),
        &format!("map ip kube-proxy service-nodeports {{ {port} }}"),
        "chain ip kube-proxy cluster-ips-check",
        "chain ip kube-proxy firewall-check",
        "chain ip kube-proxy mark-for-masquerade",
        "chain ip kube-proxy masquerading",
        "chain ip kube-proxy nodeport-endpoints-check",
        "chain ip kube-proxy reject-chain",
        "chain ip kube-proxy services",
        "chain ip kube-proxy service-endpoints-check",
        "chain ip kube-proxy filter-prerouting-pre-dnat { type filter hook prerouting priority -110 ; }",
        "chain ip kube-proxy filter-output-pre-dnat { type filter hook output priority -110 ; }",
        "chain ip kube-proxy filter-input { type filter hook input priority 0 ; }",
        "chain ip kube-proxy filter-forward { type filter hook forward priority 0 ; }",
        "chain ip kube-proxy filter-output { type filter hook output priority 0 ; }",
        "chain ip kube-proxy nat-prerouting { type nat hook prerouting priority -100 ; }",
        "chain ip kube-proxy nat-output { type nat hook output priority -100 ; }",
        "chain ip kube-proxy nat-postrouting { type nat hook postrouting priority 100 ; }",
    ];
    let rules = [
        "cluster-ips-check ip daddr @cluster-ips reject",
        &format!("cluster-ips-check ip daddr {{ {SERVICE_NETWORK} }} drop"),
        "filter-prerouting-pre-dnat ct state new jump firewall-check",
        "filter-output-pre-dnat ct state new jump firewall-check",
        "filter-forward ct state new jump service-endpoints-check",
        "filter-forward ct state new jump cluster-ips-check",
        "filter-input ct state new jump nodeport-endpoints-check",
        "filter-input ct state new jump service-endpoints-check",
        "filter-output ct state new jump service-endpoints-check",
        "filter-output ct state new jump cluster-ips-check",
        "firewall-check ip daddr . meta l4proto . th dport vmap @firewall-ips",
        "mark-for-masquerade mark set mark or 0x4000",
        "masquerading mark and 0x4000 == 0 return",
        "masquerading mark set mark xor 0x4000",
        "masquerading masquerade fully-random",
        "nat-output jump services",
        "nat-prerouting jump services",
        "nat-postrouting jump masquerading",
        "nodeport-endpoints-check ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports",
        "reject-chain reject",
        "service-endpoints-check ip daddr . meta l4proto . th dport vmap @no-endpoint-services",
        "services ip daddr . meta l4proto . th dport vmap @service-ips",
        "services ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports",
    ];
    let declared = declarations.iter().map(|it| format!("add {it}\n"));
    let ruled = rules.iter().map(|it| format!("add rule ip kube-proxy {it}\n"));
    let own = format!("add element ip kube-proxy nodeport-ips {{ {node} }}\n");
    declared.chain(ruled).chain([own]).collect()
}

/// The whole table.
pub(super) fn rules(node: Ipv4Addr, ports: &[ServicePort]) -> Result<String, std::fmt::Error> {
    let mut out = base(node);
    for port in ports {
        add_port(&mut out, port)?;
    }
    in_lines(
        &mut out,
        "add element ip kube-proxy cluster-ips { ",
        distinct(ports).iter().map(Ipv4Addr::to_string),
        " }",
    )?;
    let element = |port: &ServicePort| {
        let (protocol, vip) = (lower(port.protocol), port.vip);
        format!(
            "{} . {protocol} . {} : goto {}",
            vip.ip(),
            vip.port(),
            chain(port)
        )
    };
    in_lines(
        &mut out,
        "add element ip kube-proxy service-ips { ",
        ports.iter().map(element),
        " }",
    )?;
    let node_port = |port: &ServicePort| {
        let (protocol, number) = (lower(port.protocol), port.node_port?);
        Some(format!("{protocol} . {number} : goto external-{}", chain(port)))
    };
    in_lines(
        &mut out,
        "add element ip kube-proxy service-nodeports { ",
        ports.iter().filter_map(node_port),
        " }",
    )?;
    Ok(out)
}

fn add_port(out: &mut String, port: &ServicePort) -> std::fmt::Result {
    let (chain, protocol) = (chain(port), lower(port.protocol));
    let endpoint = |number: usize| format!("endpoint-{number}-{chain}");
    for (number, at) in port.endpoints.iter().enumerate() {
        let name = endpoint(number);
        writeln!(out, "add chain ip kube-proxy {name}")?;
        writeln!(
            out,
            "add rule ip kube-proxy {name} ip saddr {} jump mark-for-masquerade",
            at.ip()
        )?;
        writeln!(
            out,
            "add rule ip kube-proxy {name} meta l4proto {protocol} dnat to {at}"
        )?;
    }
    let verdicts: Vec<_> = (0..port.endpoints.len())
        .map(|number| format!("{number} : goto {}", endpoint(number)))
        .collect();
    writeln!(out, "add chain ip kube-proxy {chain}")?;
    writeln!(
        out,
        "add rule ip kube-proxy {chain} ip daddr {} ip saddr != {POD_NETWORK} jump mark-for-masquerade",
        port.vip.ip()
    )?;
    writeln!(
        out,
        "add rule ip kube-proxy {chain} numgen random mod {} vmap {{ {} }}",
        verdicts.len(),
        verdicts.join(", ")
    )?;
    if port.node_port.is_some() {
        let name = format!("external-{chain}");
        writeln!(out, "add chain ip kube-proxy {name}")?;
        writeln!(out, "add rule ip kube-proxy {name} jump mark-for-masquerade")?;
        writeln!(out, "add rule ip kube-proxy {name} goto {chain}")?;
    }
    Ok(())
}

fn chain(port: &ServicePort) -> String {
    format!("service-{}-{}", port.name, lower(port.protocol))
}
