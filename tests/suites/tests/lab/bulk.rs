// SPDX-License-Identifier: MIT OR Apache-2.0
//! Much data through a VIP arrives as it was sent.

use lab::Family;
use lab::offload::Offloads;
use lab::programs::bulk::Way;
use lab::service::{Protocol, ServiceSpec};

use crate::{clusters, lead};

const GIGABYTE: u64 = 1_000_000_000;

#[test]
#[ignore = "needs root"]
fn a_gigabyte_through_a_vip_arrives_whole_with_offloads_on_and_off() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let spec = ServiceSpec::new("bulk").port(Protocol::Tcp, 80, 9000);
        let service = lab.service(spec).unwrap();
        let servers = [lab.node(1).pod("near").unwrap(), lab.node(2).pod("far").unwrap()];
        servers.iter().for_each(|server| server.serve_bulk(9000).unwrap());
        for offloads in Offloads::ALL {
            lab.set_offloads(offloads).unwrap();
            // The whole gigabyte once for each setting; less for the other paths through the same code.
            let cases = [
                (&servers[1], Family::V4, Way::Up, GIGABYTE),
                (&servers[1], Family::V6, Way::Down, GIGABYTE / 10),
                (&servers[0], Family::V6, Way::Up, GIGABYTE / 10),
                (&servers[0], Family::V4, Way::Down, GIGABYTE / 10),
            ];
            for (server, family, way, bytes) in cases {
                println!(
                    "{bytes} bytes {way:?} to {} over {family}, offloads {offloads:?}",
                    server.name()
                );
                lead(&lab, &service, &[server.ready()]);
                let (sent, received) = client.bulk(service.at(family, 80), way, bytes).unwrap();
                assert_eq!((received.bytes, received), (bytes, sent));
            }
        }
    }
}
