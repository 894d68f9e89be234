// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a name to a VIP, and from a VIP to a pod and back, packet by packet.

use std::net::IpAddr;

use crate::addresses::Family;
use crate::capture::{Capture, Way};
use crate::error::Result;
use crate::journey::{Hop, Journey, Rewrite};
use crate::lookup::Found;
use crate::packet::Packet;
use crate::pod::Pod;
use crate::service::Protocol;

use super::expect;
use super::screen::{Screen, Tone};
use super::stage::{NAME, PORT, Stage};

pub(super) fn name_to_vip(stage: &Stage, screen: &Screen) -> Result<()> {
    screen.chapter("A name becomes a VIP");
    for family in Family::ALL {
        let vip = stage.httpd.vip().get(family);
        for over in Protocol::ALL {
            let server = stage.dns.at(family, 53);
            let found = stage
                .client
                .talk()
                .look_up(server, &format!("{NAME}."), family, over)?;
            expect(found == Found::Addresses(vec![vip]), || {
                format!("{server} over {over:?}: {found:?}")
            })?;
        }
        let (server, vip) = (stage.dns.vip().get(family).to_string(), vip.to_string());
        screen.row(
            &[4, 34, 4, 14],
            &[
                "name",
                NAME,
                "is",
                &vip,
                &format!("says {server} over UDP and TCP"),
            ],
            None,
        );
    }
    Ok(())
}

pub(super) fn journeys(stage: &Stage, screen: &Screen) -> Result<()> {
    let server = stage.the_replica()?;
    screen.chapter("A request through the VIP, client and pod on one node");
    journey(stage, &stage.client, server, screen)?;
    screen.chapter("The same from the other node");
    journey(stage, &stage.other_client, server, screen)
}

fn journey(stage: &Stage, client: &Pod, server: &Pod, screen: &Screen) -> Result<()> {
    let vip = stage.httpd.at(Family::V4, PORT);
    let nodes = stage.lab.nodes().iter().map(crate::node::Node::netns);
    let capture = Capture::start(nodes.chain([client.netns(), server.netns()]))?;
    let fetched = client.fetch(vip);
    let seen = capture.stop()?;
    let (page, _) = fetched?;
    let own = client.ip(Family::V4);
    expect(page.client.ip() == own, || {
        format!("the pod saw {} instead of {own}", page.client)
    })?;

    let request = Journey::follow(&seen, |packet| carries(packet, own, b"GET "));
    let reply = Journey::follow(&seen, |packet| carries(packet, server.ip(Family::V4), b"HTTP/1."));
    let expected = [Rewrite::Destination {
        from: vip,
        to: server.at(Family::V4, 8080),
    }];
    expect(request.rewrites() == expected, || {
        format!("the request's way was {request:#?}")
    })?;
    let expected = [Rewrite::Source {
        from: server.at(Family::V4, 8080),
        to: vip,
    }];
    expect(reply.rewrites() == expected, || {
        format!("the reply's way was {reply:#?}")
    })?;

    screen.say("request: GET / HTTP/1.0");
    request.hops.iter().for_each(|hop| show(hop, screen));
    screen.say(&format!(
        "reply: HTTP/1.0 200 OK, from {} {}",
        page.pod, page.version
    ));
    reply.hops.iter().for_each(|hop| show(hop, screen));
    Ok(())
}

fn carries(packet: &Packet, source: IpAddr, start: &[u8]) -> bool {
    packet.source.ip() == source && packet.payload.starts_with(start)
}

/// A hook's work is printed where it happens: after the tap of a device for incoming packets, before it for
/// outgoing ones.
fn show(hop: &Hop, screen: &Screen) {
    let widths = [10, 12, 3];
    let rewrite = match hop.rewrite {
        Some(Rewrite::Destination { from, to }) => Some(format!("tc ingress: dst {from} => {to}")),
        Some(Rewrite::Source { from, to }) => Some(format!("tc egress: src {from} => {to}")),
        None => None,
    };
    let changed = |text: &String| screen.row(&widths, &["", "", "", text], Some(Tone::Changed));
    let way = if hop.way == Way::In { "in" } else { "out" };
    let packet = format!("{} -> {}", hop.source, hop.destination);
    if hop.way == Way::Out {
        rewrite.iter().for_each(changed);
    }
    screen.row(&widths, &[&hop.place, &hop.device, way, &packet], None);
    if hop.way == Way::In {
        rewrite.iter().for_each(changed);
    }
}
