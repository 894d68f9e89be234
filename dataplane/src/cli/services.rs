// SPDX-License-Identifier: MIT OR Apache-2.0
//! `shunt services`: the Services in the kernel.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

use super::args::ShowArgs;
use super::output::{Format, json, line, table};
use crate::kernel::{Counters, KernelMaps, PinnedMaps, Pins, Sizes, Traffic};
use crate::model::FrontendKey;
use crate::plan::{BackendState, EmptyVerdict, FrontendValue, KernelState, Maps as _, ScopeValue, ServiceId};

#[derive(Debug, Serialize)]
struct ServiceView {
    name: String,
    protocol: String,
    frontends: Vec<FrontendView>,
    /// The clients of the restricted frontends.
    source_ranges: Vec<String>,
    backends: Vec<BackendView>,
    traffic: Traffic,
}

#[derive(Debug, Serialize)]
struct FrontendView {
    /// A NodePort's is the unspecified address: it is served at every address that serves NodePorts.
    address: SocketAddr,
    kind: &'static str,
    /// The traffic policy that rules it.
    policy: &'static str,
    /// For this node's pods and processes.
    internal: ScopeView,
    /// For all other clients.
    external: ScopeView,
    /// ClientIP session affinity; 0 is none.
    affinity_seconds: u32,
    restricted: bool,
}

#[derive(Debug, Serialize)]
struct ScopeView {
    backends: u32,
    /// The verdict for new flows if there are none.
    otherwise: &'static str,
}

#[derive(Debug, Serialize)]
struct BackendView {
    address: SocketAddr,
    /// In a set: gets new flows.
    selected: bool,
    draining: bool,
    local: bool,
}

pub(super) fn run(args: &ShowArgs) -> anyhow::Result<()> {
    let pins = Pins::new(&args.root.bpf_root);
    let state = KernelMaps::new(PinnedMaps::open(&pins)?, Sizes::default()).load()?;
    let maps = PinnedMaps::open(&pins)?;
    let views = views(&state, &Counters(&maps));
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
                source_ranges: ranges(state, *id),
                backends: Vec::new(),
                traffic: counters.traffic(id.0),
            };
            (*id, view)
        })
        .collect();
    for (key, value) in &state.frontends {
        if let Some(view) = views.get_mut(&value.service) {
            view.frontends.push(frontend(key, value));
        }
    }
    for (id, backend) in state.backends.iter() {
        if let Some(view) = views.get_mut(&backend.service) {
            view.backends.push(BackendView {
                address: SocketAddr::new(backend.addr, backend.port),
                selected: selected.contains(&id),
                draining: backend.state == BackendState::Draining,
                local: backend.local,
            });
        }
    }
    let mut views: Vec<_> = views.into_values().collect();
    views.sort_by(|a, b| (&a.name, &a.protocol).cmp(&(&b.name, &b.protocol)));
    views
}

fn ranges(state: &KernelState, id: ServiceId) -> Vec<String> {
    let ranges = state.ranges.get(&id).into_iter().flatten();
    ranges.map(ToString::to_string).collect()
}

fn frontend(key: &FrontendKey, value: &FrontendValue) -> FrontendView {
    let scope = |scope: &ScopeValue| ScopeView {
        backends: scope.set.size,
        otherwise: match scope.empty {
            EmptyVerdict::Reject => "reject",
            EmptyVerdict::Drop => "drop",
        },
    };
    FrontendView {
        address: SocketAddr::new(key.addr, key.port),
        kind: value.kind.as_str(),
        policy: value.policy.as_str(),
        internal: scope(&value.internal),
        external: scope(&value.external),
        affinity_seconds: value.affinity_seconds,
        restricted: value.is_restricted,
    }
}

fn text(views: &[ServiceView]) -> String {
    let rows: Vec<_> = views
        .iter()
        .map(|view| {
            let frontends: Vec<_> = view.frontends.iter().map(frontend_text).collect();
            let backends: Vec<_> = view.backends.iter().map(backend).collect();
            vec![
                view.name.clone(),
                view.protocol.clone(),
                some(&frontends),
                notes(view),
                some(&backends),
                view.traffic.new_flows.to_string(),
                (view.traffic.packets + view.traffic.reply_packets).to_string(),
            ]
        })
        .collect();
    table(
        &[
            "SERVICE",
            "PROTO",
            "FRONTENDS",
            "RULES",
            "BACKENDS",
            "FLOWS",
            "PACKETS",
        ],
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

/// The address, and what is unlike a ClusterIP with policy `Cluster`.
fn frontend_text(view: &FrontendView) -> String {
    match view.kind {
        "ClusterIP" => view.address.to_string(),
        "NodePort" if view.address.is_ipv4() => format!("*:{} (NodePort)", view.address.port()),
        "NodePort" => format!("[*]:{} (NodePort)", view.address.port()),
        kind => format!("{} ({kind})", view.address),
    }
}

/// The settings that differ from the default.
fn notes(view: &ServiceView) -> String {
    let mut notes = Vec::new();
    for (policy, is_internal) in [("internal", true), ("external", false)] {
        let mut frontends = view.frontends.iter();
        if frontends.any(|it| (it.kind == "ClusterIP") == is_internal && it.policy == "Local") {
            notes.push(format!("{policy} Local"));
        }
    }
    let affinity = view
        .frontends
        .iter()
        .map(|it| it.affinity_seconds)
        .max()
        .unwrap_or(0);
    if affinity > 0 {
        notes.push(format!("affinity {affinity} s"));
    }
    if view.frontends.iter().any(|it| it.restricted) {
        notes.push(format!("from {}", some(&view.source_ranges)));
    }
    if notes.is_empty() {
        "-".to_owned()
    } else {
        notes.join("; ")
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
