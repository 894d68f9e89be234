// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mark that ingress leaves on packets, on the host build of the decisions: a kernel's test run has no place for it.
//! That real packets carry it, the lab shows (`lab/path.rs`, `lab/frames.rs`).

use dataplane::model::{Family, Protocol};
use dataplane_common::Outcome::{
    self, AlreadyTranslated, EgressSkipped, FragmentTranslated, MasqueradeLost, Masqueraded, NewFlow,
    NotOurs, Translated,
};
use dataplane_common::{Hook, Mark, NextHop};
use suites::cases::Datapath as _;
use suites::packet::{Packet, tcp, udp};
use suites::packet_variants::fragments;
use suites::setup::{At, Setup};

use crate::one_pod::OnePod;

const MARKS: [Mark; 3] = [Mark::Done, Mark::Translated, Mark::Masquerade];

impl OnePod {
    /// How a packet ends, and the mark with which it goes on.
    fn goes_on(&mut self, at: At, packet: &Packet, mark: Option<Mark>) -> (Outcome, Option<Mark>) {
        self.frame_goes_on(at, &packet.bytes(), mark)
    }

    fn frame_goes_on(&mut self, at: At, frame: &[u8], mark: Option<Mark>) -> (Outcome, Option<Mark>) {
        let (outcome, packet) = self.host.run_on(at, frame, mark);
        (outcome, packet.mark)
    }

    /// The request as the pod gets it.
    fn translated(&self) -> Packet {
        udp(self.names.client(40_000), self.names.pod(1, 8080))
    }
}

fn in_both_families(test: impl Fn(Family)) {
    Family::ALL.into_iter().for_each(test);
}

#[test]
fn egress_passes_what_ingress_translated_and_takes_the_mark_away() {
    in_both_families(|family| {
        let mut bench = OnePod::new(family, |setup| setup);
        let (request, translated) = (bench.request(), bench.translated());
        let first = Some(Mark::Translated);
        assert_eq!(bench.goes_on(At::PodIngress, &request, None), (NewFlow, first));
        assert_eq!(bench.goes_on(At::PodEgress, &translated, first), (NotOurs, None));
        let done = Some(Mark::Done);
        assert_eq!(bench.goes_on(At::PodIngress, &request, None), (Translated, done));
        assert_eq!(
            bench.goes_on(At::PodEgress, &translated, done),
            (EgressSkipped, None)
        );
        assert_eq!(bench.goes_on(At::PodEgress, &translated, None), (NotOurs, None));
        let reply = bench.reply();
        assert_eq!(bench.goes_on(At::PodIngress, &reply, None), (NotOurs, None));
        assert_eq!(bench.goes_on(At::PodEgress, &reply, None), (Translated, None));
    });
}

#[test]
fn a_second_ingress_passes_a_marked_packet_with_its_mark() {
    in_both_families(|family| {
        for change in [|setup| setup, Setup::masquerading_all] {
            let mut bench = OnePod::new(family, change);
            let request = bench.request();
            let (outcome, mark) = bench.goes_on(At::UplinkIngress, &request, None);
            assert_eq!(outcome, NewFlow);
            assert!(mark.is_some());
            let flows = bench.host.flows();
            let (packets, replies) = ([bench.translated(), request], bench.reply());
            for mark in MARKS.map(Some) {
                for packet in packets.iter().chain([&replies]) {
                    for at in [At::UplinkIngress, At::PodIngress] {
                        let passed = bench.goes_on(at, packet, mark);
                        assert_eq!(passed, (AlreadyTranslated, mark));
                    }
                }
            }
            assert_eq!(bench.host.flows(), flows);
        }
    });
}

/// What a pod gains by a mark of its own: nothing. Its packet to a VIP stays what it is, and its answer is its own.
#[test]
fn a_mark_of_a_pods_own_leaves_its_packets_as_they_are() {
    in_both_families(|family| {
        let mut bench = OnePod::new(family, |setup| setup);
        let request = bench.request();
        for mark in MARKS.map(Some) {
            let (outcome, packet) = bench.host.run_on(At::PodIngress, &request.bytes(), mark);
            assert_eq!((outcome, packet.bytes), (AlreadyTranslated, request.bytes()));
        }
        assert_eq!(bench.host.flows(), 0);
    });
}

#[test]
fn a_syn_on_its_second_way_in_is_recognised_without_a_mark() {
    in_both_families(|family| {
        let mut bench = OnePod::new(family, |setup| setup);
        let names = bench.names;
        let (client, vip, pod) = (names.client(40_000), names.vip(2, 80), names.pod(1, 8080));
        bench
            .host
            .set(&Setup::default().service(vip, Protocol::Tcp, &[pod]));
        let syn = |to| tcp("S", client, to);
        assert_eq!(bench.goes_on(At::UplinkIngress, &syn(vip), None).0, NewFlow);
        assert_eq!(
            bench.goes_on(At::PodIngress, &syn(pod), None),
            (AlreadyTranslated, None)
        );
        // Another connection, past the Service.
        let other = syn(pod).numbers(77, 0);
        assert_eq!(bench.goes_on(At::PodIngress, &other, None).0, Outcome::PlainMoved);
    });
}

#[test]
fn a_masqueraded_packet_without_its_entry_does_not_leave() {
    in_both_families(|family| {
        let mut bench = OnePod::new(family, Setup::masquerading_all);
        let (request, translated) = (bench.request(), bench.translated());
        let names = bench.names;
        let mark = Some(Mark::Masquerade);
        assert_eq!(bench.goes_on(At::PodIngress, &request, None), (NewFlow, mark));
        assert_eq!(
            bench.goes_on(At::PodEgress, &translated, mark),
            (Masqueraded, None)
        );
        assert_eq!(bench.goes_on(At::PodIngress, &request, None), (Translated, mark));
        assert_eq!(
            bench.goes_on(At::PodEgress, &translated, mark),
            (Translated, None)
        );
        bench
            .host
            .evict(Hook::Egress, Protocol::Udp, translated.src, translated.dst);
        assert_eq!(bench.goes_on(At::PodIngress, &request, None), (Translated, mark));
        assert_eq!(
            bench.goes_on(At::PodEgress, &translated, mark),
            (MasqueradeLost, None)
        );
        // A CNI has masqueraded it, at POSTROUTING.
        bench
            .host
            .set(&Setup::default().own(names.node(0).ip(), false).masquerading_all());
        let by_cni = udp(names.node(5_000), translated.dst);
        assert_eq!(bench.goes_on(At::PodEgress, &by_cni, mark), (NotOurs, None));
    });
}

#[test]
fn a_later_fragment_does_not_leave_where_the_first_did_not() {
    in_both_families(|family| {
        let mut bench = OnePod::new(family, Setup::masquerading_all);
        let (client, names) = (bench.names.client(40_000), bench.names);
        let big = |to| fragments(&udp(client, to).carrying(&[7; 3000]).bytes(), 9, 1400);
        let (came, left) = (big(names.vip(1, 80)), big(names.pod(1, 8080)));
        let mark = Some(Mark::Masquerade);
        assert_eq!(
            bench.frame_goes_on(At::PodIngress, &came[0], None),
            (NewFlow, mark)
        );
        assert_eq!(
            bench.frame_goes_on(At::PodIngress, &came[1], None),
            (FragmentTranslated, mark)
        );
        // The first was dropped on the way.
        assert_eq!(
            bench.frame_goes_on(At::PodEgress, &left[1], mark),
            (MasqueradeLost, None)
        );
        assert_eq!(
            bench.frame_goes_on(At::PodEgress, &left[0], mark),
            (Masqueraded, None)
        );
        assert_eq!(
            bench.frame_goes_on(At::PodEgress, &left[2], mark),
            (FragmentTranslated, None)
        );
    });
}

#[test]
fn packets_on_the_fast_path_into_a_pod_have_no_mark() {
    in_both_families(|family| {
        let mut bench = OnePod::new(family, Setup::with_fast_path);
        let request = bench.request();
        let reply = bench.reply();
        assert_eq!(bench.goes_on(At::PodIngress, &request, None).0, NewFlow);
        assert_eq!(bench.goes_on(At::PodEgress, &reply, None), (Translated, None));
        let pod = NextHop {
            device: 7,
            peer: 1,
            ..NextHop::default()
        };
        bench.host.route(bench.names.pod(1, 8080).ip(), pod);
        assert_eq!(
            bench.goes_on(At::PodIngress, &request, None),
            (Outcome::FastPath, None)
        );
    });
}
