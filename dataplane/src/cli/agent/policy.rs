// SPDX-License-Identifier: MIT OR Apache-2.0
//! The operator's say in who is served where, with kube-proxy's names where it has them.

use anyhow::bail;
use clap::builder::NonEmptyStringValueParser;
use dataplane_common::Config;
use ipnet::IpNet;

use crate::devices::PodDevices;
use crate::index::parse::Parser;
use crate::index::{NodePortAddress, NodePortAddresses, Pods, Settings};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct PolicyArgs {
    /// This node's addresses that serve NodePorts: `primary`, `all`, ranges. A family without a range has its primary
    /// address, which is the Node object's, else the first uplink's [default: primary]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    nodeport_addresses: Vec<NodePortAddress>,
    /// How a client is told to be one of this node's pods
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    detect_local: DetectLocal,
    /// The pods' ranges, for --detect-local=cluster-cidr: the first of each family counts
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        required_if_eq("detect_local", "cluster-cidr")
    )]
    cluster_cidr: Vec<IpNet>,
    /// The pods' bridge, for --detect-local=bridge-interface
    #[arg(
        long,
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new(),
        required_if_eq("detect_local", "bridge-interface")
    )]
    pod_bridge_interface: Option<String>,
    /// How the names of the pods' devices begin, for --detect-local=interface-name-prefix
    #[arg(
        long,
        value_name = "PREFIX",
        value_parser = NonEmptyStringValueParser::new(),
        required_if_eq("detect_local", "interface-name-prefix")
    )]
    pod_interface_name_prefix: Option<String>,
    /// Masquerade every flow to a ClusterIP, also where the reply would come back anyway
    #[arg(long)]
    masquerade_all: bool,
    /// What becomes of packets to ClusterIPs from outside the node
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    external_cluster_ip: ExternalClusterIp,
    /// How packets of established flows get from one device to another. `direct` passes by whatever else the node has
    /// between its devices: firewall rules, connection tracking, programs at the egress of pods' devices
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    forwarding: Forwarding,
    /// Where ClusterIPs come from, beside what ServiceCIDR objects say: packets to addresses in there that no Service
    /// has do not leave the node
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    service_cidr: Vec<IpNet>,
    /// Serve only what has the label service.kubernetes.io/service-proxy-name with this value, not what has none
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    service_proxy_name: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum DetectLocal {
    /// Its packets come in by a device that pods hang on
    #[default]
    Device,
    /// Its address is in --cluster-cidr
    ClusterCidr,
    /// Its address is in the Node object's podCIDRs
    NodeCidr,
    /// Its packets come in by --pod-bridge-interface or a port of it
    BridgeInterface,
    /// Its packets come in by a device, or a bridge, whose name begins with --pod-interface-name-prefix
    InterfaceNamePrefix,
    /// Nobody is: clients of ClusterIPs keep their address, and a policy `Local` holds for pods, too
    None,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Forwarding {
    /// Through the node's own stack, and all rules in there
    #[default]
    Stack,
    /// Right to the device that they leave by, where the kernel's routing knows it
    Direct,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum ExternalClusterIp {
    /// They are served, as kube-proxy does
    #[default]
    Serve,
    /// They are answered "port unreachable"
    Refuse,
}

impl PolicyArgs {
    /// What the index needs of it.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        for (flag, ranges) in [
            ("--cluster-cidr", &self.cluster_cidr),
            ("--service-cidr", &self.service_cidr),
        ] {
            if let Some(range) = ranges.iter().find(|range| range.prefix_len() == 0) {
                bail!("{flag} {range} is every address there is: give the range that the cluster has");
            }
        }
        let pods = match self.detect_local {
            DetectLocal::Device | DetectLocal::BridgeInterface | DetectLocal::InterfaceNamePrefix => {
                Pods::ByDevice
            }
            DetectLocal::ClusterCidr => Pods::Within(self.cluster_cidr.clone()),
            DetectLocal::NodeCidr => Pods::WithinNodeRange,
            DetectLocal::None => Pods::Nobody,
        };
        Ok(Settings {
            node_ports: NodePortAddresses(self.nodeport_addresses.clone()),
            pods,
            service_ranges: self.service_cidr.clone(),
            ..Settings::default()
        })
    }

    /// What of the cluster is to be seen.
    pub(super) fn parser(&self, node_name: String) -> Parser {
        let parser = Parser::new(node_name);
        match &self.service_proxy_name {
            Some(name) => parser.for_proxy(name.as_str()),
            None => parser,
        }
    }

    /// What the devices need of it.
    pub(super) fn pod_devices(&self) -> PodDevices {
        let name = |text: &Option<String>| text.clone().unwrap_or_default();
        match self.detect_local {
            DetectLocal::BridgeInterface => PodDevices::Bridge(name(&self.pod_bridge_interface)),
            DetectLocal::InterfaceNamePrefix => PodDevices::Prefix(name(&self.pod_interface_name_prefix)),
            DetectLocal::Device | DetectLocal::ClusterCidr | DetectLocal::NodeCidr | DetectLocal::None => {
                PodDevices::ByKind
            }
        }
    }

    /// What the kernel's settings need of it.
    pub(super) fn flags(&self) -> u32 {
        let mut flags = 0;
        if self.masquerade_all {
            flags |= Config::MASQUERADE_ALL;
        }
        if self.forwarding == Forwarding::Direct {
            flags |= Config::SHORTCUTS;
        }
        if self.external_cluster_ip == ExternalClusterIp::Refuse {
            flags |= Config::REFUSE_EXTERNAL;
        }
        flags
    }
}
