// SPDX-License-Identifier: MIT OR Apache-2.0
//! The settings in force, read back from the kernel: what the flags said and what the agent found out.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::DirEntryExt as _;
use std::path::{Path, PathBuf};

use dataplane_common::{AddressFlags, Config};
use ipnet::IpNet;
use serde::Serialize;

use crate::cli::output::table;
use crate::kernel::convert::from_networks;
use crate::kernel::{FamilyMaps, HostFamily, PinnedMaps, Pins, sockets_cgroup};
use crate::model::Detect;
use crate::sockets::CgroupRoot;

#[derive(Debug, Serialize)]
pub(super) struct Settings {
    take_over: bool,
    masquerade_all: bool,
    masquerade_external: bool,
    external_cluster_ip: &'static str,
    forwarding: &'static str,
    socket_lb: &'static str,
    /// The cgroup below which socket calls are served, if it is visible here.
    cgroup_root: Option<PathBuf>,
    /// The range of rewritten source ports.
    source_ports: SourcePorts,
    ipv4: FamilySettings,
    ipv6: FamilySettings,
}

#[derive(Debug, Serialize)]
struct SourcePorts {
    first: u16,
    count: u16,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct FamilySettings {
    /// The source address that counts for the node's own processes.
    node_address: Option<IpAddr>,
    nodeport_addresses: Vec<IpAddr>,
    /// `device`, the pods' range, or `none`.
    detect_local: String,
    service_cidrs: Vec<IpNet>,
}

impl Settings {
    pub(super) fn read(pins: &Pins, maps: &PinnedMaps) -> Self {
        let config = maps.config.get(&0, 0).unwrap_or_default();
        let cgroup = sockets_cgroup(pins);
        Self {
            cgroup_root: cgroup.and_then(in_sight),
            ipv4: FamilySettings::read(&maps.v4),
            ipv6: FamilySettings::read(&maps.v6),
            ..Self::of(&config, cgroup.is_some())
        }
    }

    fn of(config: &Config, meets_sockets: bool) -> Self {
        let is_set = |flag| config.flags & flag != 0;
        Self {
            take_over: is_set(Config::TAKE_OVER),
            masquerade_all: is_set(Config::MASQUERADE_ALL),
            masquerade_external: is_set(Config::MASQUERADE_EXTERNAL),
            external_cluster_ip: if is_set(Config::REFUSE_EXTERNAL) {
                "refuse"
            } else {
                "serve"
            },
            forwarding: if is_set(Config::FAST_PATH) {
                "direct"
            } else {
                "stack"
            },
            socket_lb: match (meets_sockets, is_set(Config::POD_SOCKETS)) {
                (false, _) => "off",
                (true, false) => "host",
                (true, true) => "pods",
            },
            cgroup_root: None,
            source_ports: SourcePorts {
                first: config.ports_first,
                count: config.ports_count,
            },
            ipv4: FamilySettings::default(),
            ipv6: FamilySettings::default(),
        }
    }

    /// A line for each, under the name of its flag where it has one.
    pub(super) fn text(&self) -> String {
        let yes_no = |yes| if yes { "yes" } else { "no" }.to_owned();
        let ports = &self.source_ports;
        let socket_lb = match &self.cgroup_root {
            Some(path) => format!("{}, below {}", self.socket_lb, path.display()),
            None => self.socket_lb.to_owned(),
        };
        let rows = [
            ("take-over", yes_no(self.take_over)),
            ("masquerade-all", yes_no(self.masquerade_all)),
            ("masquerade-external", yes_no(self.masquerade_external)),
            ("external-cluster-ip", self.external_cluster_ip.to_owned()),
            ("forwarding", self.forwarding.to_owned()),
            ("socket-lb", socket_lb),
            ("detect-local", self.detect_local()),
            (
                "nodeport-addresses",
                self.all(|family| &family.nodeport_addresses),
            ),
            ("service-cidr", self.all(|family| &family.service_cidrs)),
            ("node's own address", self.all(|family| &family.node_address)),
            (
                "rewritten source ports",
                format!("{} from {}", ports.count, ports.first),
            ),
        ];
        table(
            &["SETTING", "IN FORCE"],
            &rows.map(|(name, value)| vec![name.to_owned(), value]),
        )
    }

    /// The settings that both families have.
    fn all<'a, T: ToString + 'a, L: IntoIterator<Item = &'a T>>(
        &'a self,
        of: impl Fn(&'a FamilySettings) -> L,
    ) -> String {
        let both = [&self.ipv4, &self.ipv6].into_iter().flat_map(of);
        let texts: Vec<_> = both.map(ToString::to_string).collect();
        match texts.is_empty() {
            true => "-".to_owned(),
            false => texts.join(", "),
        }
    }

    fn detect_local(&self) -> String {
        let (v4, v6) = (&self.ipv4.detect_local, &self.ipv6.detect_local);
        match v4 == v6 {
            true => v4.clone(),
            false => format!("{v4} (IPv4), {v6} (IPv6)"),
        }
    }
}

impl FamilySettings {
    fn read<F: HostFamily>(maps: &FamilyMaps<F>) -> Self
    where
        F::Addr: aya::Pod,
    {
        let networks = from_networks(&maps.networks.get(&0, 0).unwrap_or_default());
        let serving = maps.addresses.iter().flatten();
        let mut nodeport_addresses: Vec<_> = serving
            .filter(|(_, flags)| flags.has(AddressFlags::NODE_PORTS))
            .map(|(addr, _)| F::to_ip(addr))
            .collect();
        nodeport_addresses.sort_unstable();
        Self {
            node_address: networks.node,
            nodeport_addresses,
            detect_local: match networks.detect {
                Detect::Device => "device".to_owned(),
                Detect::Range(range) => range.to_string(),
                Detect::Nobody => "none".to_owned(),
            },
            service_cidrs: networks.services,
        }
    }
}

/// The folder of a cgroup, whose inode is its id.
fn in_sight(id: u64) -> Option<PathBuf> {
    let root = CgroupRoot::find(None).ok()?;
    if root.id() == Some(id) {
        return Some(root.path);
    }
    below(&root.path, id)
}

fn below(folder: &Path, id: u64) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let folders: Vec<_> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .collect();
    let found = folders.iter().find(|entry| entry.ino() == id);
    found
        .map(fs::DirEntry::path)
        .or_else(|| folders.iter().find_map(|entry| below(&entry.path(), id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_shown_under_the_names_of_their_flags() {
        let config = Config {
            flags: Config::TAKE_OVER | Config::REFUSE_EXTERNAL | Config::POD_SOCKETS | Config::FAST_PATH,
            ports_first: 61_000,
            ports_count: 4_536,
            ..Config::default()
        };
        let settings = Settings {
            cgroup_root: Some(PathBuf::from("/sys/fs/cgroup")),
            ipv4: FamilySettings {
                node_address: Some("172.18.0.2".parse().unwrap()),
                nodeport_addresses: vec!["172.18.0.2".parse().unwrap(), "192.0.2.7".parse().unwrap()],
                detect_local: "10.244.1.0/24".to_owned(),
                service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
            },
            ipv6: FamilySettings {
                detect_local: "none".to_owned(),
                ..FamilySettings::default()
            },
            ..Settings::of(&config, true)
        };
        assert_eq!(
            settings.text(),
            "SETTING                  IN FORCE\n\
             take-over                yes\n\
             masquerade-all           no\n\
             masquerade-external      no\n\
             external-cluster-ip      refuse\n\
             forwarding               direct\n\
             socket-lb                pods, below /sys/fs/cgroup\n\
             detect-local             10.244.1.0/24 (IPv4), none (IPv6)\n\
             nodeport-addresses       172.18.0.2, 192.0.2.7\n\
             service-cidr             10.96.0.0/16\n\
             node's own address       172.18.0.2\n\
             rewritten source ports   4536 from 61000"
        );
        assert_eq!(
            Settings::of(&config, false).socket_lb,
            "off",
            "whatever the flags say"
        );
    }
}
