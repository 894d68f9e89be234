// SPDX-License-Identifier: MIT OR Apache-2.0
//! All paths to a Service in one short check, for tests that change something else on the node.

use std::net::SocketAddr;

use lab::client::From;
use lab::programs::echo::Answer;
use lab::{Family, Ips, Lab, Pod, Service};

use crate::{echo_pod, service};

/// A datagram that does not fit into one packet.
pub(crate) const LARGE: usize = 8_000;

/// A client, servers on its own node and on another, and a Service for each of them.
pub(crate) struct AllPaths {
    pub(crate) client: Pod,
    pub(crate) servers: [Pod; 2],
    pub(crate) services: [Service; 2],
}

impl AllPaths {
    pub(crate) fn new(lab: &Lab) -> Self {
        let client = lab.node(1).pod("client").unwrap();
        let servers = [echo_pod(lab, 1, "near"), echo_pod(lab, 2, "far")];
        let services = servers
            .each_ref()
            .map(|server| service(lab, server.name(), &[server]));
        Self {
            client,
            servers,
            services,
        }
    }

    /// From the pod, from outside, from a pod to itself; small and large, TCP and UDP, both families.
    pub(crate) fn all_work(&self, lab: &Lab) {
        self.work_from_pods();
        self.work_from_outside(lab, lab.node(1).ips());
    }

    pub(crate) fn work_from_pods(&self) {
        let large = "x".repeat(LARGE);
        for family in Family::ALL {
            for (server, service) in self.servers.iter().zip(&self.services) {
                let (vip, context) = (service.at(family, 80), format!("{family} to {}", server.name()));
                for question in ["small", &large] {
                    let talk = self.client.talk();
                    for answer in [talk.ask_tcp(vip, question), ask_udp(talk, vip, question)] {
                        let answer = answer.unwrap_or_else(|error| panic!("{context}: {error}"));
                        assert_eq!(
                            (answer.pod.as_str(), answer.heard.as_str()),
                            (server.name(), question),
                            "{context}"
                        );
                        assert_eq!(answer.client.ip(), self.client.ip(family), "{context}");
                    }
                }
            }
            let (pod, vip) = (&self.servers[0], self.services[0].at(family, 80));
            assert_eq!(pod.talk().ask_tcp(vip, "me").unwrap().pod, pod.name(), "{family}");
            assert_eq!(pod.talk().ask_udp(vip, &large).unwrap().heard, large, "{family}");
        }
    }

    /// The outside host is seen as itself by the pod of the node it comes to, and by the other under the address
    /// that this node has on the way there.
    pub(crate) fn work_from_outside(&self, lab: &Lab, node: Ips) {
        let large = "x".repeat(LARGE);
        let seen = [lab::addresses::outside(), node];
        for family in Family::ALL {
            for ((server, service), seen) in self.servers.iter().zip(&self.services).zip(seen) {
                let (vip, context) = (
                    service.at(family, 80),
                    format!("{family} from outside to {}", server.name()),
                );
                for question in ["small", &large] {
                    let talk = lab.outside().talk();
                    for answer in [talk.ask_tcp(vip, question), ask_udp(talk, vip, question)] {
                        let answer = answer.unwrap_or_else(|error| panic!("{context}: {error}"));
                        assert_eq!(
                            (answer.pod.as_str(), answer.heard.as_str()),
                            (server.name(), question),
                            "{context}"
                        );
                        assert_eq!(answer.client.ip(), seen.get(family), "{context}");
                    }
                }
            }
        }
    }
}

/// Some paths have a smaller link on them, of which the first large datagram only brings the news.
fn ask_udp(talk: From<'_>, vip: SocketAddr, question: &str) -> lab::Result<Answer> {
    let socket = talk.impatient().udp(vip)?;
    let patient = || talk.udp(vip)?.ask(question);
    (0..2)
        .find_map(|_| socket.ask(question).ok())
        .map_or_else(patient, Ok)
}
