// SPDX-License-Identifier: MIT OR Apache-2.0
//! The policy flags: which clients are served where. Names are kube-proxy's where it has the flag.

use anyhow::bail;
use clap::builder::NonEmptyStringValueParser;
use dataplane_common::Config;
use ipnet::IpNet;

use crate::devices::PodDevices;
use crate::index::parse::Parser;
use crate::index::{NodePortAddress, NodePortAddresses, Pods, Settings};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct PolicyArgs {
    /// This node's addresses that serve NodePorts: `primary`, `all`, or ranges. A family without a range uses its
    /// primary address: the Node object's, otherwise the first uplink's [default: primary]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    nodeport_addresses: Vec<NodePortAddress>,
    /// How to recognise a client as one of this node's pods
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    detect_local: DetectLocal,
    /// The pods' ranges for --detect-local=cluster-cidr; the first of each family counts
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        required_if_eq("detect_local", "cluster-cidr")
    )]
    cluster_cidr: Vec<IpNet>,
    /// The pods' bridge for --detect-local=bridge-interface
    #[arg(
        long,
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new(),
        required_if_eq("detect_local", "bridge-interface")
    )]
    pod_bridge_interface: Option<String>,
    /// Prefix of the pods' device names for --detect-local=interface-name-prefix
    #[arg(
        long,
        value_name = "PREFIX",
        value_parser = NonEmptyStringValueParser::new(),
        required_if_eq("detect_local", "interface-name-prefix")
    )]
    pod_interface_name_prefix: Option<String>,
    /// Masquerade every flow to a ClusterIP, even if the reply would return through this node anyway
    #[arg(long)]
    masquerade_all: bool,
    /// Masquerade clients outside the node also if their backend is on it, as kube-proxy does under the policy `Cluster`:
    /// for pods whose replies have another way out. (One Service: annotation shunt/masquerade-external)
    #[arg(long)]
    masquerade_external: bool,
    /// How to treat packets to ClusterIPs from outside the node
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    external_cluster_ip: ExternalClusterIp,
    /// How packets of established flows are forwarded. `direct` is the fast path: it skips firewall rules, connection
    /// tracking and programs at the egress of pods' devices
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    forwarding: Forwarding,
    /// Ranges of ClusterIPs, in addition to ServiceCIDR objects: packets to an address in them that no Service has do
    /// not leave the node
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    service_cidr: Vec<IpNet>,
    /// Serve only objects whose label service.kubernetes.io/service-proxy-name has this value [default: objects without
    /// the label]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    service_proxy_name: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum DetectLocal {
    /// Its packets arrive on a pod's device
    #[default]
    Device,
    /// Its address is in --cluster-cidr
    ClusterCidr,
    /// Its address is in the Node object's podCIDRs
    NodeCidr,
    /// Its packets arrive on --pod-bridge-interface or one of its ports
    BridgeInterface,
    /// Its packets arrive on a device, or a bridge, whose name begins with --pod-interface-name-prefix
    InterfaceNamePrefix,
    /// No client counts as a local pod: ClusterIP clients keep their address, and `Local` policies also apply to pods
    None,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Forwarding {
    /// Through the node's network stack and its rules
    #[default]
    Stack,
    /// Straight to the outgoing device, if the kernel's routing lookup finds it
    Direct,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum ExternalClusterIp {
    /// Serve them, as kube-proxy does
    #[default]
    Serve,
    /// Answer them with "port unreachable"
    Refuse,
}

impl PolicyArgs {
    /// The settings of the index.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        for (flag, ranges) in [
            ("--cluster-cidr", &self.cluster_cidr),
            ("--service-cidr", &self.service_cidr),
        ] {
            if let Some(range) = ranges.iter().find(|range| range.prefix_len() == 0) {
                bail!("{flag} {range} contains every address: give the cluster's own range");
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

    /// The parser, which decides which objects of the cluster count.
    pub(super) fn parser(&self, node_name: String) -> Parser {
        let parser = Parser::new(node_name);
        match &self.service_proxy_name {
            Some(name) => parser.for_proxy(name.as_str()),
            None => parser,
        }
    }

    /// How devices recognise local pods.
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

    /// The flags of the map `config`.
    pub(super) fn flags(&self) -> u32 {
        let mut flags = 0;
        if self.masquerade_all {
            flags |= Config::MASQUERADE_ALL;
        }
        if self.masquerade_external {
            flags |= Config::MASQUERADE_EXTERNAL;
        }
        if self.forwarding == Forwarding::Direct {
            flags |= Config::FAST_PATH;
        }
        if self.external_cluster_ip == ExternalClusterIp::Refuse {
            flags |= Config::REFUSE_EXTERNAL;
        }
        flags
    }
}
