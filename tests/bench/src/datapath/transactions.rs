// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clients: one question after the other; how many to a second of CPU time, client's and server's together, and how
//! long each took.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use lab::Family;

use super::stage::{Port, Route, Stage};
use crate::plan::{CpuTime, pin_to_last_cpu};
use crate::series::Samples;

/// Nothing takes that long; a lost packet is an error, not a number.
const PATIENCE: Duration = Duration::from_secs(3);
/// Before the clock counts.
const WARM_UP: u32 = 50;
const CHUNK: usize = 256 * 1024;

/// A byte there and back on one connection: the rate, and of the times the middle and the tail.
pub(super) fn tcp(stage: &Stage, route: Route, time: Duration) -> anyhow::Result<Vec<f64>> {
    in_client(stage, route, Port::Echo, |server| {
        let mut stream = connect(server)?;
        repeat(time, || {
            let mut byte = [0];
            stream.write_all(&byte)?;
            Ok(stream.read_exact(&mut byte)?)
        })
    })
}

pub(super) fn udp(stage: &Stage, route: Route, time: Duration) -> anyhow::Result<Vec<f64>> {
    in_client(stage, route, Port::Echo, |server| {
        let socket = udp_socket(server, 0)?;
        repeat(time, || ask(&socket))
    })
}

/// From this port, or any (0), to there. It does not wait for ever.
pub(super) fn udp_socket(server: SocketAddr, port: u16) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// A byte there and back.
pub(super) fn ask(socket: &UdpSocket) -> anyhow::Result<()> {
    socket.send(&[0])?;
    socket.recv(&mut [0]).map(drop).context("no answer to a datagram")
}

/// A connection for each byte there and back.
pub(super) fn connections(stage: &Stage, route: Route, time: Duration) -> anyhow::Result<Vec<f64>> {
    in_client(stage, route, Port::Echo, |server| one_by_one(server, time))
}

/// The same to the pod's own address, as a kubelet's probes are.
pub(super) fn probes(stage: &Stage, route: Route, time: Duration) -> anyhow::Result<Vec<f64>> {
    let server = stage.server(route).at(Family::V4, Port::Echo.target());
    in_client(stage, route, Port::Echo, |_| one_by_one(server, time))
}

fn one_by_one(server: SocketAddr, time: Duration) -> anyhow::Result<Vec<f64>> {
    repeat(time, || {
        let mut stream = connect(server)?;
        let mut byte = [0];
        stream.write_all(&byte)?;
        Ok(stream.read_exact(&mut byte)?)
    })
}

/// As much as goes through, in MB as the server counts them.
pub(super) fn bulk(stage: &Stage, route: Route, time: Duration) -> anyhow::Result<f64> {
    in_client(stage, route, Port::Bulk, |server| {
        let mut stream = connect(server)?;
        let chunk = vec![0; CHUNK];
        let (start, cpu) = (Instant::now(), CpuTime::of_process());
        while start.elapsed() < time {
            stream.write_all(&chunk)?;
        }
        stream.shutdown(Shutdown::Write)?;
        let mut bytes = [0; 8];
        stream.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes) as f64 / 1e6 / cpu.elapsed())
    })
}

fn in_client<T: Send>(
    stage: &Stage,
    route: Route,
    port: Port,
    ask: impl FnOnce(SocketAddr) -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let server = stage.dialled(route, port);
    let _joined = stage.join(route)?;
    let asked = stage.client(route).run(|| {
        pin_to_last_cpu()?;
        ask(server)
    })?;
    asked.with_context(|| format!("{server} of {}", stage.contender))
}

fn connect(server: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn repeat(time: Duration, mut ask: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Vec<f64>> {
    for _ in 0..WARM_UP {
        ask()?;
    }
    let mut times = Samples::default();
    let (start, cpu) = (Instant::now(), CpuTime::of_process());
    let mut last = start;
    while last - start < time {
        ask()?;
        let now = Instant::now();
        times.0.push((now - last).as_secs_f64() * 1e6);
        last = now;
    }
    let rate = times.0.len() as f64 / cpu.elapsed();
    let tail = [0.5, 0.99, 0.999].map(|part| times.quantile(part).unwrap_or_default());
    Ok([rate].into_iter().chain(tail).collect())
}
