// SPDX-License-Identifier: MIT OR Apache-2.0
//! The case table through the host build of the decisions, and what a kernel's test run has no place for. Needs nothing.

mod fast_path;
mod marks;
mod one_pod;

use dataplane::model::Family;
use suites::cases::{all, play};
use suites::host::Host;
use suites::upstream;

#[test]
fn every_case_holds_on_the_host() {
    for family in Family::ALL {
        for case in all(family) {
            play(&case, &mut Host::default());
        }
    }
}

#[test]
fn every_packet_of_upstreams_tables_ends_as_upstream_expects_on_the_host() {
    for table in upstream::all() {
        upstream::check(&table, &mut Host::default());
    }
    assert!(upstream::rows() >= 200, "{} rows", upstream::rows());
}

#[test]
fn every_call_of_upstreams_tables_ends_as_upstream_expects() {
    let tables = upstream::all().into_iter();
    let calls: usize = tables
        .map(|table| upstream::check_calls(&table, &mut Host::default()))
        .sum();
    assert!(calls >= 40, "{calls} calls");
}
