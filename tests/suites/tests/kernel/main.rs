// SPDX-License-Identifier: MIT OR Apache-2.0
//! The case table through the loaded kernel programs (BPF_PROG_TEST_RUN), and random packets beside the host build.

#![expect(clippy::panic, reason = "test code fails loudly")]

mod changes;

use std::collections::BTreeMap;

use dataplane::model::{Family, Protocol};
use dataplane_common::{Outcome, Verdict};
use suites::cases::{Datapath as _, all, play};
use suites::host::Host;
use suites::kernel::Kernel;
use suites::packet::{Packet, describe, tcp, udp};
use suites::random::{Random, Traffic, setup};
use suites::setup::{At, Names, Setup};
use suites::upstream;

#[test]
#[ignore = "needs root"]
fn every_case_holds_in_the_kernel_with_the_same_bytes_as_on_the_host() {
    let mut kernel = Kernel::load();
    for family in Family::ALL {
        for case in all(family) {
            if case.duration() >= kernel.uptime() {
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
fn programs_stay_well_below_the_verifiers_limit() {
    for (name, instructions) in Kernel::load().verified() {
        eprintln!("{name}: {instructions} instructions verified");
        assert!(instructions < 850_000, "{name} comes near the limit of a million");
    }
}

#[test]
#[ignore = "needs root"]
fn the_verifier_takes_the_programs_for_socket_calls() {
    Kernel::load().load_sockets();
}

/// Ten times as many flows of each kind as the table for unconfirmed ones holds: of 5,000 DNS lookups a second, on a table
/// of the default size, that is a minute; and every entry of that table has been evicted many times over.
#[test]
#[ignore = "needs root"]
fn no_number_of_lookups_or_half_open_connections_pushes_out_an_idle_connection() {
    let mut kernel = Kernel::load();
    for family in Family::ALL {
        let n = Names { family };
        let (client, vip, pod) = (n.client(40_000), n.vip(1, 80), n.pod(1, 80));
        kernel.reset();
        kernel.set(
            &Setup::default()
                .service(vip, Protocol::Tcp, &[pod])
                .service(vip, Protocol::Udp, &[pod]),
        );
        let mut sees = |at, packet: &Packet, expected| {
            let (outcome, _) = kernel.run(at, &packet.bytes());
            assert_eq!(outcome, expected, "{}", describe(&packet.bytes()));
        };
        sees(
            At::PodIngress,
            &tcp("S", client, vip).numbers(1_000, 0),
            Outcome::NewFlow,
        );
        sees(
            At::PodEgress,
            &tcp("SA", pod, client).numbers(9_000, 1_001),
            Outcome::Translated,
        );
        sees(
            At::PodIngress,
            &tcp("A", client, vip).numbers(1_001, 9_001),
            Outcome::Translated,
        );
        for number in 0..10_240 {
            let other = n.outsider((number / 1_024) as u8, 1_024 + number % 1_024);
            sees(At::UplinkIngress, &udp(other, vip), Outcome::NewFlow);
            sees(At::UplinkEgress, &udp(pod, other), Outcome::Translated);
            sees(At::UplinkIngress, &tcp("S", other, vip), Outcome::NewFlow);
        }
        // The server speaks first.
        sees(
            At::PodEgress,
            &tcp("PA", pod, client).numbers(9_001, 1_001),
            Outcome::Translated,
        );
        sees(
            At::PodIngress,
            &tcp("A", client, vip).numbers(1_001, 9_002),
            Outcome::Translated,
        );
    }
}

#[test]
#[ignore = "needs root"]
fn every_packet_of_upstreams_tables_ends_as_upstream_expects_in_the_kernel() {
    let mut kernel = Kernel::load();
    for table in upstream::all() {
        kernel.reset();
        upstream::check(&table, &mut kernel);
    }
}

/// Each packet's verdict and bytes must be those of the host build, and each batch's outcomes.
///
/// A batch begins with empty tables and a seed of its own, so that it can be repeated by itself:
/// `SHUNT_FUZZ_SEED` is the first batch's seed, `SHUNT_FUZZ_PACKETS` how many packets there are.
#[test]
#[ignore = "needs root"]
fn random_packets_have_the_same_result_in_the_kernel_and_on_the_host() {
    let seed = setting("SHUNT_FUZZ_SEED", 20_261_123);
    let packets = setting("SHUNT_FUZZ_PACKETS", 1_000_000);
    let mut kernel = Kernel::load();
    let mut seen = BTreeMap::new();
    for batch in 0..packets.div_ceil(BATCH) {
        let seed = seed + batch;
        loop {
            match compare(&mut kernel, seed, &mut seen) {
                Ok(Compared::Same) => break,
                Ok(Compared::Undecided) => {}
                Err(difference) => {
                    panic!("{difference}\nAgain: SHUNT_FUZZ_SEED={seed} SHUNT_FUZZ_PACKETS={BATCH}")
                }
            }
        }
    }
    eprintln!("{packets} packets, outcomes met: {seen:?}");
    if packets >= 1_000_000 {
        let never: Vec<_> = Outcome::ALL
            .iter()
            .filter(|outcome| !seen.contains_key(outcome.as_str()) && !NEVER.contains(outcome))
            .collect();
        assert!(never.is_empty(), "never met: {never:?}");
    }
}

/// Packets from one set of empty tables to the next: before all answers of a quiet time are given (1,024).
const BATCH: u64 = 250;
/// Outcomes that need a broken kernel, a table gone wrong, a device without an address, a socket, a
/// route, or a mark that no test run can give a packet (`host/marks.rs` and the lab have that one).
const NEVER: [Outcome; 15] = [
    Outcome::RejectLimited,
    Outcome::RejectFailed,
    Outcome::FlowTableFull,
    Outcome::NoMasqueradeAddress,
    Outcome::BackendMissing,
    Outcome::NoMemory,
    Outcome::RewriteFailed,
    Outcome::OtherNamespace,
    Outcome::LeftToPackets,
    Outcome::ConnectPassed,
    Outcome::AnswerPassed,
    Outcome::FastPath,
    Outcome::EgressSkipped,
    Outcome::AlreadyTranslated,
    Outcome::MasqueradeLost,
];

fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => otherwise,
    }
}

/// Runs one batch through both datapaths.
enum Compared {
    Same,
    /// The kernel's clock went on while a program ran: it is unknown which of the two ticks decided.
    Undecided,
}

fn compare(
    kernel: &mut Kernel,
    seed: u64,
    seen: &mut BTreeMap<&'static str, u64>,
) -> Result<Compared, String> {
    let (mut random, mut traffic) = (Random(seed), Traffic::default());
    let mut host = Host::default();
    let mut counts = BTreeMap::new();
    kernel.reset();
    kernel.refill();
    let before = kernel.outcomes();
    for number in 0..BATCH {
        if number % 50 == 0 {
            let setup = setup(&mut random);
            kernel.set(&setup);
            host.set(&setup);
        }
        let (at, packet) = traffic.packet(&mut random);
        let now = Kernel::now();
        let (verdict, bytes) = kernel.verdict(at, &packet);
        if Kernel::now() != now {
            return Ok(Compared::Undecided);
        }
        host.set_clock(now);
        let (expected, wanted) = host.run(at, &packet);
        let context = || tell(number, at, &packet, expected, &wanted, &bytes);
        if verdict != expected.verdict() {
            return Err(format!("{}\n{verdict:?} in the kernel", context()));
        }
        if verdict != Verdict::Drop && bytes != wanted {
            return Err(context());
        }
        if verdict == Verdict::Next && (bytes != packet || number % 8 == 0) {
            traffic.saw(at, &packet, &wanted);
        }
        *counts.entry((hook(at), expected.as_str())).or_default() += 1;
        *seen.entry(expected.as_str()).or_default() += 1;
    }
    let after = kernel.outcomes();
    let counted: BTreeMap<_, u64> = after
        .iter()
        .map(|(name, count)| (*name, count - before[name]))
        .filter(|(_, count)| *count > 0)
        .collect();
    if counted == counts {
        return Ok(Compared::Same);
    }
    Err(format!(
        "counted in the kernel: {counted:?}\non the host: {counts:?}"
    ))
}

fn hook(at: At) -> &'static str {
    match at {
        At::PodIngress | At::UplinkIngress => "ingress",
        At::PodEgress | At::UplinkEgress => "egress",
    }
}

fn tell(number: u64, at: At, packet: &[u8], outcome: Outcome, wanted: &[u8], bytes: &[u8]) -> String {
    format!(
        "packet {number} at {at:?}: {}\n {packet:02x?}\nhost: {outcome:?}, {}\n {wanted:02x?}\nkernel: {}\n {bytes:02x?}",
        describe(packet),
        describe(wanted),
        describe(bytes)
    )
}
