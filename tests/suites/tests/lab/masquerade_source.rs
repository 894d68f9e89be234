// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whose address an outside client's flow has at a pod of another node: the one that the kernel would have taken.

use std::net::{IpAddr, Ipv4Addr};

use lab::agent::AgentOptions;
use lab::netlink::{AddressFlags, Route};
use lab::{Family, Lab, Service, Wiring, wait};
use rtnetlink::packet_route::route::RouteScope;

use crate::{echo_pod, service};

fn v4(text: &str) -> IpAddr {
    IpAddr::V4(text.parse::<Ipv4Addr>().unwrap())
}

struct Stage {
    lab: Lab,
    service: Service,
}

impl Stage {
    fn new(arguments: &[&str]) -> Self {
        let lab = Lab::new(Wiring::Ptp).unwrap();
        lab.start_agents_with(&AgentOptions::saying(arguments)).unwrap();
        let server = echo_pod(&lab, 2, "server");
        let service = service(&lab, "web", &[&server]);
        Self { lab, service }
    }

    /// Whom the pod of node 2 sees when the outside host comes by node 1.
    fn seen(&self, family: Family) -> Result<IpAddr, String> {
        let vip = self.service.at(family, 80);
        let talk = self.lab.outside().talk().impatient();
        let mut seen = Vec::new();
        for answer in [talk.ask_tcp(vip, "x"), talk.ask_udp(vip, "x")] {
            seen.push(answer.map_err(|error| error.to_string())?.client.ip());
        }
        match seen.as_slice() {
            [tcp, udp] if tcp == udp => Ok(*tcp),
            _ => Err(format!("{seen:?}")),
        }
    }

    #[track_caller]
    fn sees(&self, family: Family, wanted: IpAddr) {
        wait::until(&format!("new flows to come from {wanted}"), || {
            match self.seen(family)? {
                seen if seen == wanted => Ok(()),
                seen => Err(format!("seen as {seen}")),
            }
        })
        .unwrap();
    }

    fn add(&self, device: &str, address: IpAddr, prefix: u8) {
        let node = self.lab.node(1).netns();
        node.configure(async |network| {
            network
                .add_address(device, (address, prefix), AddressFlags::empty())
                .await
        })
        .unwrap();
    }

    fn remove(&self, device: &str, address: IpAddr) {
        let node = self.lab.node(1).netns();
        node.configure(async |network| network.remove_address(device, address).await)
            .unwrap();
    }
}

#[test]
#[ignore = "needs root"]
fn a_second_address_of_the_uplink_is_not_taken() {
    let stage = Stage::new(&[]);
    let own = stage.lab.node(1).ips();
    stage.sees(Family::V4, own.get(Family::V4));
    // Each of them is lower than the node's own.
    let others = [
        ("172.18.0.1", 16),
        ("10.0.0.5", 32),
        ("10.9.9.9", 24),
        ("fd00:172:18::1", 64),
        ("fd00:172:18::1:1", 128),
    ];
    for (address, prefix) in others {
        let address: IpAddr = address.parse().unwrap();
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        println!("beside {address}/{prefix}");
        stage.add("eth0", address, prefix);
        // So long that the agent has seen it.
        std::thread::sleep(std::time::Duration::from_millis(500));
        for _ in 0..5 {
            assert_eq!(
                stage.seen(family).unwrap(),
                own.get(family),
                "beside {address}/{prefix}"
            );
        }
        stage.remove("eth0", address);
        assert_eq!(
            stage.seen(family).unwrap(),
            own.get(family),
            "after {address}/{prefix}"
        );
    }
}

#[test]
#[ignore = "needs root"]
fn what_the_nodes_address_becomes_is_followed() {
    let stage = Stage::new(&[]);
    let (old, new) = (stage.lab.node(1).ips().get(Family::V4), v4("172.18.0.22"));
    stage.sees(Family::V4, old);
    stage.remove("eth0", old);
    stage.add("eth0", new, 16);
    // The routes went with the address; the outside host and node 2 know node 1 by the old one.
    for host in [stage.lab.outside(), stage.lab.node(2).netns()] {
        host.configure(async |network| {
            for to in [(v4("10.96.0.0"), 16), (v4("10.244.1.0"), 24)] {
                network.add_route(Route::via(to, new)).await?;
            }
            Ok(())
        })
        .unwrap();
    }
    let pods = (v4("10.244.2.0"), 24);
    let via = stage.lab.node(2).ips().get(Family::V4);
    stage
        .lab
        .node(1)
        .netns()
        .configure(async |network| network.add_route(Route::via(pods, via)).await)
        .unwrap();
    stage.sees(Family::V4, new);
}

#[test]
#[ignore = "needs root"]
fn an_uplink_without_an_address_takes_what_routing_takes() {
    let stage = Stage::new(&["--device", "eth0=uplink"]);
    let own = stage.lab.node(1).ips().get(Family::V4);
    stage.sees(Family::V4, own);
    let node = stage.lab.node(1).netns();
    stage.remove("eth0", own);
    stage.add("lo", own, 32);
    let (neighbours, pods) = ((v4("172.18.0.0"), 16), (v4("10.244.2.0"), 24));
    let via = stage.lab.node(2).ips().get(Family::V4);
    node.configure(async |network| {
        network
            .add_route(Route::device(neighbours, "eth0", RouteScope::Link))
            .await?;
        network.add_route(Route::via(pods, via)).await
    })
    .unwrap();
    stage.sees(Family::V4, own);
}
