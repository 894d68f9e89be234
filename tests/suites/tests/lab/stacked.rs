// SPDX-License-Identifier: MIT OR Apache-2.0
//! An uplink that lies over another device: each packet comes in by both, and is translated once.

use lab::agent::AgentOptions;
use lab::netlink::{AddressFlags, Network, Route};
use lab::netns::Netns;
use lab::service::ServiceSpec;
use lab::{Family, Ips, Lab, Wiring};

use crate::frontends::{NODE_PORT, at};
use crate::{echo_pod, lead};

/// Moves a host's addresses from `eth0` to another device, which has none of its routes yet.
async fn move_addresses(network: &Network, ips: Ips, to: &str) -> lab::Result<()> {
    for (family, prefix) in [(Family::V4, 16), (Family::V6, 64)] {
        // A device that was set down has lost its IPv6 addresses.
        let _ = network.remove_address("eth0", ips.get(family)).await;
        let address = (ips.get(family), prefix);
        network.add_address(to, address, AddressFlags::empty()).await?;
    }
    Ok(())
}

/// The routes that went with a node's addresses.
async fn route_pods(network: &Network, of: u8) -> lab::Result<()> {
    for (family, prefix) in [(Family::V4, 24), (Family::V6, 64)] {
        let to = (lab::addresses::pod(of, 0).get(family), prefix);
        let via = lab::addresses::node(of).get(family);
        network.add_route(Route::via(to, via)).await?;
    }
    Ok(())
}

/// An outside client at a NodePort of node 1, with a backend there and elsewhere.
fn node_ports_work(lab: &Lab) {
    // A pair without an address looks like a pod's.
    lab.start_agents_with(&AgentOptions::saying(&["--device", "eth0=uplink"]))
        .unwrap();
    let own = lab.node(1).ips();
    let (near, far) = (echo_pod(lab, 1, "near"), echo_pod(lab, 2, "far"));
    let spec = ServiceSpec::new("web").tcp_and_udp(80, 8080).node_port(NODE_PORT);
    let service = lab.service(spec).unwrap();
    for (server, is_far) in [(&far, true), (&near, false)] {
        lead(lab, &service, &[server.ready()]);
        for family in Family::ALL {
            let to = at(own, family, NODE_PORT);
            for port in [0, 20_000] {
                let talk = lab.outside().talk_from(port);
                for answer in [talk.ask_tcp(to, "x"), talk.ask_udp(to, "x")] {
                    let answer =
                        answer.unwrap_or_else(|error| panic!("{family} to {}: {error}", server.name()));
                    assert_eq!(answer.pod, server.name(), "{family}");
                    let seen = if is_far { own } else { lab::addresses::outside() };
                    assert_eq!(answer.client.ip(), seen.get(family), "{family}");
                    assert!(
                        is_far || port == 0 || answer.client.port() == port,
                        "{family}: {answer:?}"
                    );
                }
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_packet_that_comes_in_by_two_devices_is_translated_once() {
    let lab = Lab::new(Wiring::Ptp).unwrap();
    let node = lab.node(1);
    node.netns()
        .configure(async |network| {
            network.add_macvlan("up0", "eth0").await?;
            move_addresses(&network, node.ips(), "up0").await?;
            route_pods(&network, 2).await
        })
        .unwrap();
    node_ports_work(&lab);
}

/// All hosts meet on VLAN 100, over `eth0` or over a bond that has it.
fn on_a_vlan(test: &str, over: &str) {
    let lab = Lab::new(Wiring::Ptp).unwrap();
    let device = format!("{over}.100");
    let hosts: [(&Netns, Ips); 3] = [
        (lab.node(1).netns(), lab.node(1).ips()),
        (lab.node(2).netns(), lab.node(2).ips()),
        (lab.outside(), lab::addresses::outside()),
    ];
    for (host, ips) in hosts {
        let made = host.configure(async |network| {
            if over != "eth0" {
                network.add_bond(over, "eth0").await?;
            }
            network.add_vlan(&device, over, 100).await
        });
        if let Err(error) = made {
            eprintln!("*** SKIPPED: {test}: this kernel has no such device: {error} ***");
            return;
        }
        host.configure(async |network| move_addresses(&network, ips, &device).await)
            .unwrap();
    }
    for (of, to) in [(1, 2), (2, 1)] {
        let node = lab.node(of).netns();
        node.configure(async |network| route_pods(&network, to).await)
            .unwrap();
    }
    node_ports_work(&lab);
}

#[test]
#[ignore = "needs root"]
fn node_ports_work_on_a_vlan_device() {
    on_a_vlan("node_ports_work_on_a_vlan_device", "eth0");
}

#[test]
#[ignore = "needs root"]
fn node_ports_work_on_a_vlan_device_over_a_bond() {
    on_a_vlan("node_ports_work_on_a_vlan_device_over_a_bond", "bond0");
}
