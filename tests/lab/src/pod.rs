// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pod: a namespace with `eth0`, and the programs in it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::addresses::{Family, Ips};
use crate::error::{Doing, Result};
use crate::folder::LabFolder;
use crate::netns::Netns;
use crate::node::Node;
use crate::process::{Place, Process};
use crate::service::Endpoint;

/// Cheap to clone; all clones are the same pod.
#[derive(Debug, Clone)]
pub struct Pod {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    node: Node,
    ips: Ips,
    netns: Netns,
    host_device: String,
    place: Place,
    logs: PathBuf,
    resolv_conf: PathBuf,
    programs: Mutex<BTreeMap<String, Process>>,
}

impl Pod {
    pub(crate) fn new(
        name: &str,
        node: Node,
        ips: Ips,
        netns: Netns,
        folder: &LabFolder,
        binaries: &crate::binaries::Binaries,
    ) -> Self {
        let host_device = format!("veth{:08x}", crc32fast::hash(name.as_bytes()));
        let resolv_conf = folder.resolv_conf(name);
        let place = Place {
            lab_binary: binaries.lab.clone(),
            netns: netns.path().to_owned(),
            cgroup: node.cgroup().join("pods"),
            resolver: Some((resolv_conf.clone(), folder.nsswitch())),
        };
        let (name, logs) = (name.to_owned(), folder.logs());
        let programs = Mutex::default();
        Self {
            inner: Arc::new(Inner {
                name,
                node,
                ips,
                netns,
                host_device,
                place,
                logs,
                resolv_conf,
                programs,
            }),
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    #[must_use]
    pub fn node(&self) -> &Node {
        &self.inner.node
    }

    #[must_use]
    pub fn ips(&self) -> Ips {
        self.inner.ips
    }

    #[must_use]
    pub fn ip(&self, family: Family) -> IpAddr {
        self.inner.ips.get(family)
    }

    /// The pod's own address with a port: what its Services lead to.
    #[must_use]
    pub fn at(&self, family: Family, port: u16) -> SocketAddr {
        (self.ip(family), port).into()
    }

    #[must_use]
    pub fn netns(&self) -> &Netns {
        &self.inner.netns
    }

    /// The node's side of the pod's veth.
    #[must_use]
    pub fn host_device(&self) -> &str {
        &self.inner.host_device
    }

    /// A ready endpoint, for the slices of a Service.
    #[must_use]
    pub fn ready(&self) -> Endpoint {
        Endpoint::ready(self)
    }

    /// What to type for a shell in the pod.
    #[must_use]
    pub fn shell_command(&self) -> String {
        let command = self.inner.place.command(Path::new("sh"), None::<&str>);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Uses this name server, with the search list of namespace `default`.
    pub fn use_dns(&self, server: IpAddr) -> Result<()> {
        let text = format!(
            "nameserver {server}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\n\
             options ndots:5 timeout:2 attempts:3\n"
        );
        fs::write(&self.inner.resolv_conf, text).doing(|| format!("writing resolv.conf of {}", self.name()))
    }

    /// Starts a program of the lab's own binary (`shunt-lab pod ...`), ready to serve on return.
    pub fn start(&self, program: &str, arguments: &[String]) -> Result<()> {
        let process = self.spawn(program, arguments)?;
        self.programs().insert(program.to_owned(), process);
        Ok(())
    }

    /// As [`Self::start`], with the process in the caller's hands.
    pub fn spawn(&self, program: &str, arguments: &[String]) -> Result<Process> {
        let mut command = vec!["pod".to_owned(), program.to_owned()];
        command.extend_from_slice(arguments);
        let log = self.inner.logs.join(format!("{}-{program}.log", self.name()));
        let name = format!("{program} in {}", self.name());
        let place = self.place();
        let mut process = place.start(&name, &log, &place.lab_binary, command)?;
        process.wait_ready()?;
        Ok(process)
    }

    /// Ends a program as kubelet does: SIGTERM, and it finishes what it is doing.
    pub fn stop(&self, program: &str) -> Result<()> {
        let process = self.programs().remove(program);
        process.map_or(Ok(()), |mut process| process.terminate())
    }

    /// Ends the pod with all that is in it.
    pub fn delete(&self) -> Result<()> {
        self.inner.node.remove_pod(self)
    }

    pub(crate) fn place(&self) -> &Place {
        &self.inner.place
    }

    pub(crate) fn stop_all(&self) {
        self.programs().clear();
    }

    fn programs(&self) -> MutexGuard<'_, BTreeMap<String, Process>> {
        self.inner.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
