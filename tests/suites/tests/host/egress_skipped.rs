// SPDX-License-Identifier: MIT OR Apache-2.0
//! What ingress translated and egress need not look at, on the host build of the decisions: a kernel's test run has
//! no place for the mark. That real packets carry it, the lab tells (`lab/path.rs`).

use dataplane::model::Family;
use dataplane_common::NextHop;
use dataplane_common::Outcome::{self, EgressSkipped, NewFlow, NotOurs, Translated};
use suites::packet::{Packet, udp};
use suites::setup::{At, Setup};

use crate::one_pod::OnePod;

impl OnePod {
    /// How a packet ends, and whether it goes on with the mark.
    fn goes_on(&mut self, at: At, packet: &Packet, marked: bool) -> (Outcome, bool) {
        let (outcome, packet) = self.host.run_on(at, &packet.bytes(), marked);
        (outcome, packet.marked)
    }
}

fn in_both_families(test: impl Fn(Family)) {
    Family::ALL.into_iter().for_each(test);
}

#[test]
fn egress_passes_what_ingress_translated_and_takes_the_mark_away() {
    in_both_families(|family| {
        let mut bench = OnePod::new(family, |setup| setup);
        let request = bench.request();
        assert_eq!(bench.goes_on(At::PodIngress, &request, false), (NewFlow, false));
        assert_eq!(bench.goes_on(At::PodIngress, &request, false), (Translated, true));
        let translated = udp(bench.names.client(40_000), bench.names.pod(1, 8080));
        assert_eq!(
            bench.goes_on(At::PodEgress, &translated, true),
            (EgressSkipped, false)
        );
        assert_eq!(bench.goes_on(At::PodEgress, &translated, false), (NotOurs, false));
    });
}

#[test]
fn marks_of_other_programs_are_ignored() {
    in_both_families(|family| {
        let mut bench = OnePod::new(family, |setup| setup);
        let request = bench.request();
        assert_eq!(bench.goes_on(At::PodIngress, &request, true), (NewFlow, false));
        let reply = bench.reply();
        assert_eq!(bench.goes_on(At::PodIngress, &reply, true), (NotOurs, false));
        assert_eq!(bench.goes_on(At::PodEgress, &reply, false), (Translated, false));
    });
}

#[test]
fn packets_that_egress_must_rewrite_have_no_mark() {
    in_both_families(|family| {
        let mut bench = OnePod::new(family, Setup::masquerading_all);
        let request = bench.request();
        assert_eq!(bench.goes_on(At::PodIngress, &request, false), (NewFlow, false));
        assert_eq!(
            bench.goes_on(At::PodIngress, &request, false),
            (Translated, false)
        );
    });
}

#[test]
fn packets_on_the_fast_path_into_a_pod_have_no_mark() {
    in_both_families(|family| {
        let mut bench = OnePod::new(family, Setup::with_fast_path);
        let request = bench.request();
        let reply = bench.reply();
        assert_eq!(bench.goes_on(At::PodIngress, &request, false), (NewFlow, false));
        assert_eq!(bench.goes_on(At::PodEgress, &reply, false), (Translated, false));
        let pod = NextHop {
            device: 7,
            peer: 1,
            ..NextHop::default()
        };
        bench.host.route(bench.names.pod(1, 8080).ip(), pod);
        assert_eq!(
            bench.goes_on(At::PodIngress, &request, false),
            (Outcome::FastPath, false)
        );
    });
}
