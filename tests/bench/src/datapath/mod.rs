// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets, requests and connections through nodes made of namespaces, by whoever forwards them.
//!
//! Each contender has a lab of its own, all of them up at the same time, and they take turns. Everything of a turn runs
//! on one CPU, the last: no CPU has to be woken, which would cost more than what is measured. Rates are for a second of
//! CPU time: the inverse of all that a packet or a request costs, whatever else the machine does meanwhile.
//!
//! Small packets are made by the kernel itself (`raw::Program::source`): a generator in the pod would spend more time
//! in its own namespace than the node does in all, and hide what is to be seen. They come in on the node's end of the
//! pod's veth as from a driver, and are swallowed when they reach the other pod. What is left is the node. How much of
//! that a process notices, those show that one sends, a system call each.

mod contender;
mod packets;
mod server;
mod stage;
mod transactions;

use anyhow::ensure;
use contender::Contender;
use stage::{Route, Stage};

use crate::plan::{Plan, pin_to_last_cpu, tell};
use crate::raw::Likeness;
use crate::series::{Samples, Section, Series};

/// Measures everything on every contender, in turns.
pub fn run(plan: &Plan) -> anyhow::Result<Vec<Series>> {
    ensure!(
        !Case::all(plan).is_empty(),
        "measure only {:?}: no case of traffic is called so: docs/benchmarks.md has their names",
        plan.cases
    );
    let mut stages = Vec::new();
    for contender in Contender::all(plan) {
        if let Err(why) = contender.available() {
            tell(format_args!("datapath: WITHOUT {contender}: {why}"));
            continue;
        }
        tell(format_args!("datapath: setting up {contender}"));
        stages.push(Stage::set_up(contender, plan)?);
    }
    // The namespaces are entered by threads of their own, and those are kept to one CPU.
    std::thread::scope(|scope| match scope.spawn(|| measure(plan, &stages)).join() {
        Ok(series) => series,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn measure(plan: &Plan, stages: &[Stage]) -> anyhow::Result<Vec<Series>> {
    pin_to_last_cpu()?;
    let cases = Case::all(plan);
    let mut found = vec![vec![Vec::new(); stages.len()]; cases.len()];
    for turn in 0..plan.turns() {
        tell(format_args!("datapath: turn {} of {}", turn + 1, plan.turns()));
        for (case, row) in cases.iter().zip(&mut found) {
            for (stage, readings) in stages.iter().zip(row) {
                let reading = case.run(stage, plan);
                readings.push(reading.inspect_err(|_| eprintln!("{}", stage.report()))?);
            }
        }
    }
    let mut series = Vec::new();
    for (case, row) in cases.iter().zip(found) {
        for (number, reading) in case.readings().into_iter().enumerate() {
            series.extend(stages.iter().zip(&row).map(|(stage, turns)| {
                Series {
                    section: Section::Datapath,
                    table: format!("{}, {}", reading.table, case.route),
                    case: reading.name.to_owned(),
                    contender: stage.contender.to_string(),
                    unit: reading.unit,
                    more_is_better: reading.more_is_better,
                    samples: Samples(
                        turns
                            .iter()
                            .filter_map(|turn| turn.get(number).copied())
                            .collect(),
                    ),
                }
            }));
        }
    }
    Ok(series)
}

/// One thing to measure, between the client and one of the servers.
#[derive(Clone, Copy, Debug)]
struct Case {
    kind: Kind,
    route: Route,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Small UDP packets to the Service.
    Requests,
    /// The same, each like the one before it.
    Row,
    /// Small UDP packets back.
    Replies,
    /// Small UDP packets to the Service, from a process.
    Sent,
    /// A byte there and a byte back, on one connection.
    TcpRoundTrips,
    UdpRoundTrips,
    /// A new connection for each byte there and back.
    Connections,
    /// The same, past all Services.
    Probes,
    /// As much as goes through one connection.
    Bulk,
}

/// One number of a case.
struct Reading {
    table: &'static str,
    name: &'static str,
    unit: &'static str,
    more_is_better: bool,
}

impl Case {
    fn all(plan: &Plan) -> Vec<Self> {
        let kinds = [
            Kind::Requests,
            Kind::Replies,
            Kind::Row,
            Kind::Sent,
            Kind::TcpRoundTrips,
            Kind::UdpRoundTrips,
            Kind::Connections,
            Kind::Probes,
            Kind::Bulk,
        ];
        let all = Route::ALL
            .into_iter()
            .flat_map(|route| kinds.map(|kind| Self { kind, route }));
        // To whom replies to the outside go, only whoever has masqueraded the flow knows.
        all.filter(|case| match case.kind {
            Kind::Requests => !case.route.is_from_node(),
            Kind::Row => matches!(case.route, Route::SameNode | Route::OutsideToHere),
            Kind::Replies => !case.route.is_from_outside() && !case.route.is_from_node(),
            // What the socket's hooks cost connections that are none of theirs.
            Kind::Probes => case.route.is_from_node(),
            _ => true,
        })
        .filter(|case| case.is_asked_for(plan))
        .collect()
    }

    fn is_asked_for(self, plan: &Plan) -> bool {
        let readings = self.readings();
        let mut names = readings.iter().map(|it| format!("{}, {}", it.name, self.route));
        names.any(|name| Plan::names(&plan.cases, &name))
    }

    fn run(self, stage: &Stage, plan: &Plan) -> anyhow::Result<Vec<f64>> {
        let time = plan.turn();
        match self.kind {
            Kind::Requests => {
                packets::requests(stage, self.route, Likeness::Mixed, time).map(|rate| vec![rate])
            }
            Kind::Row => packets::requests(stage, self.route, Likeness::Alike, time).map(|rate| vec![rate]),
            Kind::Replies => packets::replies(stage, self.route, time).map(|rate| vec![rate]),
            Kind::Sent => packets::sent(stage, self.route, time).map(|rate| vec![rate]),
            Kind::TcpRoundTrips => transactions::tcp(stage, self.route, time),
            Kind::UdpRoundTrips => transactions::udp(stage, self.route, time),
            Kind::Connections => transactions::connections(stage, self.route, time),
            Kind::Probes => transactions::probes(stage, self.route, time),
            Kind::Bulk => transactions::bulk(stage, self.route, time).map(|rate| vec![rate]),
        }
    }

    fn readings(self) -> Vec<Reading> {
        let rate = |name, unit| Reading {
            table: "For one second of CPU time",
            name,
            unit,
            more_is_better: true,
        };
        let time = |name| Reading {
            table: "How long it takes",
            name,
            unit: "µs",
            more_is_better: false,
        };
        match self.kind {
            Kind::Requests => vec![rate("64-byte packets there", "packets")],
            Kind::Row => vec![rate("64-byte packets there, all alike", "packets")],
            Kind::Replies => vec![rate("64-byte packets back", "packets")],
            Kind::Sent => vec![rate("64-byte packets of a process", "packets")],
            Kind::TcpRoundTrips => vec![
                rate("TCP request/response", "round trips"),
                time("TCP p50"),
                time("TCP p99"),
                time("TCP p99.9"),
            ],
            Kind::UdpRoundTrips => vec![
                rate("UDP request/response", "round trips"),
                time("UDP p50"),
                time("UDP p99"),
                time("UDP p99.9"),
            ],
            Kind::Connections => vec![
                rate("connect/request/close", "connections"),
                time("connect p50"),
                time("connect p99"),
                time("connect p99.9"),
            ],
            Kind::Probes => vec![
                rate("connect/request/close past Services", "connections"),
                time("connect past Services p50"),
                time("connect past Services p99"),
                time("connect past Services p99.9"),
            ],
            Kind::Bulk => vec![rate("bulk TCP", "MB")],
        }
    }
}
