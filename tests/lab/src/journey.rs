// SPDX-License-Identifier: MIT OR Apache-2.0
//! One packet's way through the cluster, from what was captured, with the places where it was rewritten.

use std::net::SocketAddr;

use crate::capture::{Seen, Way};
use crate::packet::Packet;

/// A packet followed by what it carries, which no address rewriting changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journey {
    pub hops: Vec<Hop>,
}

/// The packet at one device, as the tap there saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    pub place: String,
    pub device: String,
    pub way: Way,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// What the tc hook of this device did to it: after the tap when coming in, before it when going out.
    pub rewrite: Option<Rewrite>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewrite {
    /// At tc ingress.
    Destination { from: SocketAddr, to: SocketAddr },
    /// At tc egress.
    Source { from: SocketAddr, to: SocketAddr },
}

impl Journey {
    /// Follows the first packet whose content is wanted.
    #[must_use]
    pub fn follow(seen: &[Seen], wanted: impl Fn(&Packet) -> bool) -> Self {
        let mut packets = seen.iter().filter_map(|seen| Some((seen, seen.packet()?)));
        let Some((first, packet)) = packets.find(|(_, packet)| wanted(packet)) else {
            return Self { hops: Vec::new() };
        };
        let same =
            packets.filter(|(_, other)| other.layer == packet.layer && other.payload == packet.payload);
        let mut hops: Vec<_> = same.map(|(seen, packet)| Hop::new(seen, &packet)).collect();
        hops.insert(0, Hop::new(first, &packet));
        // A second copy at the same tap is a retransmission: not this packet's way.
        let mut known = Vec::new();
        hops.retain(|hop| {
            let tap = (hop.place.clone(), hop.device.clone(), hop.way);
            let new = !known.contains(&tap);
            known.push(tap);
            new
        });
        note_rewrites(&mut hops);
        Self { hops }
    }

    #[must_use]
    pub fn rewrites(&self) -> Vec<Rewrite> {
        self.hops.iter().filter_map(|hop| hop.rewrite).collect()
    }

    /// The places passed, each once, in order.
    #[must_use]
    pub fn places(&self) -> Vec<&str> {
        let mut places: Vec<_> = self.hops.iter().map(|hop| hop.place.as_str()).collect();
        places.dedup();
        places
    }
}

impl Hop {
    fn new(seen: &Seen, packet: &Packet) -> Self {
        let (place, device) = (seen.place.clone(), seen.device.clone());
        let (source, destination) = (packet.source, packet.destination);
        Self {
            place,
            device,
            way: seen.way,
            source,
            destination,
            rewrite: None,
        }
    }
}

/// Between an incoming tap and the next tap in the same namespace lie the first device's ingress hook, the
/// routing, and (if the next tap is outgoing) the next device's egress hook. Where the packet went shows that
/// the destination was changed before the routing; a source is changed after it.
fn note_rewrites(hops: &mut [Hop]) {
    for index in 1..hops.len() {
        let [.., before, after] = &mut hops[..=index] else {
            continue;
        };
        if before.place != after.place {
            continue;
        }
        if before.destination != after.destination {
            before.rewrite = Some(Rewrite::Destination {
                from: before.destination,
                to: after.destination,
            });
        }
        if before.source != after.source {
            after.rewrite = Some(Rewrite::Source {
                from: before.source,
                to: after.source,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(place: &str, device: &str, way: Way, source: &str, destination: &str) -> Hop {
        Hop {
            place: place.to_owned(),
            device: device.to_owned(),
            way,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            rewrite: None,
        }
    }

    #[test]
    fn a_changed_destination_is_the_ingress_hooks_work_and_a_changed_source_the_egress_hooks() {
        let (client, vip, backend) = ("10.244.1.2:4000", "10.96.0.20:80", "10.244.1.3:8080");
        let mut request = [
            hop("client", "eth0", Way::Out, client, vip),
            hop("node1", "veth1", Way::In, client, vip),
            hop("node1", "veth2", Way::Out, client, backend),
        ];
        let mut reply = [
            hop("node1", "veth2", Way::In, backend, client),
            hop("node1", "veth1", Way::Out, vip, client),
            hop("client", "eth0", Way::In, vip, client),
        ];

        note_rewrites(&mut request);
        note_rewrites(&mut reply);

        let (from, to) = (vip.parse().unwrap(), backend.parse().unwrap());
        assert_eq!(
            request.map(|hop| hop.rewrite),
            [None, Some(Rewrite::Destination { from, to }), None]
        );
        assert_eq!(
            reply.map(|hop| hop.rewrite),
            [None, Some(Rewrite::Source { from: to, to: from }), None]
        );
    }
}
