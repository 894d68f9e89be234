// SPDX-License-Identifier: MIT OR Apache-2.0
//! The chains that kube-proxy's iptables mode writes, for ClusterIP and NodePort Services with endpoints. Comments are left out, as
//! kube-proxy itself leaves them out in clusters of more than 1,000 endpoints.

use std::fmt::Write as _;

use super::{POD_NETWORK, ServicePort, lower};

const FILTER: &str = "\
*filter
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-A INPUT -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-A FORWARD -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES
-A OUTPUT -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -j KUBE-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
";

const NAT: &str = "\
*nat
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
";

const NAT_RULES: &str = "\
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
";

/// Both tables, as `iptables-restore` takes them.
pub(super) fn rules(ports: &[ServicePort]) -> Result<String, std::fmt::Error> {
    let (mut chains, mut services, mut rest) = (String::new(), String::new(), String::new());
    for (index, port) in ports.iter().enumerate() {
        let (service, protocol, vip) = (format!("KUBE-SVC-{index:016X}"), lower(port.protocol), port.vip);
        writeln!(chains, ":{service} - [0:0]")?;
        writeln!(
            services,
            "-A KUBE-SERVICES -d {}/32 -p {protocol} -m {protocol} --dport {} -j {service}",
            vip.ip(),
            vip.port()
        )?;
        writeln!(
            rest,
            "-A {service} ! -s {POD_NETWORK} -d {}/32 -p {protocol} -m {protocol} --dport {} -j KUBE-MARK-MASQ",
            vip.ip(),
            vip.port()
        )?;
        if let Some(number) = port.node_port {
            let external = format!("KUBE-EXT-{index:016X}");
            writeln!(chains, ":{external} - [0:0]")?;
            writeln!(
                rest,
                "-A KUBE-NODEPORTS -p {protocol} -m {protocol} --dport {number} -j {external}"
            )?;
            writeln!(rest, "-A {external} -j KUBE-MARK-MASQ")?;
            writeln!(rest, "-A {external} -j {service}")?;
        }
        for (number, at) in port.endpoints.iter().enumerate() {
            let endpoint = format!("KUBE-SEP-{index:08X}{number:08X}");
            writeln!(chains, ":{endpoint} - [0:0]")?;
            let left = port.endpoints.len() - number;
            let chance = if left > 1 {
                format!(
                    " -m statistic --mode random --probability {:.10}",
                    1.0 / left as f64
                )
            } else {
                String::new()
            };
            writeln!(rest, "-A {service}{chance} -j {endpoint}")?;
            writeln!(rest, "-A {endpoint} -s {}/32 -j KUBE-MARK-MASQ", at.ip())?;
            writeln!(
                rest,
                "-A {endpoint} -p {protocol} -m {protocol} -j DNAT --to-destination {at}"
            )?;
        }
    }
    writeln!(
        services,
        "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
    )?;
    Ok(format!(
        "{FILTER}{NAT}{chains}{NAT_RULES}{services}{rest}COMMIT\n"
    ))
}
