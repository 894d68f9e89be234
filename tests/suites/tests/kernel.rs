// SPDX-License-Identifier: MIT OR Apache-2.0
//! The case table through the loaded kernel programs (BPF_PROG_TEST_RUN).

use std::collections::BTreeSet;

use dataplane::model::Family;
use dataplane_common::{Outcome, Verdict};
use suites::cases::{Machine as _, all, play};
use suites::host::Host;
use suites::kernel::Kernel;
use suites::packet::describe;
use suites::random::{Random, packet, world};

#[test]
#[ignore = "needs root"]
fn every_case_holds_in_the_kernel_and_comes_out_as_on_the_host() {
    let mut kernel = Kernel::load();
    for family in Family::ALL {
        for case in all(family) {
            if case.longest_age() >= kernel.uptime() {
                eprintln!(
                    "*** SKIPPED: the machine is younger than the flows of: {} ***",
                    case.name
                );
                continue;
            }
            kernel.reset();
            let (here, there) = (play(&case, &mut Host::default()), play(&case, &mut kernel));
            assert_eq!(here.len(), there.len());
            for ((outcome, on_host), (_, in_kernel)) in here.iter().zip(&there) {
                if outcome.verdict() != Verdict::Drop {
                    assert_eq!(on_host, in_kernel, "{} ({family}): {outcome:?}", case.name);
                }
            }
        }
    }
}

/// The figures are those of docs/adr/0003.
#[test]
#[ignore = "needs root"]
fn programs_stay_well_within_what_the_verifier_follows() {
    for (name, instructions) in Kernel::load().verified() {
        eprintln!("{name}: {instructions} instructions verified");
        assert!(instructions < 700_000, "{name} comes near the limit of a million");
    }
}

/// Each packet's outcome and bytes must be those of the host build. The host's clock stands still and
/// the kernel's does not: so all begins anew before the shortest-lived flow (10 s) can end.
#[test]
#[ignore = "needs root"]
fn random_packets_come_out_as_on_the_host() {
    const PACKETS: usize = 20_000;
    let mut random = Random(20_261_123);
    let mut kernel = Kernel::load();
    let mut host = Host::default();
    let mut seen = BTreeSet::new();
    for number in 0..PACKETS {
        if number % 250 == 0 {
            kernel.reset();
            host = Host::default();
        }
        if number % 50 == 0 {
            let world = world(&mut random);
            kernel.set(&world);
            host.set(&world);
        }
        let (at, packet) = packet(&mut random);
        let (outcome, bytes) = kernel.run(at, &packet);
        // The budget of answers follows the clock.
        host.refill();
        let (expected, expected_bytes) = host.run(at, &packet);
        if outcome == Outcome::RejectLimited {
            continue;
        }
        let told = format!("packet {number} at {at:?}: {}", describe(&packet));
        assert_eq!(outcome, expected, "{told}");
        if outcome.verdict() != Verdict::Drop {
            assert_eq!(
                bytes,
                expected_bytes,
                "{told}: {} and {}",
                describe(&bytes),
                describe(&expected_bytes)
            );
        }
        seen.insert(outcome.as_str());
    }
    eprintln!("{PACKETS} packets, outcomes met: {seen:?}");
    assert!(seen.len() > 12, "too few outcomes met: {seen:?}");
}
