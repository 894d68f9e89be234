// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Kubernetes cluster's network on one machine: nodes and pods are network namespaces wired as CNIs
//! wire them, pods run real programs, every node runs the real `shunt` agent.
//!
//! ```text
//!   outside          node1: eth0, vethX.. (or cni0)        node2: eth0, vethY.. (or cni0)
//!      |               |                                      |
//!      +---------------+--------- bridge in "switch" ---------+
//! ```
//!
//! [`Lab`] is the cluster, [`Node`] and [`Pod`] its parts, [`Service`] writes the manifests that all agents
//! watch, [`client`] has the clients of tests, [`capture`] looks at packets. Everything a lab makes lives
//! below its own folder in `/run/shunt-lab` and in its own namespaces, and goes away with the lab: on drop,
//! on panic, and (by the [`reaper`]) when the process is killed.
//!
//! Root is needed, and nothing else: no `ip`, no other tools. (Tests about firewalls bring their own: [`tool`].)

#![deny(unsafe_code)]

pub mod addresses;
pub mod agent;
pub mod binaries;
pub mod caller;
pub mod capture;
pub mod cgroup;
pub mod clean;
pub mod client;
pub mod demo;
pub mod error;
pub mod folder;
pub mod http;
pub mod journey;
pub mod lookup;
pub mod manifests;
pub mod netlink;
pub mod netns;
pub mod node;
pub mod offload;
pub mod packet;
pub mod pcap;
pub mod pod;
pub mod process;
pub mod programs;
pub mod reaper;
pub mod service;
pub mod tool;
pub mod tun;
pub mod wait;
pub mod wiring;
pub mod workloads;

mod cluster;

pub use addresses::{Family, Ips};
pub use cluster::Lab;
pub use error::{Error, Result};
pub use netns::Netns;
pub use node::Node;
pub use pod::Pod;
pub use service::Service;
pub use wiring::Wiring;
