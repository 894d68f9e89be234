// SPDX-License-Identifier: MIT OR Apache-2.0
//! `shunt services`: the Services as the kernel knows them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

use super::RootArgs;
use super::output::{Format, json, line, table};
use crate::kernel::{Counters, KernelMaps, Pins, Sizes, Tables, Traffic};
use crate::plan::{BackendState, KernelState, Maps as _, ServiceId};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    root: RootArgs,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, Serialize)]
struct ServiceView {
    name: String,
    protocol: String,
    frontends: Vec<SocketAddr>,
    backends: Vec<BackendView>,
    traffic: Traffic,
}

#[derive(Debug, Serialize)]
struct BackendView {
    address: SocketAddr,
    /// In a set: gets new flows.
    selected: bool,
    draining: bool,
    local: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let pins = Pins::new(&args.root.bpf_root);
    let state = KernelMaps::new(Tables::open(&pins)?, Sizes::default()).load()?;
    let tables = Tables::open(&pins)?;
    let views = views(&state, &Counters(&tables));
    match args.output {
        Format::Json => json(&views)?,
        Format::Table => line(std::io::stdout(), &text(&views)),
    }
    Ok(())
}

fn views(state: &KernelState, counters: &Counters<'_>) -> Vec<ServiceView> {
    let selected: std::collections::BTreeSet<_> = state.sets.values().flatten().collect();
    let mut views: BTreeMap<ServiceId, ServiceView> = state
        .services
        .iter()
        .map(|(id, name)| {
            let view = ServiceView {
                name: name.label(),
                protocol: name.protocol.to_string(),
                frontends: Vec::new(),
                backends: Vec::new(),
                traffic: counters.traffic(id.0),
            };
            (*id, view)
        })
        .collect();
    for (key, value) in &state.frontends {
        if let Some(view) = views.get_mut(&value.service) {
            view.frontends.push(SocketAddr::new(key.addr, key.port));
        }
    }
    for (id, backend) in &state.backends {
        if let Some(view) = views.get_mut(&backend.service) {
            view.backends.push(BackendView {
                address: SocketAddr::new(backend.addr, backend.port),
                selected: selected.contains(id),
                draining: backend.state == BackendState::Draining,
                local: backend.local,
            });
        }
    }
    let mut views: Vec<_> = views.into_values().collect();
    views.sort_by(|a, b| (&a.name, &a.protocol).cmp(&(&b.name, &b.protocol)));
    views
}

fn text(views: &[ServiceView]) -> String {
    let rows: Vec<_> = views
        .iter()
        .map(|view| {
            let frontends: Vec<_> = view.frontends.iter().map(SocketAddr::to_string).collect();
            let backends: Vec<_> = view.backends.iter().map(backend).collect();
            vec![
                view.name.clone(),
                view.protocol.clone(),
                some(&frontends),
                some(&backends),
                view.traffic.new_flows.to_string(),
                (view.traffic.packets + view.traffic.reply_packets).to_string(),
            ]
        })
        .collect();
    table(
        &["SERVICE", "PROTO", "FRONTENDS", "BACKENDS", "FLOWS", "PACKETS"],
        &rows,
    )
}

/// A few of them, and how many more there are.
fn some(cells: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = cells.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(",");
    match cells.len() {
        0 => "<none>".to_owned(),
        length if length > SHOWN => format!("{shown} + {} more", length - SHOWN),
        _ => shown,
    }
}

fn backend(view: &BackendView) -> String {
    let mark = match (view.draining, view.selected) {
        (true, _) => " (draining)",
        (false, false) => " (unused)",
        (false, true) => "",
    };
    format!("{}{mark}", view.address)
}
