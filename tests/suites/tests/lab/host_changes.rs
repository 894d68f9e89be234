// SPDX-License-Identifier: MIT OR Apache-2.0
//! Endpoints change, agents die: what the node's own processes notice of it.

use std::net::SocketAddr;
use std::thread;

use lab::agent::Agent;
use lab::caller::Held;
use lab::programs::calls::{Domains, Kind};
use lab::service::{Protocol, ServiceSpec};
use lab::workloads::none_failed;
use lab::{Family, Lab, Pod, wait};

use crate::host_clients::{ask, domains, named, say};
use crate::{clusters, echo_pod, lead, service};

const ECONNABORTED: i32 = 103;
const ENOTCONN: i32 = 107;

/// The two servers, that which was asked for first.
fn first<'a>(servers: &'a [Pod; 2], name: &str) -> (&'a Pod, &'a Pod) {
    match servers {
        [a, b] if a.name() == name => (a, b),
        [a, b] => (b, a),
    }
}

#[test]
#[ignore = "needs root"]
fn an_unconnected_socket_stays_with_its_backend_while_that_serves() {
    for lab in clusters() {
        let servers = [echo_pod(&lab, 1, "a"), echo_pod(&lab, 2, "b")];
        let service = service(&lab, "web", &[&servers[0], &servers[1]]);
        let caller = lab.node(1).caller().unwrap();
        for family in Family::ALL {
            let vip = service.at(family, 80);
            let socket = caller.open(Kind::Udp, domains(family)).unwrap();
            let before = ask(&socket, vip).0.pod;
            for _ in 0..20 {
                assert_eq!(ask(&socket, vip).0.pod, before);
            }
            let (gone, left) = first(&servers, &before);
            // Still serving, but not to be chosen: what is there stays.
            lead(&lab, &service, &[gone.ready().terminating(), left.ready()]);
            assert_eq!(ask(&socket, vip).0.pod, before);
            lead(&lab, &service, &[left.ready()]);
            assert_eq!(ask(&socket, vip), ask(&socket, vip));
            assert_eq!(ask(&socket, vip).0.pod, left.name());
            lead(&lab, &service, &[gone.ready(), left.ready()]);
            assert_eq!(ask(&socket, vip).0.pod, left.name());
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_connected_udp_socket_ends_with_its_backend_and_nothing_else_does() {
    for lab in clusters() {
        let servers = [echo_pod(&lab, 1, "a"), echo_pod(&lab, 2, "b")];
        let service = service(&lab, "web", &[&servers[0], &servers[1]]);
        let caller = lab.node(1).caller().unwrap();
        for family in Family::ALL {
            for domains in [domains(family), Domains::Both] {
                let both = domains == Domains::Both;
                let vip = named(service.at(family, 80), both);
                let open = |kind| caller.open(kind, domains).unwrap();
                let socket = open(Kind::Udp);
                socket.connect(vip).unwrap();
                let pod = say(&socket);
                let (gone, left) = first(&servers, &pod);
                let tcp = connected_to(|| open(Kind::Tcp), vip, gone);
                let beside = connected_to(|| open(Kind::Udp), vip, left);
                let direct = open(Kind::Udp);
                direct.connect(named(gone.at(family, 8080), both)).unwrap();

                lead(&lab, &service, &[left.ready()]);
                wait::until("the socket to be ended", || match socket.peer() {
                    Err(ENOTCONN) => Ok(()),
                    other => Err(format!("{other:?}")),
                })
                .unwrap();

                assert_eq!(say(&tcp), gone.name(), "TCP is left alone");
                assert_eq!(say(&beside), left.name(), "its backend is there");
                assert_eq!(say(&direct), gone.name(), "the Service is nothing to it");
                // Its owner gets one error, and may use the socket again.
                assert_eq!(socket.receive(), Err(ECONNABORTED));
                socket.connect(vip).unwrap();
                assert_eq!(say(&socket), left.name());
                lead(&lab, &service, &[servers[0].ready(), servers[1].ready()]);
            }
        }
        let destroyed = lab
            .agent(1, |agent| agent.metric("shunt_sockets_destroyed_total"))
            .unwrap();
        assert_eq!(destroyed, 4.0);
    }
}

#[test]
#[ignore = "needs root"]
fn a_process_that_waits_for_a_removed_backend_gets_an_error() {
    for lab in clusters() {
        let (old, new) = (echo_pod(&lab, 2, "old"), echo_pod(&lab, 2, "new"));
        let service = service(&lab, "web", &[&old]);
        let caller = lab.node(1).caller().unwrap();
        for family in Family::ALL {
            lead(&lab, &service, &[old.ready()]);
            let socket = caller.open(Kind::Udp, domains(family)).unwrap();
            socket.connect(service.at(family, 80)).unwrap();
            let told = thread::scope(|scope| {
                let waiting = scope.spawn(|| socket.receive());
                lead(&lab, &service, &[new.ready()]);
                waiting.join().unwrap()
            });
            // Without the error it would have waited for its own timeout (EAGAIN).
            assert_eq!(told, Err(ECONNABORTED));
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_new_agent_ends_the_sockets_that_lost_their_backend_meanwhile() {
    for lab in clusters() {
        let (old, new) = (echo_pod(&lab, 1, "old"), echo_pod(&lab, 2, "new"));
        let service = service(&lab, "web", &[&old]);
        let caller = lab.node(1).caller().unwrap();
        let socket = caller.open(Kind::Udp, Domains::V4).unwrap();
        socket.connect(service.at(Family::V4, 80)).unwrap();
        on_all_agents(&lab, Agent::kill9);
        service.lead_to(&[new.ready()]).unwrap();
        on_all_agents(&lab, Agent::restart);
        wait::until("the socket to be ended", || match socket.peer() {
            Err(ENOTCONN) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .unwrap();
    }
}

#[test]
#[ignore = "needs root"]
fn no_request_of_a_node_is_lost_when_its_agent_is_killed_and_replaced() {
    for lab in clusters() {
        let servers = [lab.node(1).pod("near").unwrap(), lab.node(2).pod("far").unwrap()];
        for server in &servers {
            server.serve_http(8080, "v1").unwrap();
            server.serve_echo(8081).unwrap();
        }
        let web = lab
            .service(
                ServiceSpec::new("web")
                    .port(Protocol::Tcp, 80, 8080)
                    .port(Protocol::Udp, 80, 8081),
            )
            .unwrap();
        lead(&lab, &web, &[servers[0].ready(), servers[1].ready()]);
        let node = lab.node(1);
        let pins = node.pins();
        let caller = node.caller().unwrap();
        let held = Family::ALL.map(|family| {
            let vip = web.at(family, 80);
            let connected = caller.open(Kind::Udp, domains(family)).unwrap();
            connected.connect(vip).unwrap();
            let unconnected = caller.open(Kind::Udp, domains(family)).unwrap();
            let pods = (say(&connected), ask(&unconnected, vip).0.pod);
            (vip, connected, unconnected, pods)
        });
        let mut loads = Family::ALL.map(|family| node.load(&web.at(family, 80).to_string(), &[]).unwrap());

        on_all_agents(&lab, Agent::kill9);
        for load in &mut loads {
            load.next(50).unwrap();
        }
        on_all_agents(&lab, Agent::restart);
        for load in &mut loads {
            load.next(50).unwrap();
        }

        for load in loads {
            none_failed(&load.stop().unwrap()).unwrap();
        }
        assert_eq!(node.pins(), pins, "a new agent adopts what is there");
        for (vip, connected, unconnected, pods) in held {
            assert_eq!(connected.peer(), Ok(vip), "what sockets remember outlives agents");
            let (answer, from) = ask(&unconnected, vip);
            assert_eq!((say(&connected), answer.pod, from), (pods.0, pods.1, vip));
        }
    }
}

/// A socket that the VIP has led to this pod: the first of many.
fn connected_to<'a>(open: impl Fn() -> Held<'a>, vip: SocketAddr, pod: &Pod) -> Held<'a> {
    let connected = || {
        let socket = open();
        socket.connect(vip).unwrap();
        socket
    };
    std::iter::repeat_with(connected)
        .take(60)
        .find(|socket| say(socket) == pod.name())
        .unwrap()
}

fn on_all_agents(lab: &Lab, work: impl Fn(&mut Agent) -> lab::Result<()>) {
    for node in lab.nodes() {
        lab.agent(node.number().into(), &work).unwrap();
    }
}
