// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cluster of the demo: kube-dns, `my-httpd` with its pods, two clients.

use crate::addresses::{self, Family};
use crate::binaries::Binaries;
use crate::cluster::Lab;
use crate::error::{Error, Result};
use crate::pod::Pod;
use crate::service::{Endpoint, Protocol, Service, ServiceSpec};
use crate::wiring::Wiring;

use super::screen::{Screen, Tone};

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) lab: Lab,
    pub(super) dns: Service,
    pub(super) httpd: Service,
    /// On node 1.
    pub(super) client: Pod,
    /// On node 2.
    pub(super) other_client: Pod,
    /// The pods of the Deployment, as it stands.
    pub(super) replicas: Vec<Pod>,
    started: u32,
}

pub(super) const NAME: &str = "my-httpd.default.svc.cluster.local";
/// The Service's port, and the one the pods listen on.
pub(super) const PORT: u16 = 80;
const TARGET_PORT: u16 = 8080;

impl Stage {
    pub(super) fn set_up(wiring: Wiring, binaries: Binaries, screen: &Screen) -> Result<Self> {
        let lab = Lab::with(wiring, 2, binaries)?;
        lab.start_agents()?;
        let dns_pod = lab.node(2).pod("kube-dns")?;
        dns_pod.serve_dns()?;
        let dns = ServiceSpec::new("kube-dns")
            .namespace("kube-system")
            .number(10)
            .tcp_and_udp(53, 53);
        let dns = lab.service(dns)?;
        dns.lead_to(&[dns_pod.ready()])?;
        let httpd = ServiceSpec::new("my-httpd")
            .number(20)
            .port(Protocol::Tcp, PORT, TARGET_PORT);
        let httpd = lab.service(httpd.selector("app", "my-httpd"))?;
        let (client, other_client) = (lab.node(1).pod("client")?, lab.node(2).pod("client-2")?);
        for pod in [&client, &other_client] {
            pod.use_dns(dns.vip().get(Family::V4))?;
        }
        let mut stage = Self {
            lab,
            dns,
            httpd,
            client,
            other_client,
            replicas: Vec::new(),
            started: 0,
        };
        let first = stage.start_pod("v1")?;
        stage.replicas = vec![first];
        stage.lead_to_replicas()?;
        stage.introduce(wiring, screen);
        Ok(stage)
    }

    /// A new pod of the Deployment; pods go to the nodes in turn.
    pub(super) fn start_pod(&mut self, version: &str) -> Result<Pod> {
        self.started += 1;
        let nodes = self.lab.nodes().len();
        let node = self.lab.node(1 + (self.started as usize - 1) % nodes);
        let pod = node.pod(&format!("my-httpd-{}", self.started))?;
        pod.serve_http(TARGET_PORT, version)?;
        Ok(pod)
    }

    pub(super) fn start_pods(&mut self, count: usize, version: &str) -> Result<Vec<Pod>> {
        (0..count).map(|_| self.start_pod(version)).collect()
    }

    /// What the EndpointSlice controller does when pods come and go.
    pub(super) fn lead_to(&self, endpoints: &[Endpoint]) -> Result<()> {
        self.httpd.lead_to(endpoints)?;
        self.lab.settle()
    }

    pub(super) fn lead_to_replicas(&self) -> Result<()> {
        self.lead_to(&self.replicas.iter().map(Pod::ready).collect::<Vec<_>>())
    }

    /// Ends a pod as kubelet does, once no new connection goes there.
    pub(super) fn stop_pod(&self, pod: &Pod) -> Result<()> {
        pod.stop("httpd")?;
        pod.delete()
    }

    pub(super) fn the_replica(&self) -> Result<&Pod> {
        self.replicas
            .first()
            .ok_or_else(|| Error::Failed("the Deployment has no pod".to_owned()))
    }

    /// Leaves the cluster up, and says how to look into it.
    pub(super) fn keep(self, screen: &Screen) -> Result<()> {
        let (root, id) = (
            self.lab.folder().root().display().to_string(),
            self.lab.folder().id(),
        );
        let lab_binary = self.lab.binaries().lab.display().to_string();
        let client = self.client.clone();
        screen.say("The cluster stays up. Its nodes and pods are network namespaces:");
        screen.row(
            &[8],
            &["a node", &format!("nsenter --net={root}/netns/node1")],
            None,
        );
        screen.row(&[8], &["a pod", &client.shell_command()], None);
        screen.row(
            &[8],
            &[
                "try",
                &format!(
                    "curl http://my-httpd  (in a pod)  or  http://{}",
                    self.httpd.vip().v4
                ),
            ],
            None,
        );
        screen.row(
            &[8],
            &[
                "maps",
                &format!("shunt services --bpf-root {root}/bpf/node1  (in a node)"),
            ],
            None,
        );
        screen.row(&[8], &["remove", &format!("{lab_binary} clean {id}")], None);
        self.lab.keep()
    }

    fn introduce(&self, wiring: Wiring, screen: &Screen) {
        screen.chapter(&format!(
            "Two nodes, one Shunt agent on each, no kube-proxy ({wiring} wiring)"
        ));
        for node in self.lab.nodes() {
            let [subnet, _] = addresses::pod_subnets(node.number());
            let pods = node.pods();
            let pods: Vec<_> = pods
                .iter()
                .map(|pod| format!("{} {}", pod.name(), pod.ips().v4))
                .collect();
            screen.row(
                &[8, 12, 16],
                &[node.name(), &node.ips().v4.to_string(), &subnet, &pods.join(", ")],
                None,
            );
        }
        for (service, ports) in [(&self.dns, "53/UDP, 53/TCP"), (&self.httpd, "80/TCP to 8080")] {
            let (vip, v6) = (service.vip().v4.to_string(), service.vip().v6.to_string());
            screen.row(
                &[8, 12, 16],
                &[service.name(), &vip, &v6, ports],
                Some(Tone::Changed),
            );
        }
    }
}
