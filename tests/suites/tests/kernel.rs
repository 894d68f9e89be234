// SPDX-License-Identifier: MIT OR Apache-2.0
//! The case table through the loaded kernel programs (BPF_PROG_TEST_RUN).

use dataplane::model::Family;
use suites::cases::{all, play};
use suites::host::Host;
use suites::kernel::Kernel;

#[test]
#[ignore = "needs root"]
fn every_case_holds_in_the_kernel_and_comes_out_as_on_the_host() {
    let mut kernel = Kernel::load();
    for family in Family::ALL {
        for case in all(family) {
            kernel.reset();
            let (here, there) = (play(&case, &mut Host::default()), play(&case, &mut kernel));
            assert_eq!(here.len(), there.len());
            for ((outcome, on_host), (_, in_kernel)) in here.iter().zip(&there) {
                if outcome.verdict() != dataplane_common::Verdict::Drop {
                    assert_eq!(on_host, in_kernel, "{} ({family}): {outcome:?}", case.name);
                }
            }
        }
    }
}
