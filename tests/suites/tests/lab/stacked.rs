// SPDX-License-Identifier: MIT OR Apache-2.0
//! An uplink that lies over another device: each packet comes in by both, and is translated once.

use lab::agent::AgentOptions;
use lab::netlink::{AddressFlags, Route};
use lab::service::ServiceSpec;
use lab::{Family, Lab, Wiring};

use crate::frontends::{NODE_PORT, at};
use crate::{echo_pod, lead};

#[test]
#[ignore = "needs root"]
fn a_packet_that_comes_in_by_two_devices_is_translated_once() {
    let lab = Lab::new(Wiring::Ptp).unwrap();
    let node = lab.node(1);
    let (own, other) = (node.ips(), lab.node(2).ips());
    node.netns()
        .configure(async |network| {
            network.add_macvlan("up0", "eth0").await?;
            for (family, prefix, pods) in [(Family::V4, 16, 24), (Family::V6, 64, 64)] {
                network.remove_address("eth0", own.get(family)).await?;
                let address = (own.get(family), prefix);
                network.add_address("up0", address, AddressFlags::empty()).await?;
                let to = (lab::addresses::pod(2, 0).get(family), pods);
                network.add_route(Route::via(to, other.get(family))).await?;
            }
            Ok(())
        })
        .unwrap();
    lab.start_agents_with(&AgentOptions::saying(&["--device", "eth0=uplink"]))
        .unwrap();
    let (near, far) = (echo_pod(&lab, 1, "near"), echo_pod(&lab, 2, "far"));
    let spec = ServiceSpec::new("web").tcp_and_udp(80, 8080).node_port(NODE_PORT);
    let service = lab.service(spec).unwrap();
    for (server, is_far) in [(&far, true), (&near, false)] {
        lead(&lab, &service, &[server.ready()]);
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
