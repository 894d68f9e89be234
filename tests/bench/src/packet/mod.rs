// SPDX-License-Identifier: MIT OR Apache-2.0
//! The time a packet spends in Shunt's programs, by the way it takes, and by how much the maps hold.
//!
//! The kernel runs a program on one packet again and again (BPF_PROG_TEST_RUN) and tells the mean. What a program
//! rewrites stays rewritten for the next run: so flows lead in a circle, from the destination of one to that of the
//! next, and every run finds a flow. Ways that are gone once per flow (the first packet, a refusal) are run once for
//! each of many packets; the clock is then part of the number, and an empty program, run the same way, tells how much.

mod maps;
mod ways;

use dataplane::kernel::Counters;
use suites::kernel::Kernel;

use crate::plan::{Plan, pin_to_last_cpu, tell};
use crate::raw;
use crate::series::{Samples, Section, Series};
use maps::{Filled, Size};
use ways::{Pace, Way};

/// Measures all ways on all sizes, in turns.
pub fn run(plan: &Plan) -> anyhow::Result<Vec<Series>> {
    std::thread::scope(|scope| match scope.spawn(|| measure(plan)).join() {
        Ok(series) => series,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn measure(plan: &Plan) -> anyhow::Result<Vec<Series>> {
    pin_to_last_cpu()?;
    let sizes = if plan.quick {
        &Size::QUICK[..]
    } else {
        &Size::ALL[..]
    };
    let mut contenders = Vec::new();
    for size in sizes {
        tell(format_args!("packet: filling maps: {size}"));
        contenders.push(Filled::new(*size)?);
    }
    let empty = raw::Program::empty()?;
    let ways = ways::all();
    let mut found = vec![vec![Samples::default(); contenders.len()]; ways.len()];
    let mut idle = [Samples::default(), Samples::default()];
    for turn in 0..plan.turns() {
        tell(format_args!("packet: turn {} of {}", turn + 1, plan.turns()));
        for (way, row) in ways.iter().zip(&mut found) {
            for (filled, samples) in contenders.iter_mut().zip(row) {
                samples.0.push(one(filled, way, turn)?);
            }
        }
        for (pace, samples) in Pace::ALL.into_iter().zip(&mut idle) {
            samples.0.push(nothing(&empty, pace)?);
        }
    }
    let mut series = Vec::new();
    for (pace, samples) in Pace::ALL.into_iter().zip(idle) {
        // The same for every size, and the row to read the others by.
        series.extend(contenders.iter().map(|filled| Series {
            section: Section::Packet,
            table: String::new(),
            case: pace.empty().to_owned(),
            contender: filled.size.to_string(),
            unit: "ns",
            more_is_better: false,
            samples: samples.clone(),
        }));
        for (way, row) in ways.iter().zip(&found).filter(|(way, _)| way.pace == pace) {
            series.extend(contenders.iter().zip(row).map(|(filled, samples)| Series {
                section: Section::Packet,
                table: String::new(),
                case: way.name.clone(),
                contender: filled.size.to_string(),
                unit: "ns",
                more_is_better: false,
                samples: samples.clone(),
            }));
        }
    }
    Ok(series)
}

/// One turn of one way; a packet that ends otherwise than it should is an error.
fn one(filled: &mut Filled, way: &Way, turn: usize) -> anyhow::Result<f64> {
    (way.prepare)(filled, way.family, turn)?;
    let before = ended(&mut filled.kernel, way);
    let (mean, runs) = match way.pace {
        Pace::Again => {
            let packet = (way.packet)(way.family, 0, turn);
            // Once around first, so that no flow is marked as used (once a second) while the clock runs.
            let circle = filled.size.circle(way.protocol);
            filled.kernel.test_run(way.at, &packet, circle);
            let runs = Pace::RUNS.max(circle);
            let (_, _, mean) = filled.kernel.test_run(way.at, &packet, runs);
            (mean.as_nanos() as f64, runs + circle)
        }
        Pace::Once => {
            let mut times = Samples::default();
            for number in 0..Pace::PACKETS {
                let packet = (way.packet)(way.family, number, turn);
                let (_, _, time) = filled.kernel.test_run(way.at, &packet, 1);
                times.0.push(time.as_nanos() as f64);
            }
            (times.quantile(0.5).unwrap_or_default(), Pace::PACKETS)
        }
    };
    let so = ended(&mut filled.kernel, way) - before;
    anyhow::ensure!(
        so == u64::from(runs),
        "{} on {}: {so} of {runs} packets ended as {:?}",
        way.name,
        filled.size,
        way.outcome
    );
    Ok(mean)
}

/// How many packets have ended as those of a way should.
fn ended(kernel: &mut Kernel, way: &Way) -> u64 {
    Counters(kernel.tables())
        .outcomes()
        .into_iter()
        .filter(|count| count.outcome == way.outcome.as_str())
        .map(|count| count.packets)
        .sum()
}

fn nothing(empty: &raw::Program, pace: Pace) -> anyhow::Result<f64> {
    let packet = [0; 64];
    if pace == Pace::Again {
        return Ok(empty.test_run(&packet, Pace::RUNS)?.as_nanos() as f64);
    }
    let mut times = Samples::default();
    for _ in 0..Pace::PACKETS {
        times.0.push(empty.test_run(&packet, 1)?.as_nanos() as f64);
    }
    Ok(times.quantile(0.5).unwrap_or_default())
}
