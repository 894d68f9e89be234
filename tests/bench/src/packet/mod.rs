// SPDX-License-Identifier: MIT OR Apache-2.0
//! The time that a packet spends in Shunt's programs, by its path and by the number of entries in the maps.
//!
//! The kernel runs a program on one packet again and again (BPF_PROG_TEST_RUN) and tells the mean. What a program
//! rewrites stays rewritten for the next run: so flows lead in a circle, from the destination of one to that of the
//! next, and every run finds a flow. Ways that are gone once per flow (the first packet, a refusal) are run once for
//! each of many packets; the clock is then part of the number, and an empty program, measured in the same way, shows how much.

mod maps;
mod paths;

use dataplane::kernel::Counters;
use suites::kernel::Kernel;

use crate::plan::{Plan, pin_to_last_cpu, tell};
use crate::raw;
use crate::series::{Samples, Section, Series};
use maps::{Filled, Size};
use paths::{Pace, PacketPath};

/// Measures all paths on all sizes, in turns.
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
    let paths = paths::all();
    let mut found = vec![vec![Samples::default(); contenders.len()]; paths.len()];
    let mut idle = [Samples::default(), Samples::default()];
    for turn in 0..plan.turns() {
        tell(format_args!("packet: turn {} of {}", turn + 1, plan.turns()));
        for (path, row) in paths.iter().zip(&mut found) {
            for (filled, samples) in contenders.iter_mut().zip(row) {
                samples.0.push(one(filled, path, turn)?);
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
        for (path, row) in paths.iter().zip(&found).filter(|(path, _)| path.pace == pace) {
            series.extend(contenders.iter().zip(row).map(|(filled, samples)| Series {
                section: Section::Packet,
                table: String::new(),
                case: path.name.clone(),
                contender: filled.size.to_string(),
                unit: "ns",
                more_is_better: false,
                samples: samples.clone(),
            }));
        }
    }
    Ok(series)
}

/// One turn of one path; a packet that ends otherwise than it should is an error.
fn one(filled: &mut Filled, path: &PacketPath, turn: usize) -> anyhow::Result<f64> {
    (path.prepare)(filled, path.family, turn)?;
    let before = ended(&mut filled.kernel, path);
    let (mean, runs) = match path.pace {
        Pace::Again => {
            let packet = (path.packet)(path.family, 0, turn);
            // Once around first, so that no flow is marked as used (once a second) while the clock runs.
            let circle = filled.size.circle(path.protocol);
            filled.kernel.test_run(path.at, &packet, circle);
            let runs = Pace::RUNS.max(circle);
            let (_, _, mean) = filled.kernel.test_run(path.at, &packet, runs);
            (mean.as_nanos() as f64, runs + circle)
        }
        Pace::Once => {
            let mut times = Samples::default();
            for number in 0..Pace::PACKETS {
                let packet = (path.packet)(path.family, number, turn);
                let (_, _, time) = filled.kernel.test_run(path.at, &packet, 1);
                times.0.push(time.as_nanos() as f64);
            }
            (times.quantile(0.5).unwrap_or_default(), Pace::PACKETS)
        }
    };
    let so = ended(&mut filled.kernel, path) - before;
    anyhow::ensure!(
        so == u64::from(runs),
        "{} on {}: {so} of {runs} packets ended as {:?}",
        path.name,
        filled.size,
        path.outcome
    );
    Ok(mean)
}

/// How many packets have ended as those of a path should.
fn ended(kernel: &mut Kernel, path: &PacketPath) -> u64 {
    Counters(kernel.tables())
        .outcomes()
        .into_iter()
        .filter(|count| count.outcome == path.outcome.as_str())
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
