// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers to what pods ask outside, where the CNI gives their packets source ports that NodePorts have too.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use lab::netns::Netns;
use lab::service::ServiceSpec;
use lab::{Family, Lab, Pod, Wiring, tool};

use crate::{counted, echo_pod};

/// NodePorts, one for each Service.
const SERVICES: u16 = 400;
const FIRST: u16 = 30_000;
/// Questions of each protocol and family. A quarter of them gets a NodePort's number.
const QUESTIONS: usize = 300;
const PORT: u16 = 8443;
const PATIENCE: Duration = Duration::from_secs(2);

/// As CNIs do it, but from fewer ports, so that a NodePort's number is no rare luck.
const MASQUERADE: &str = "
table inet cni {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname eth0 ip saddr 10.244.0.0/16 ip daddr 172.18.0.200 meta l4proto { tcp, udp } masquerade to :30000-31599 fully-random
    oifname eth0 ip6 saddr fd00:10:244::/48 meta l4proto { tcp, udp } masquerade to :30000-31599 fully-random
  }
}";

/// Returns all that comes, over both protocols, for as long as the test runs.
fn answer_everything(host: &Netns, addr: IpAddr) {
    let at = SocketAddr::new(addr, PORT);
    let (listener, socket) = host
        .run(|| (TcpListener::bind(at).unwrap(), UdpSocket::bind(at).unwrap()))
        .unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let mut bytes = [0; 16];
                let read = stream.read(&mut bytes)?;
                stream.write_all(&bytes[..read])
            });
        }
    });
    thread::spawn(move || {
        let mut bytes = [0; 16];
        while let Ok((read, from)) = socket.recv_from(&mut bytes) {
            // A client that has gone is none of this test's.
            let _ = socket.send_to(&bytes[..read], from);
        }
    });
}

fn ask_tcp(to: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])
}

fn ask_udp(to: SocketAddr) -> io::Result<()> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(b"x")?;
    socket.recv(&mut [0]).map(drop)
}

/// How many questions had no answer.
fn unanswered(client: &Pod, to: SocketAddr, ask: fn(SocketAddr) -> io::Result<()>) -> usize {
    let failures = || (0..QUESTIONS).filter(|_| ask(to).is_err()).count();
    client.netns().run(failures).unwrap()
}

#[test]
#[ignore = "needs root"]
fn answers_to_ports_that_the_cni_chose_are_no_node_ports() {
    if !tool::is_there("nft", "answers_to_ports_that_the_cni_chose_are_no_node_ports") {
        return;
    }
    let lab = Lab::with_agents(Wiring::Ptp).unwrap();
    let (client, server) = (lab.node(1).pod("client").unwrap(), echo_pod(&lab, 1, "server"));
    for number in 0..SERVICES {
        let spec = ServiceSpec::new(&format!("service-{number}"))
            .tcp_and_udp(80, 8080)
            .node_port(FIRST + number);
        lab.service(spec).unwrap().lead_to(&[server.ready()]).unwrap();
    }
    lab.settle().unwrap();
    lab.node(1).netns().nft(MASQUERADE).unwrap();
    for family in Family::ALL {
        let outside = lab::addresses::outside().get(family);
        answer_everything(lab.outside(), outside);
        let to = SocketAddr::new(outside, PORT);
        assert_eq!(unanswered(&client, to, ask_tcp), 0, "{family}: TCP");
        assert_eq!(unanswered(&client, to, ask_udp), 0, "{family}: UDP");
    }
    assert_eq!(counted(&lab, 1, "new_flow"), 0);
}
