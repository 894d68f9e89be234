// SPDX-License-Identifier: MIT OR Apache-2.0
//! `shunt status`: the kernel's entries and counters, and the settings in force, with or without a running agent.

mod settings;

use serde::Serialize;

use self::settings::Settings;
use super::args::ShowArgs;
use super::output::{Format, json, line, table};
use crate::kernel::{
    Counters, FamilyMaps, HostFamily, OtherProgram, OutcomeCount, PinnedMaps, Pins, other_programs,
    sockets_cgroup,
};
use dataplane_common::{BackendState, Config, DeviceKind, MAP_ABI};

#[derive(Debug, Serialize)]
struct Status {
    root: String,
    map_abi: u32,
    settings: Settings,
    devices: Vec<DeviceStatus>,
    sockets: Option<SocketsStatus>,
    entries: Entries,
    outcomes: Vec<OutcomeCount>,
}

#[derive(Debug, Serialize)]
struct DeviceStatus {
    name: String,
    index: u32,
    kind: &'static str,
    attached: bool,
    /// Its senders count as this node's pods, if pods are recognised by device.
    local: bool,
    /// Programs of others on it, in the order they run.
    others: Vec<OtherProgram>,
}

/// Present if socket calls are served.
#[derive(Debug, Serialize)]
struct SocketsStatus {
    /// Inode of the cgroup's folder.
    cgroup: u64,
    /// Pods' TCP sockets too.
    pods: bool,
}

#[derive(Debug, Serialize)]
struct Entries {
    services: usize,
    frontends: usize,
    addresses: usize,
    sets: usize,
    backends: usize,
    flows: usize,
}

pub(super) fn run(args: &ShowArgs) -> anyhow::Result<()> {
    let pins = Pins::new(&args.root.bpf_root);
    let maps = PinnedMaps::open(&pins)?;
    let status = Status {
        root: pins.root().display().to_string(),
        map_abi: MAP_ABI,
        settings: Settings::read(&pins, &maps),
        devices: devices(&pins, &maps),
        sockets: sockets(&pins, &maps),
        entries: entries(&maps),
        outcomes: Counters(&maps)
            .outcomes()
            .into_iter()
            .filter(|count| count.packets > 0)
            .collect(),
    };
    match args.output {
        Format::Json => json(&status)?,
        Format::Table => line(std::io::stdout(), &text(&status)),
    }
    Ok(())
}

fn devices(pins: &Pins, maps: &PinnedMaps) -> Vec<DeviceStatus> {
    let attached = crate::kernel::attached(pins);
    let mut devices: Vec<_> = maps
        .devices
        .iter()
        .flatten()
        .map(|(index, device)| DeviceStatus {
            name: nix::net::if_::if_indextoname(index).map_or_else(
                |_| "(gone)".to_owned(),
                |name| name.to_string_lossy().into_owned(),
            ),
            index,
            kind: DeviceKind::from_raw(device.kind).map_or("unknown", DeviceKind::as_str),
            attached: attached.contains(&index),
            local: device.local != 0,
            others: other_programs(pins, index),
        })
        .collect();
    devices.sort_by_key(|device| device.index);
    devices
}

fn sockets(pins: &Pins, maps: &PinnedMaps) -> Option<SocketsStatus> {
    let config = maps.config.get(&0, 0).unwrap_or_default();
    Some(SocketsStatus {
        cgroup: sockets_cgroup(pins)?,
        pods: config.flags & Config::POD_SOCKETS != 0,
    })
}

fn entries(maps: &PinnedMaps) -> Entries {
    Entries {
        services: maps.services.keys().count(),
        frontends: maps.v4.frontends.keys().count() + maps.v6.frontends.keys().count(),
        addresses: maps.v4.addresses.keys().count() + maps.v6.addresses.keys().count(),
        sets: maps.sets.keys().count(),
        backends: alive(&maps.v4) + alive(&maps.v6),
        flows: maps.v4.flow_count() + maps.v6.flow_count(),
    }
}

fn alive<F: HostFamily>(maps: &FamilyMaps<F>) -> usize
where
    F::Addr: aya::Pod,
{
    let backends = maps.all_backends().unwrap_or_default();
    backends
        .iter()
        .filter(|backend| backend.state() != BackendState::Gone)
        .count()
}

fn text(status: &Status) -> String {
    let entries = &status.entries;
    let devices: Vec<_> = status
        .devices
        .iter()
        .map(|device| {
            let yes_or_not = |yes| if yes { "yes" } else { "-" }.to_owned();
            vec![
                device.name.clone(),
                device.index.to_string(),
                device.kind.to_owned(),
                yes_or_not(device.attached),
                yes_or_not(device.local),
            ]
        })
        .collect();
    let others: Vec<_> = status
        .devices
        .iter()
        .flat_map(|device| device.others.iter().map(|other| other_row(&device.name, other)))
        .collect();
    let others = match others.is_empty() {
        true => String::new(),
        false => format!("{}\n\n", table(&OTHERS, &others)),
    };
    let outcomes: Vec<_> = status
        .outcomes
        .iter()
        .map(|count| {
            vec![
                count.hook.to_owned(),
                count.outcome.to_owned(),
                count.packets.to_string(),
            ]
        })
        .collect();
    let sockets = match &status.sockets {
        Some(sockets) => format!(
            "serving socket calls of {}, below the cgroup with inode {}",
            if sockets.pods {
                "the node and its pods"
            } else {
                "the node"
            },
            sockets.cgroup
        ),
        None => "socket calls are not served: the node's own processes reach no Service".to_owned(),
    };
    format!(
        "pinned at {} (map layout {})\n\
         {} Service ports, {} frontends at {} addresses, {} backends in {} sets, {} flow entries\n\
         {sockets}\n\n{}\n\n{}\n\n{others}{}",
        status.root,
        status.map_abi,
        entries.services,
        entries.frontends,
        entries.addresses,
        entries.backends,
        entries.sets,
        entries.flows,
        status.settings.text(),
        table(&["DEVICE", "INDEX", "KIND", "LINKS", "PODS"], &devices),
        table(&["HOOK", "OUTCOME", "PACKETS"], &outcomes)
    )
}

/// Above [`other_row`].
const OTHERS: [&str; 5] = ["DEVICE", "HOOK", "ORDER", "ATTACHED BY", "OTHER PROGRAM"];

fn other_row(device: &str, other: &OtherProgram) -> Vec<String> {
    vec![
        device.to_owned(),
        other.hook.to_owned(),
        if other.before {
            "before Shunt's"
        } else {
            "after Shunt's"
        }
        .to_owned(),
        other.attached_by.clone(),
        other.name.clone(),
    ]
}
