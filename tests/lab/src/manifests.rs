// SPDX-License-Identifier: MIT OR Apache-2.0
//! The folder that stands for the API server: one file per object, which all agents and the DNS server
//! watch. Objects are written as JSON, which is YAML too.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use k8s_openapi::Metadata;
use k8s_openapi::Resource;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use crate::addresses::{self, Family, Ips};
use crate::agent::Agent;
use crate::error::{Doing, Error, Result};
use crate::node::Node;
use crate::service::{Protocol, ServiceSpec};
use crate::wait;

/// Cheap to clone; all clones write to the same folder.
#[derive(Debug, Clone)]
pub struct Manifests {
    folder: PathBuf,
    markers: Arc<AtomicU16>,
    deleted: Arc<AtomicBool>,
}

/// VIPs from here on mark points in time: see [`Manifests::settle`].
const FIRST_MARKER: u16 = 0xf000;

impl Manifests {
    #[must_use]
    pub fn in_folder(folder: PathBuf) -> Self {
        Self {
            folder,
            markers: Arc::new(AtomicU16::new(FIRST_MARKER)),
            deleted: Arc::default(),
        }
    }

    /// Creates or replaces an object, in one step for whoever watches the folder.
    pub fn apply<O>(&self, object: &O) -> Result<()>
    where
        O: Serialize + Resource + Metadata<Ty = ObjectMeta>,
    {
        let file = file_name(O::KIND, object.metadata());
        let doing = || format!("writing {file}");
        let json = serde_json::to_vec_pretty(object)
            .map_err(std::io::Error::from)
            .doing(doing)?;
        let draft = self.folder.join(format!(".{file}"));
        fs::write(&draft, json).doing(doing)?;
        fs::rename(&draft, self.folder.join(&file)).doing(doing)
    }

    /// Deletes an object; one that is not there is no error.
    pub fn delete<O>(&self, object: &O) -> Result<()>
    where
        O: Resource + Metadata<Ty = ObjectMeta>,
    {
        self.deleted.store(true, Ordering::Relaxed);
        self.remove(object)
    }

    /// The Node object of a node.
    pub fn add_node(&self, node: &Node) -> Result<()> {
        self.apply(&node_object(node))
    }

    /// Waits until all agents have programmed everything written before. A marker Service is written, then
    /// a second one: what an agent takes in is applied in one piece, so when it shows the second marker it
    /// is done with all that came together with the first.
    pub fn settle(&self, agents: &[Agent]) -> Result<()> {
        if self.deleted.swap(false, Ordering::Relaxed) {
            // An agent gives a vanished file a moment to come back, so deletions have a marker of their own.
            let (marker, vip) = self.mark()?;
            agents.iter().try_for_each(|agent| wait_for(agent, vip, true))?;
            self.remove(&marker)?;
            agents.iter().try_for_each(|agent| wait_for(agent, vip, false))?;
        }
        for _ in 0..2 {
            let (_, vip) = self.mark()?;
            agents.iter().try_for_each(|agent| wait_for(agent, vip, true))?;
        }
        Ok(())
    }

    fn mark(&self) -> Result<(core::Service, Ips)> {
        let number = self.markers.fetch_add(1, Ordering::Relaxed);
        let marker = ServiceSpec::new("lab-marker")
            .namespace("lab")
            .number(number)
            .port(Protocol::Tcp, 1, 1);
        let marker = marker.object();
        self.apply(&marker)?;
        Ok((marker, addresses::vip(number)))
    }

    fn remove<O>(&self, object: &O) -> Result<()>
    where
        O: Resource + Metadata<Ty = ObjectMeta>,
    {
        let file = file_name(O::KIND, object.metadata());
        match fs::remove_file(self.folder.join(&file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).doing(|| format!("deleting {file}"))
            }
            _ => Ok(()),
        }
    }
}

fn wait_for(agent: &Agent, vip: Ips, present: bool) -> Result<()> {
    // Quoted or followed by a port, so that 10.96.240.1 is not found in 10.96.240.11.
    let wanted = [format!("{}\"", vip.v4), format!("{}:", vip.v4)];
    wait::until(
        &format!("{} to program what was written", agent.node_name()),
        || {
            let services = agent.services_json().map_err(|error: Error| error.to_string())?;
            if wanted.iter().any(|text| services.contains(text)) == present {
                return Ok(());
            }
            let which = if present { "do not show" } else { "still show" };
            Err(format!(
                "its services {which} {}; its log ends: {}",
                vip.v4,
                agent.end_of_log()
            ))
        },
    )
}

fn file_name(kind: &str, metadata: &ObjectMeta) -> String {
    let kind = kind.to_lowercase();
    let name = metadata.name.as_deref().unwrap_or_default();
    match metadata.namespace.as_deref() {
        Some(namespace) => format!("{kind}-{namespace}-{name}.json"),
        None => format!("{kind}-{name}.json"),
    }
}

fn node_object(node: &Node) -> core::Node {
    let internal = |family| core::NodeAddress {
        address: node.ips().get(family).to_string(),
        type_: "InternalIP".to_owned(),
    };
    let hostname = core::NodeAddress {
        address: node.name().to_owned(),
        type_: "Hostname".to_owned(),
    };
    let subnets = addresses::pod_subnets(node.number());
    let labels = [
        ("kubernetes.io/hostname", node.name()),
        ("topology.kubernetes.io/zone", "lab"),
    ];
    core::Node {
        metadata: ObjectMeta {
            name: Some(node.name().to_owned()),
            labels: Some(
                labels
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect(),
            ),
            ..ObjectMeta::default()
        },
        spec: Some(core::NodeSpec {
            pod_cidr: subnets.first().cloned(),
            pod_cidrs: Some(subnets.to_vec()),
            ..core::NodeSpec::default()
        }),
        status: Some(core::NodeStatus {
            addresses: Some(Family::ALL.into_iter().map(internal).chain([hostname]).collect()),
            ..core::NodeStatus::default()
        }),
    }
}
