// SPDX-License-Identifier: MIT OR Apache-2.0
//! Small packets, as fast as the node takes them, or as a process sends them: how many to a second of CPU time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lab::{Family, Netns};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use suites::packet::{Packet, udp};

use super::stage::{Port, Route, Stage};
use super::transactions::{ask, udp_socket};
use crate::plan::{CpuTime, pin_to_last_cpu};
use crate::raw::{Hook, Likeness, Program};

/// Packets between two looks at the clock.
const SLICE: u32 = 16_384;
/// So that the frame is 60 bytes long, and 64 with the checksum of a wire.
const PAYLOAD: usize = 60 - 14 - 20 - 8;
/// The client's port: one flow.
const CLIENT_PORT: u16 = 7_000;
/// What may still be on its way when the generator has returned.
const SETTLING: Duration = Duration::from_millis(50);

/// To the Service.
pub(super) fn requests(
    stage: &Stage,
    route: Route,
    likeness: Likeness,
    time: Duration,
) -> anyhow::Result<f64> {
    let ends = (
        stage.client_at(route, CLIENT_PORT),
        stage.dialled(route, Port::Echo),
    );
    greet(stage, route)?;
    let (node, device) = stage.entrance(route);
    let from = (node, device, stage.client(route));
    flood(from, ends, stage.server(route).netns(), likeness, time)
        .with_context(|| format!("requests, {route}, of {}", stage.contender))
}

/// Back to the client.
pub(super) fn replies(stage: &Stage, route: Route, time: Duration) -> anyhow::Result<f64> {
    greet(stage, route)?;
    let server = stage.server(route);
    let ends = (
        server.at(Family::V4, Port::Echo.target()),
        stage.client_at(route, CLIENT_PORT),
    );
    let from = (server.node().netns(), server.host_device(), server.netns());
    flood(from, ends, stage.client(route), Likeness::Mixed, time)
        .with_context(|| format!("replies, {route}, of {}", stage.contender))
}

/// To the Service, by a process that sends one after the other.
pub(super) fn sent(stage: &Stage, route: Route, time: Duration) -> anyhow::Result<f64> {
    let service = stage.dialled(route, Port::Echo);
    let receiver = stage.server(route).netns();
    let _joined = stage.join(route)?;
    let sent = stage.client(route).run(|| -> anyhow::Result<_> {
        pin_to_last_cpu()?;
        let socket = udp_socket(service, 0)?;
        ask(&socket)?;
        rate(receiver, time, |packets| {
            (0..packets).try_for_each(|_| Ok(socket.send(&[0; PAYLOAD]).map(drop)?))
        })
    })?;
    sent.with_context(|| format!("packets to {service}, {route}, of {}", stage.contender))
}

/// Opens the flow of what follows. A forwarder may treat one that has been answered in another way, and neighbours are
/// known then.
fn greet(stage: &Stage, route: Route) -> anyhow::Result<()> {
    let service = stage.dialled(route, Port::Echo);
    let answered = stage
        .client(route)
        .run(|| ask(&udp_socket(service, CLIENT_PORT)?))?;
    answered.with_context(|| format!("a flow to {service}, {route}, of {}", stage.contender))
}

/// Packets that come in by a node's device, from whoever is behind it.
fn flood(
    (node, device, sender): (&Netns, &str, &Netns),
    (from, to): (SocketAddr, SocketAddr),
    receiver: &Netns,
    likeness: Likeness,
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
    let source = Program::source(&frame, likeness)?;
    let flooded = node.run(|| -> anyhow::Result<_> {
        pin_to_last_cpu()?;
        let index = if_nametoindex(device)?;
        rate(receiver, time, |packets| {
            Ok(source.inject(&frame, index, packets)?)
        })
    })?;
    flooded.with_context(|| format!("from {from} to {to}"))
}

/// How many packets reach a pod, to a second of this thread's CPU time. They end there as soon as they are in.
fn rate(
    receiver: &Netns,
    time: Duration,
    mut send: impl FnMut(u32) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let sink = Program::sink()?;
    let held = receiver
        .run(|| -> anyhow::Result<_> { Ok(sink.attach(if_nametoindex("eth0")?, Hook::Ingress)?) })??;
    let before = received(receiver)?;
    let (start, cpu) = (Instant::now(), CpuTime::of_thread());
    let mut sent = 0_u64;
    while start.elapsed() < time {
        send(SLICE)?;
        sent += u64::from(SLICE);
    }
    let (took, used) = (start.elapsed(), cpu.elapsed());
    let mut arrived = received(receiver)? - before;
    while arrived < sent && start.elapsed() < took + SETTLING {
        arrived = received(receiver)? - before;
    }
    drop(held);
    ensure!(arrived * 100 >= sent * 98, "{arrived} of {sent} packets arrived");
    Ok(arrived as f64 / used)
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
