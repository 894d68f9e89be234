// SPDX-License-Identifier: MIT OR Apache-2.0
//! A node: a namespace with an uplink, a pod subnet, pods, and an agent.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rtnetlink::packet_route::address::AddressFlags;

use crate::addresses::{self, Family, Ips, NODE_PREFIX_V4, NODE_PREFIX_V6};
use crate::binaries::Binaries;
use crate::cgroup;
use crate::clean;
use crate::error::{Doing, Error, Result};
use crate::folder::LabFolder;
use crate::netns::Netns;
use crate::pod::Pod;
use crate::process::{Place, Process};
use crate::wiring::Wiring;

/// Cheap to clone; all clones are the same node.
#[derive(Debug, Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    number: u8,
    netns: Netns,
    cgroup: PathBuf,
    wiring: Wiring,
    folder: LabFolder,
    binaries: Binaries,
    pods: Mutex<Pods>,
}

#[derive(Debug, Default)]
struct Pods {
    /// Host part of the last address given away. Addresses are not used again: a new pod is a new address.
    last: u8,
    alive: BTreeMap<String, Pod>,
}

impl Node {
    pub(crate) fn create(
        number: u8,
        wiring: Wiring,
        folder: &LabFolder,
        binaries: &Binaries,
    ) -> Result<Self> {
        let netns = Netns::create(&folder.netns(), &format!("node{number}"))?;
        netns.sysctl(&forwarding())?;
        netns.configure(async |network| network.up("lo").await)?;
        wiring.prepare(&netns, addresses::gateway(number))?;
        let cgroup = cgroup::of_lab(&folder.id())?.join(netns.name());
        cgroup::create(&cgroup.join("pods"))?;
        let pods = Mutex::new(Pods {
            last: 1,
            ..Pods::default()
        });
        let (folder, binaries) = (folder.clone(), binaries.clone());
        Ok(Self {
            inner: Arc::new(Inner {
                number,
                netns,
                cgroup,
                wiring,
                folder,
                binaries,
                pods,
            }),
        })
    }

    #[must_use]
    pub fn number(&self) -> u8 {
        self.inner.number
    }

    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.netns.name()
    }

    #[must_use]
    pub fn ips(&self) -> Ips {
        addresses::node(self.inner.number)
    }

    #[must_use]
    pub fn netns(&self) -> &Netns {
        &self.inner.netns
    }

    /// The agent's pins of this node.
    #[must_use]
    pub fn bpf_root(&self) -> PathBuf {
        self.inner.folder.bpf().join(self.name())
    }

    /// The cgroup that all of the node's processes are in or below.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        &self.inner.cgroup
    }

    /// Starts a pod: a namespace, wired and addressed, that runs nothing yet.
    pub fn pod(&self, name: &str) -> Result<Pod> {
        let inner = &self.inner;
        let ips = self.next_address()?;
        let netns = Netns::create(&inner.folder.netns(), name)?;
        netns.sysctl(&quiet_ipv6())?;
        netns.configure(async |network| network.up("lo").await)?;
        let pod = Pod::new(name, self.clone(), ips, netns, &inner.folder, &inner.binaries);
        let gateway = addresses::gateway(inner.number);
        inner
            .wiring
            .join(&inner.netns, pod.netns(), pod.host_device(), ips, gateway)?;
        self.lock_pods().alive.insert(name.to_owned(), pod.clone());
        Ok(pod)
    }

    /// Gives the uplink another address of each family, in the network that the nodes share.
    pub fn add_addresses(&self, ips: Ips) -> Result<()> {
        self.netns().configure(async |network| {
            for (family, prefix) in [(Family::V4, NODE_PREFIX_V4), (Family::V6, NODE_PREFIX_V6)] {
                network
                    .add_address("eth0", (ips.get(family), prefix), AddressFlags::Nodad)
                    .await?;
            }
            Ok(())
        })
    }

    #[must_use]
    pub fn pods(&self) -> Vec<Pod> {
        self.lock_pods().alive.values().cloned().collect()
    }

    /// Ends a pod: its processes, its namespace, its device.
    pub(crate) fn remove_pod(&self, pod: &Pod) -> Result<()> {
        self.lock_pods().alive.remove(pod.name());
        pod.stop_all();
        // A namespace goes in the kernel's own time; the CNI deletes the device at once.
        let device = pod.host_device();
        self.inner
            .netns
            .configure(async |network| network.delete(device).await)?;
        clean::remove_namespace(pod.netns().path())
    }

    /// Drops the pods' handles, which point back to the node.
    pub(crate) fn forget_pods(&self) {
        let pods = std::mem::take(&mut self.lock_pods().alive);
        pods.values().for_each(Pod::stop_all);
    }

    /// Starts any program in the node's namespace; it is killed when the handle goes.
    pub fn start(&self, name: &str, log: &Path, program: &Path, arguments: &[String]) -> Result<Process> {
        self.place().start(name, log, program, arguments)
    }

    /// Answers, from the node itself, at one address: TCP lines and UDP datagrams, until the handle goes.
    pub fn serve_echo_at(&self, at: SocketAddr) -> Result<Process> {
        let name = format!("echo-{}-{}", self.name(), if at.is_ipv4() { "v4" } else { "v6" });
        let words = [
            "pod",
            "echo",
            "--name",
            self.name(),
            "--at",
            &at.ip().to_string(),
            "--port",
            &at.port().to_string(),
        ]
        .map(str::to_owned);
        let log = self.folder().logs().join(format!("{name}.log"));
        let place = self.place();
        let mut process = place.start(&name, &log, &place.lab_binary, words)?;
        process.wait_ready()?;
        Ok(process)
    }

    /// Has the node's processes resolve names at this server.
    pub fn use_dns(&self, server: IpAddr) -> Result<()> {
        let text = format!("nameserver {server}\noptions timeout:2 attempts:3\n");
        fs::write(self.resolv_conf(), text).doing(|| format!("writing resolv.conf of {}", self.name()))
    }

    fn resolv_conf(&self) -> PathBuf {
        self.inner.folder.resolv_conf(self.name())
    }

    /// Starts a program of the lab's own binary as a process of the node, ready to serve on return.
    pub fn spawn(&self, program: &str, arguments: &[String]) -> Result<Process> {
        static STARTED: AtomicU32 = AtomicU32::new(1);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let mut command = vec!["pod".to_owned(), program.to_owned()];
        command.extend_from_slice(arguments);
        let log = self
            .inner
            .folder
            .logs()
            .join(format!("{}-{program}-{number}.log", self.name()));
        let name = format!("{program} on {}", self.name());
        let place = self.place();
        let mut process = place.start(&name, &log, &place.lab_binary, command)?;
        process.wait_ready()?;
        Ok(process)
    }

    /// Runs a program of this machine as a process of the node, to its end.
    pub fn run(&self, program: &Path, arguments: &[&str]) -> Result<Output> {
        self.place()
            .command(program, arguments)
            .output()
            .doing(|| format!("running {} on {}", program.display(), self.name()))
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            lab_binary: self.inner.binaries.lab.clone(),
            netns: self.inner.netns.path().to_owned(),
            cgroup: self.inner.cgroup.clone(),
            resolver: Some((self.resolv_conf(), self.inner.folder.nsswitch())),
        }
    }

    pub(crate) fn folder(&self) -> &LabFolder {
        &self.inner.folder
    }

    pub(crate) fn binaries(&self) -> &Binaries {
        &self.inner.binaries
    }

    fn next_address(&self) -> Result<Ips> {
        let mut pods = self.lock_pods();
        match pods.last.checked_add(1) {
            Some(host) if host < 255 => {
                pods.last = host;
                Ok(addresses::pod(self.inner.number, host))
            }
            _ => Err(Error::Failed(format!(
                "{} has no pod addresses left",
                self.name()
            ))),
        }
    }

    fn lock_pods(&self) -> std::sync::MutexGuard<'_, Pods> {
        self.inner.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A namespace inherits IPv6 settings from the machine; addresses must work at once and only as given.
pub(crate) fn quiet_ipv6() -> Vec<(&'static str, &'static str)> {
    vec![
        ("ipv6/conf/all/disable_ipv6", "0"),
        ("ipv6/conf/default/disable_ipv6", "0"),
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/all/accept_ra", "0"),
        ("ipv6/conf/default/accept_ra", "0"),
    ]
}

/// A router that drops martians: strict reverse path filtering shows any packet whose source was changed
/// before routing.
fn forwarding() -> Vec<(&'static str, &'static str)> {
    let mut settings = quiet_ipv6();
    settings.extend([
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv6/conf/default/forwarding", "1"),
        ("ipv4/conf/all/rp_filter", "1"),
        ("ipv4/conf/default/rp_filter", "1"),
    ]);
    settings
}
