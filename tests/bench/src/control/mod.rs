// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent against an API server: how long lists and changes take to reach the kernel, and what that costs.
//!
//! The server is the fixture; it, and the bench, keep to the first CPU, the agent has the last one. Both are in one
//! node's namespace, whose loopback they talk over. "In the kernel" means that the map says so: it is read again and
//! again until it does.

mod agent;
mod changes;
mod cluster;
mod devices;
mod kube_proxy;
mod lists;
mod memory;

use lab::binaries::Binaries;
use lab::{Lab, Wiring};

use crate::plan::{Plan, pin_to_first_cpu, tell};
use crate::series::{Samples, Section, Series};
use agent::Running;
use cluster::{Cluster, Shape};

/// Measures all shapes of clusters.
pub fn run(plan: &Plan) -> anyhow::Result<Vec<Series>> {
    std::thread::scope(|scope| match scope.spawn(|| measure(plan)).join() {
        Ok(series) => series,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn measure(plan: &Plan) -> anyhow::Result<Vec<Series>> {
    pin_to_first_cpu()?;
    let mut found = Found::default();
    for shape in if plan.quick {
        &Shape::QUICK[..]
    } else {
        &Shape::ALL[..]
    } {
        let lab = Lab::with(Wiring::Ptp, 1, Binaries::find()?)?;
        tell(format_args!("control: a cluster of {shape}"));
        let cluster = Cluster::start(&lab, *shape)?;
        found.contender = format!("Shunt, {shape}");
        lists::measure(plan, &lab, &cluster, &mut found)?;
        let mut agent = Running::start(&lab, &cluster)?;
        agent.wait_ready()?;
        changes::measure(plan, &lab, &cluster, &agent, &mut found)?;
        devices::measure(plan, &lab, &mut found)?;
        memory::measure(&lab, &mut found)?;
        agent.stop()?;
        if let Some(program) = &plan.kube_proxy {
            found.contender = format!("kube-proxy, {shape}");
            kube_proxy::measure(plan, program, &lab, &cluster, &mut found)?;
        }
    }
    Ok(found.series)
}

/// What was found so far.
#[derive(Default)]
struct Found {
    contender: String,
    series: Vec<Series>,
}

impl Found {
    fn add(&mut self, case: &str, unit: &'static str, samples: Vec<f64>) {
        self.series.push(Series {
            section: Section::Control,
            table: String::new(),
            case: case.to_owned(),
            contender: self.contender.clone(),
            unit,
            more_is_better: false,
            samples: Samples(samples),
        });
    }

    /// The middle and the tail of many.
    fn add_latencies(&mut self, case: &str, unit: &'static str, samples: Vec<f64>) {
        let samples = Samples(samples);
        for (name, part) in [("median", 0.5), ("p99", 0.99)] {
            let value = samples.quantile(part).into_iter().collect();
            self.add(&format!("{case}: {name}"), unit, value);
        }
    }
}
