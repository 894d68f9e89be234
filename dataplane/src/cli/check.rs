// SPDX-License-Identifier: MIT OR Apache-2.0
//! `shunt check`: whether this machine has all that Shunt needs.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use aya::util::KernelVersion;

use super::args::{CgroupArgs, RootArgs};
use super::output::{line, table};
use crate::conntrack::Timeout;
use crate::kernel::{self, Pins, chooses_errors, is_bpf, packets_may_preempt};
use crate::sockets::{CgroupRoot, Diag};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    root: RootArgs,
    #[command(flatten)]
    cgroup: CgroupArgs,
}

enum Finding {
    Good(String),
    /// It works, but differently or not in full.
    Note(String),
    /// It does not work: the reason, and what to do.
    Bad(String),
}

/// Prints a line per requirement; fails if a necessary one is missing.
pub(super) fn run(args: &Args) -> ExitCode {
    let findings = [
        ("kernel", kernel()),
        ("BTF", btf()),
        ("attachment", attachment()),
        ("BPF file system", bpffs(&args.root.bpf_root)),
        ("cgroup", cgroup(args.cgroup.cgroup_root.as_deref())),
        ("sockets", sockets()),
        ("capabilities", capabilities()),
        ("forwarding", forwarding()),
        ("conntrack", conntrack()),
        ("own ClusterIPs", own_cluster_ips()),
        ("other programs", other_programs(&Pins::new(&args.root.bpf_root))),
    ];
    let mut good = true;
    let rows: Vec<_> = findings
        .into_iter()
        .map(|(what, finding)| {
            let (mark, text) = match finding {
                Finding::Good(text) => ("ok", text),
                Finding::Note(text) => ("note", text),
                Finding::Bad(text) => {
                    good = false;
                    ("MISSING", text)
                }
            };
            vec![what.to_owned(), mark.to_owned(), text]
        })
        .collect();
    line(
        std::io::stdout(),
        &table(&["REQUIREMENT", "RESULT", "FOUND"], &rows),
    );
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn version() -> Option<KernelVersion> {
    KernelVersion::current().ok()
}

fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn kernel() -> Finding {
    match version() {
        Some(version) if version < KernelVersion::new(5, 15, 0) => {
            Finding::Bad(format!("{}: Shunt needs 5.15 or later", release()))
        }
        Some(_) if packets_may_preempt() => Finding::Bad(format!(
            "{}, PREEMPT_RT: packets may preempt and corrupt each other, unless it was built with \
             CONFIG_PREEMPT_RT_NEEDS_BH_LOCK=y (then: --trust-rt-kernel)",
            release()
        )),
        Some(_) => Finding::Good(release()),
        None => Finding::Bad("unknown: is this Linux?".to_owned()),
    }
}

fn btf() -> Finding {
    if Path::new("/sys/kernel/btf/vmlinux").exists() {
        Finding::Good("/sys/kernel/btf/vmlinux".to_owned())
    } else {
        Finding::Note("the kernel has no BTF (CONFIG_DEBUG_INFO_BTF); the programs do not need it".to_owned())
    }
}

fn attachment() -> Finding {
    match version() {
        Some(version) if version >= KernelVersion::new(6, 6, 0) => Finding::Good("TCX links".to_owned()),
        _ => Finding::Note("clsact filters: this kernel has no TCX (6.6)".to_owned()),
    }
}

fn bpffs(root: &Path) -> Finding {
    if is_bpf(root) {
        Finding::Good(format!("{} is on one", root.display()))
    } else {
        Finding::Note(format!(
            "{} is not on one: the agent mounts one there, which needs SYS_ADMIN",
            root.display()
        ))
    }
}

fn cgroup(given: Option<&Path>) -> Finding {
    match CgroupRoot::find(given) {
        Ok(root) if root.is_doubtful() => Finding::Note(format!(
            "{root}: right if the container is a node (kind); otherwise mount the node's /sys/fs/cgroup into it, or \
             only its own processes reach Services"
        )),
        Ok(root) => Finding::Good(root.to_string()),
        Err(error) => Finding::Bad(format!("{error}; or start the agent with --socket-lb=off")),
    }
}

/// How the node's own processes notice that a Service cannot be reached, or that its backend is gone.
fn sockets() -> Finding {
    let mut lacking = Vec::new();
    if !chooses_errors() {
        lacking.push(
            "connections refused fail with \"operation not permitted\": this kernel lets programs choose no errors \
             (6.1)"
                .to_owned(),
        );
    }
    if let Err(error) = Diag::open().and_then(|mut diag| diag.can_destroy()) {
        lacking.push(format!(
            "{error}: connected UDP sockets of removed backends are left to their owners' time-outs"
        ));
    }
    if lacking.is_empty() {
        Finding::Good(
            "refused calls get exact errors, UDP sockets of removed backends are destroyed".to_owned(),
        )
    } else {
        Finding::Note(lacking.join("; "))
    }
}

fn capabilities() -> Finding {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(effective) = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()) else {
        return Finding::Bad("cannot read them from /proc/self/status".to_owned());
    };
    // Numbers of linux/capability.h. SYS_ADMIN includes BPF and PERFMON.
    let has = |bit: u32| effective & (1 << bit) != 0;
    let (net_admin, sys_admin, perfmon, bpf) = (has(12), has(21), has(38), has(39));
    let missing: Vec<&str> = [
        (net_admin, "NET_ADMIN (attach programs, follow devices)"),
        (bpf || sys_admin, "BPF (load programs, make maps)"),
        (perfmon || sys_admin, "PERFMON (pointer arithmetic in programs)"),
    ]
    .iter()
    .filter_map(|(has, name)| (!has).then_some(*name))
    .collect();
    if missing.is_empty() {
        Finding::Good("NET_ADMIN, BPF, PERFMON".to_owned())
    } else {
        Finding::Bad(format!(
            "{}: run as root or add them to the container",
            missing.join(", ")
        ))
    }
}

fn forwarding() -> Finding {
    let on = |path: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == "1");
    let (v4, v6) = (
        on("/proc/sys/net/ipv4/ip_forward"),
        on("/proc/sys/net/ipv6/conf/all/forwarding"),
    );
    match (v4, v6) {
        (true, true) => Finding::Good("IPv4 and IPv6".to_owned()),
        (true, false) => {
            Finding::Note("IPv4 only: set net.ipv6.conf.all.forwarding=1 for IPv6 pods".to_owned())
        }
        (false, true) => Finding::Note("IPv6 only: set net.ipv4.ip_forward=1 for IPv4 pods".to_owned()),
        (false, false) => {
            Finding::Note("off: the CNI must turn it on, or set net.ipv4.ip_forward=1".to_owned())
        }
    }
}

/// How long netfilter waits, where it watches connections: kube-proxy sets these.
fn conntrack() -> Finding {
    let seconds = |timeout: Timeout| timeout.read();
    match (seconds(Timeout::CloseWait), seconds(Timeout::Established)) {
        (None, _) | (_, None) => Finding::Good("not loaded".to_owned()),
        (Some(close_wait), Some(established)) if close_wait >= 3_600 => {
            Finding::Good(format!("close_wait {close_wait} s, established {established} s"))
        }
        (Some(close_wait), Some(established)) => Finding::Note(format!(
            "close_wait {close_wait} s, established {established} s: the agent sets 3600 and 86400, as kube-proxy does \
             (--conntrack-tcp-timeout-close-wait, --conntrack-tcp-timeout-established)"
        )),
    }
}

/// kube-proxy's IPVS mode makes every ClusterIP an address of the node, and its device outlives it.
fn own_cluster_ips() -> Finding {
    match Path::new("/sys/class/net/kube-ipvs0").exists() {
        true => Finding::Note(
            "kube-ipvs0 is left of kube-proxy's IPVS mode: its addresses do not count as the node's; remove it \
             (`kube-proxy --cleanup`, or `ip link delete kube-ipvs0`)"
                .to_owned(),
        ),
        false => Finding::Good("no kube-ipvs0".to_owned()),
    }
}

/// Programs of others on this machine's devices: with which of them Shunt cannot work, and where they stand.
fn other_programs(pins: &Pins) -> Finding {
    let devices = nix::net::if_::if_nameindex();
    let devices = devices.iter().flat_map(|all| all.iter());
    let found: Vec<(String, kernel::OtherProgram)> = devices
        .flat_map(|device| {
            let name = device.name().to_string_lossy().into_owned();
            let others = kernel::other_programs(pins, device.index());
            others.into_iter().map(move |other| (name.clone(), other))
        })
        .collect();
    judge_others(&found)
}

fn judge_others(found: &[(String, kernel::OtherProgram)]) -> Finding {
    if found.is_empty() {
        return Finding::Good("no other program on any device".to_owned());
    }
    if found.iter().any(|(_, other)| other.name.starts_with("cil_")) {
        return Finding::Note(
            "Cilium's: its BPF host routing hands replies to pods past Shunt (unsupported): set bpf.hostLegacyRouting=true, \
             and leave kubeProxyReplacement off"
                .to_owned(),
        );
    }
    let named: Vec<_> = found
        .iter()
        .map(|(device, other)| {
            format!(
                "{} at {} of {device} ({})",
                other.name, other.hook, other.attached_by
            )
        })
        .collect();
    Finding::Note(format!(
        "{}: one at egress that ends the chain (TC_ACT_OK) hides replies from Shunt",
        named.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_programs_are_named_and_ciliums_host_routing_is_unsupported() {
        let other = |name: &str| {
            (
                "eth0".to_owned(),
                kernel::OtherProgram {
                    hook: "egress",
                    before: true,
                    attached_by: "tcx".to_owned(),
                    name: name.to_owned(),
                },
            )
        };
        let text = |finding| match finding {
            Finding::Good(text) | Finding::Note(text) | Finding::Bad(text) => text,
        };
        assert!(text(judge_others(&[])).starts_with("no other"));
        assert!(
            text(judge_others(&[other("flow_logger")])).starts_with("flow_logger at egress of eth0 (tcx)")
        );
        assert!(text(judge_others(&[other("cil_from_netdev")])).contains("unsupported"));
    }
}
