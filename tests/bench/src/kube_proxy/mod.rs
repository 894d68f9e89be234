// SPDX-License-Identifier: MIT OR Apache-2.0
//! kube-proxy as a contender: its rules, written by us, or the program itself.

mod iptables;
mod nftables;
mod process;

use std::fmt;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use lab::Node;

pub use process::KubeProxy;

/// Which of the kernel's two rule languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Nftables,
    Iptables,
}

/// One port of a Service, and where it leads.
#[derive(Clone, Debug)]
pub struct ServicePort {
    /// Unique among all, with the protocol.
    pub name: String,
    pub protocol: &'static str,
    pub vip: SocketAddrV4,
    pub endpoints: Vec<SocketAddrV4>,
    /// On the nodes' own addresses, from outside.
    pub node_port: Option<u16>,
}

/// Where pods have their addresses from: the lab's.
const POD_NETWORK: &str = "10.244.0.0/16";
const SERVICE_NETWORK: &str = "10.96.0.0/16";

impl Mode {
    /// Whether this machine can load such rules; if not, why.
    pub fn available(self) -> Result<(), String> {
        let (program, package) = self.program();
        match Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .status()
        {
            Ok(status) if status.success() => Ok(()),
            _ => Err(format!("there is no {program}: install {package}")),
        }
    }

    /// Loads the rules that kube-proxy would write on this node.
    pub fn load(self, node: &Node, ports: &[ServicePort]) -> anyhow::Result<()> {
        let text = match self {
            Self::Nftables => nftables::rules(node.ips().v4, ports)?,
            Self::Iptables => iptables::rules(ports)?,
        };
        self.feed(node, &text)
    }

    fn feed(self, node: &Node, text: &str) -> anyhow::Result<()> {
        let file = std::env::temp_dir().join(format!("shunt-bench-{}.rules", std::process::id()));
        std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        let (program, _) = self.program();
        let output = node.netns().run(|| {
            let mut command = Command::new(program);
            if self == Self::Nftables {
                command.arg("-f");
            }
            command.arg(&file).output()
        })?;
        let output = output.with_context(|| format!("start {program}"))?;
        std::fs::remove_file(&file)?;
        if !output.status.success() {
            bail!(
                "{program} refused the rules: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    fn program(self) -> (&'static str, &'static str) {
        match self {
            Self::Nftables => ("nft", "nftables"),
            Self::Iptables => ("iptables-restore", "iptables"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        })
    }
}

/// Netfilter's connection tracking at work on a node that has no rules of ours: one rule that asks for it.
pub fn track_connections(node: &Node) -> anyhow::Result<()> {
    Mode::Nftables.feed(
        node,
        "add table ip bench\n\
         add chain ip bench forward { type filter hook forward priority 0 ; }\n\
         add rule ip bench forward ct state established,related accept\n",
    )
}

/// A list of addresses or elements as both languages' files take them: not too many on one line.
fn in_lines(out: &mut String, begin: &str, items: impl Iterator<Item = String>, end: &str) -> fmt::Result {
    let items: Vec<_> = items.collect();
    for chunk in items.chunks(256) {
        writeln!(out, "{begin}{}{end}", chunk.join(", "))?;
    }
    Ok(())
}

fn lower(protocol: &str) -> String {
    protocol.to_lowercase()
}

fn distinct(ports: &[ServicePort]) -> std::collections::BTreeSet<Ipv4Addr> {
    ports.iter().map(|port| *port.vip.ip()).collect()
}
