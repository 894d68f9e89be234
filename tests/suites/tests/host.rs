// SPDX-License-Identifier: MIT OR Apache-2.0
//! The case table through the host build of the decisions. Needs nothing.

use dataplane::model::Family;
use suites::cases::{all, play};
use suites::host::Host;

#[test]
fn every_case_holds_on_the_host() {
    for family in Family::ALL {
        for case in all(family) {
            play(&case, &mut Host::default());
        }
    }
}
