// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Service that changes its type, ports, protocol or existence leaves nothing behind. (The suites drive the kernel's
//! own maps through the same changes.)

use std::collections::BTreeSet;

use super::*;
use crate::index::testing::changes::every_change;
use crate::plan::testing::sizes;

#[tokio::test(start_paused = true)]
async fn every_change_of_type_leaves_what_a_fresh_start_would() {
    let mut never_filled: BTreeSet<String> = sizes(&KernelState::default()).into_keys().collect();
    for change in every_change() {
        let bench = Bench::start(SharedMaps::new(MemoryMaps::default()));
        bench.settle(change.before()).await;
        bench.settle(change.event().into_iter().collect()).await;

        let fresh = Bench::start(SharedMaps::new(MemoryMaps::default()));
        fresh.settle(change.after()).await;
        let (changed, fresh) = (bench.maps.state(), fresh.maps.state());
        assert_eq!(contents(&changed), contents(&fresh), "{change}");
        assert_eq!(sizes(&changed), sizes(&fresh), "{change}");
        never_filled.retain(|table| sizes(&fresh)[table] == 0);
    }
    assert_eq!(
        never_filled,
        BTreeSet::new(),
        "no change could leave anything there"
    );
}
