// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel's own maps hold after a Service has become another, read back.

use dataplane::index::Settings;
use dataplane::index::testing::changes::every_change;
use dataplane::plan::testing::{contents, sizes};
use dataplane::plan::{KernelState, Maps, diff};
use suites::control::Control;
use suites::kernel::Kernel;

#[test]
#[ignore = "needs root"]
fn every_change_of_type_leaves_in_the_kernel_what_a_fresh_start_would() {
    let (mut kernel, mut other) = (Kernel::load(), Kernel::load());
    for change in every_change() {
        println!("{change}");
        empty(kernel.maps());
        let mut changed = Control::start(Settings::default(), kernel.maps(), change.before());
        changed.follow(change.event());
        let changed = changed.held();

        empty(other.maps());
        let fresh = Control::start(Settings::default(), other.maps(), change.after());
        let fresh = fresh.held();
        assert_eq!(contents(&changed), contents(&fresh));
        assert_eq!(sizes(&changed), sizes(&fresh));
    }
}

/// The tables are not emptied in between: each change starts with the ids and the order that the changes before it left.
#[test]
#[ignore = "needs root"]
fn an_agent_that_starts_after_a_change_finds_nothing_to_do_in_the_kernel() {
    let mut kernel = Kernel::load();
    for change in every_change() {
        println!("{change}");
        let mut changed = Control::start(Settings::default(), kernel.maps(), change.before());
        changed.follow(change.event());
        let left = changed.held();
        let restarted = Control::start(Settings::default(), kernel.maps(), change.after());
        assert_eq!(restarted.held(), left);
    }
}

/// Takes everything away, whoever put it there.
fn empty(maps: &mut impl Maps) {
    let held = maps.load().unwrap_or_else(|error| panic!("{error}"));
    for op in diff(&KernelState::default(), &held) {
        maps.apply(&op).unwrap_or_else(|error| panic!("{op}: {error}"));
    }
    let left = maps.load().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(left, KernelState::default());
}
