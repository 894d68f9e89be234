// SPDX-License-Identifier: MIT OR Apache-2.0
//! Small packets, as fast as the node takes them: how many to a second of CPU time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lab::{Family, Netns};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use suites::packet::{Packet, udp};

use super::stage::{Port, Route, Stage};
use crate::plan::{CpuTime, pin_to_last_cpu};
use crate::raw::Program;

/// Frames made in one go.
const SLICE: u32 = 16_384;
/// So that the frame is 60 bytes long, and 64 with the checksum of a wire.
const PAYLOAD: usize = 60 - 14 - 20 - 8;
/// The client's port: one flow.
const CLIENT_PORT: u16 = 7_000;
/// An answer to ARP is there by then.
const LOOKED_FOR: Duration = Duration::from_millis(2);
/// What may still be on its way when the generator has returned.
const SETTLING: Duration = Duration::from_millis(50);

/// To the Service.
pub(super) fn requests(stage: &Stage, route: Route, time: Duration) -> anyhow::Result<f64> {
    let ends = (
        stage.client_at(route, CLIENT_PORT),
        stage.dialled(route, Port::Echo),
    );
    let (node, device) = stage.entrance(route);
    let from = (node, device, stage.client(route));
    flood(from, ends, stage.server(route).netns(), time)
        .with_context(|| format!("requests, {route}, of {}", stage.contender))
}

/// Back to the client, in the flow that requests have made.
pub(super) fn replies(stage: &Stage, route: Route, time: Duration) -> anyhow::Result<f64> {
    let server = stage.server(route);
    let ends = (
        server.at(Family::V4, Port::Echo.target()),
        stage.client_at(route, CLIENT_PORT),
    );
    let from = (server.node().netns(), server.host_device(), server.netns());
    flood(from, ends, stage.client(route), time)
        .with_context(|| format!("replies, {route}, of {}", stage.contender))
}

/// Packets that come in by a node's device, from whoever is behind it, and end as soon as they are where they go to.
fn flood(
    (node, device, sender): (&Netns, &str, &Netns),
    (from, to): (SocketAddr, SocketAddr),
    receiver: &Netns,
    time: Duration,
) -> anyhow::Result<f64> {
    let packet = Packet {
        payload: vec![0; PAYLOAD],
        ..udp(from, to)
    };
    let mut frame = packet.bytes();
    let macs = mac(node, device)?.into_iter().chain(mac(sender, "eth0")?);
    frame
        .iter_mut()
        .zip(macs)
        .for_each(|(byte, of_mac)| *byte = of_mac);
    let source = Program::source(&frame)?;
    let sink = Program::sink()?;
    let held =
        receiver.run(|| -> anyhow::Result<_> { Ok(sink.attach_to_ingress(if_nametoindex("eth0")?)?) })??;
    let rate = node.run(|| -> anyhow::Result<_> {
        pin_to_last_cpu()?;
        let index = if_nametoindex(device)?;
        // A few first: they make the flow, and have the receiver looked for.
        for _ in 0..2 {
            source.inject(&frame, index, 64)?;
            std::thread::sleep(LOOKED_FOR);
        }
        let before = received(receiver)?;
        let (start, cpu) = (Instant::now(), CpuTime::of_thread());
        let mut sent = 0_u64;
        while start.elapsed() < time {
            source.inject(&frame, index, SLICE)?;
            sent += u64::from(SLICE);
        }
        let (took, used) = (start.elapsed(), cpu.elapsed());
        let mut arrived = received(receiver)? - before;
        while arrived < sent && start.elapsed() < took + SETTLING {
            arrived = received(receiver)? - before;
        }
        ensure!(
            arrived * 100 >= sent * 98,
            "{arrived} of {sent} packets from {from} to {to} arrived"
        );
        Ok(arrived as f64 / used)
    })?;
    drop(held);
    rate
}

/// Packets that have come in on a pod's device.
fn received(pod: &Netns) -> anyhow::Result<u64> {
    let text = pod.run(|| std::fs::read_to_string("/proc/thread-self/net/dev"))??;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("eth0:"));
    let packets = line.and_then(|line| line.split_whitespace().nth(1));
    packets
        .context("no eth0 in a pod")?
        .parse()
        .context("a count of packets")
}

fn mac(netns: &Netns, device: &str) -> anyhow::Result<[u8; 6]> {
    let found = netns.run(|| -> anyhow::Result<_> {
        let mut links = getifaddrs()?.filter(|it| it.interface_name == device);
        Ok(links.find_map(|it| it.address?.as_link_addr()?.addr()))
    })??;
    found.with_context(|| format!("{device} has no address"))
}
