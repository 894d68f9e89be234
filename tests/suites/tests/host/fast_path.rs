// SPDX-License-Identifier: MIT OR Apache-2.0
//! Established flows past the stack, on the host build of the decisions: a kernel's test run has no routes.

use dataplane::model::Family;
use dataplane_common::{NextHop, Outcome, Outcome::Translated};
use suites::cases::Datapath as _;
use suites::packet::{Packet, is_sound, udp};
use suites::setup::{At, Setup};

use crate::one_pod::OnePod;

/// Into a pod.
const POD: NextHop = NextHop {
    device: 7,
    peer: 1,
    family: 0,
    neighbour: [0; 4],
    link: [0x0a, 0x0b, 0x0c, 0x1a, 0x1b, 0x1c],
};
/// To a neighbour.
const NEIGHBOUR: NextHop = NextHop {
    device: 9,
    peer: 0,
    ..POD
};
const ETHERNET: usize = 14;

impl OnePod {
    /// Where established flows go past the stack.
    fn directly(family: Family, change: impl Fn(Setup) -> Setup) -> Self {
        Self::new(family, |setup| change(setup.with_fast_path()))
    }

    /// The first packet of each side, by the stack.
    fn establish(&mut self) {
        assert_eq!(
            self.host.run(At::PodIngress, &self.request().bytes()).0,
            Outcome::NewFlow
        );
        assert_eq!(self.host.run(At::PodEgress, &self.reply().bytes()).0, Translated);
        assert_eq!(self.host.handed(), []);
    }

    fn ends(&mut self, at: At, packet: &Packet) -> (Outcome, Vec<u8>, Vec<NextHop>) {
        let (outcome, bytes) = self.host.run(at, &packet.bytes());
        (outcome, bytes, self.host.handed())
    }

    /// Where the hops are in a frame.
    fn hops(&self) -> usize {
        ETHERNET + if self.names.family == Family::V4 { 8 } else { 7 }
    }

    /// Asserts that a frame is this packet with a hop less, for the pod's own link-layer address or as it was.
    #[track_caller]
    fn assert_sent(&self, frame: &[u8], packet: &Packet, hop: NextHop) {
        let mut wanted = packet.bytes();
        let at = self.hops();
        assert_eq!(frame[at], wanted[at] - 1);
        assert!(is_sound(frame));
        wanted[at] -= 1;
        // Of a sound header, the checksum is what the rest makes it.
        if self.names.family == Family::V4 {
            wanted[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&frame[ETHERNET + 10..ETHERNET + 12]);
        }
        let link = hop.link.map(u16::to_ne_bytes);
        wanted[..12].copy_from_slice(link.as_flattened());
        assert_eq!(frame, wanted);
    }
}

#[test]
fn both_sides_of_a_flow_between_pods_go_into_the_pod_translated() {
    for family in Family::ALL {
        let mut bench = OnePod::directly(family, |setup| setup);
        let (client, vip, pod) = (
            bench.names.client(40_000),
            bench.names.vip(1, 80),
            bench.names.pod(1, 8080),
        );
        bench.host.route(client.ip(), POD);
        bench.host.route(pod.ip(), POD);
        bench.establish();
        for (packet, becomes) in [
            (bench.request(), udp(client, pod)),
            (bench.reply(), udp(vip, client)),
        ] {
            let (outcome, frame, handed) = bench.ends(At::PodIngress, &packet);
            assert_eq!((outcome, handed), (Outcome::FastPath, vec![POD]));
            bench.assert_sent(&frame, &becomes, POD);
        }
    }
}

#[test]
fn a_reply_to_a_neighbour_is_left_to_the_egress() {
    for family in Family::ALL {
        let mut bench = OnePod::directly(family, |setup| setup);
        bench.host.route(bench.names.client(0).ip(), NEIGHBOUR);
        bench.establish();
        let reply = bench.reply();
        let (outcome, frame, handed) = bench.ends(At::PodIngress, &reply);
        assert_eq!((outcome, handed), (Outcome::FastPath, vec![NEIGHBOUR]));
        bench.assert_sent(&frame, &reply, NEIGHBOUR);
        assert_eq!(bench.ends(At::UplinkEgress, &reply).0, Translated);
    }
}

#[test]
fn packets_without_a_route_an_answer_or_a_hop_left_go_to_the_stack() {
    for family in Family::ALL {
        let mut bench = OnePod::directly(family, |setup| setup);
        let (request, reply) = (bench.request(), bench.reply());
        bench.establish();
        assert_eq!(bench.ends(At::PodIngress, &request).0, Translated, "no route");
        assert_eq!(bench.ends(At::PodIngress, &reply).0, Outcome::NotOurs, "no route");

        bench.host.route(bench.names.pod(1, 0).ip(), POD);
        let mut last = request.bytes();
        last[bench.hops()] = 1;
        assert_eq!(
            bench.host.run(At::PodIngress, &last).0,
            Translated,
            "the last hop"
        );
        let unanswered = udp(bench.names.client(40_001), request.dst);
        for outcome in [Outcome::NewFlow, Translated] {
            assert_eq!(bench.ends(At::PodIngress, &unanswered).0, outcome);
        }
        assert_eq!(bench.host.handed(), []);
    }
}

#[test]
fn masqueraded_packets_go_through_the_egress_hook() {
    for family in Family::ALL {
        let mut bench = OnePod::directly(family, |setup| setup.masquerading_all().ports(61_000, 1));
        let (client, pod) = (bench.names.client(40_000), bench.names.pod(1, 8080));
        bench.host.route(client.ip(), POD);
        bench.host.route(pod.ip(), POD);
        let request = bench.request();
        assert_eq!(bench.ends(At::PodIngress, &request).0, Outcome::NewFlow);
        assert_eq!(
            bench.ends(At::PodEgress, &udp(client, pod)).0,
            Outcome::Masqueraded
        );
        let node = bench.names.node(61_000);
        assert_eq!(bench.ends(At::PodIngress, &udp(pod, node)).0, Translated);
        assert_eq!(bench.ends(At::PodEgress, &udp(pod, client)).0, Translated);
        // Established by now, and there are routes into both pods.
        assert_eq!(bench.ends(At::PodIngress, &request).0, Translated);
        assert_eq!(bench.ends(At::PodIngress, &udp(pod, node)).0, Translated);
        assert_eq!(bench.host.handed(), []);
        bench.host.route(pod.ip(), NEIGHBOUR);
        assert_eq!(bench.ends(At::PodIngress, &request).0, Outcome::FastPath);
    }
}
