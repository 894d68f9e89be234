// SPDX-License-Identifier: MIT OR Apache-2.0
//! What answers in the server pods: as little as can be, one client at a time, on the CPU that all is measured on.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::thread::JoinHandle;

use lab::Pod;
use nix::sys::socket::{Shutdown, shutdown};

use super::stage::Port;
use crate::plan::pin_to_last_cpu;

/// Ends the thread that gets it.
const LAST_WORD: &[u8] = b"last word";

/// Three threads, that end with this.
pub(super) struct Server {
    echo: TcpListener,
    bulk: TcpListener,
    /// Sends what ends the thread that answers datagrams: only listeners wake when they are shut down.
    last_word: UdpSocket,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(pod: &Pod) -> anyhow::Result<Self> {
        let any = |port: Port| (Ipv4Addr::UNSPECIFIED, port.target());
        let (echo, bulk, datagrams, last_word) = pod.netns().run(|| -> std::io::Result<_> {
            Ok((
                TcpListener::bind(any(Port::Echo))?,
                TcpListener::bind(any(Port::Bulk))?,
                UdpSocket::bind(any(Port::Echo))?,
                UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
            ))
        })??;
        last_word.connect((Ipv4Addr::LOCALHOST, Port::Echo.target()))?;
        let (echoing, taking) = (echo.try_clone()?, bulk.try_clone()?);
        let threads = vec![
            std::thread::spawn(move || accept(&echoing, give_back)),
            std::thread::spawn(move || accept(&taking, take)),
            std::thread::spawn(move || answer(&datagrams)),
        ];
        Ok(Self {
            echo,
            bulk,
            last_word,
            threads,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What cannot be ended ends with the process.
        for listener in [&self.echo, &self.bulk] {
            let _ = shutdown(listener.as_raw_fd(), Shutdown::Both);
        }
        let _ = self.last_word.send(LAST_WORD);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, serve: fn(TcpStream) -> std::io::Result<()>) {
    // Measuring elsewhere is worse than not at all, but only a little.
    let _ = pin_to_last_cpu();
    while let Ok((stream, _)) = listener.accept() {
        // A client that went away is the client's business.
        let _ = serve(stream);
    }
}

/// Whatever comes, back.
fn give_back(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 256];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(buffer.get(..length).unwrap_or_default())?;
    }
}

/// All there is, and at its end how much that was.
fn take(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0_u64;
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return stream.write_all(&bytes.to_le_bytes());
        }
        bytes += length as u64;
    }
}

fn answer(socket: &UdpSocket) {
    let _ = pin_to_last_cpu();
    let mut buffer = [0; 256];
    while let Ok((length, client)) = socket.recv_from(&mut buffer) {
        let said = buffer.get(..length).unwrap_or_default();
        if said == LAST_WORD {
            return;
        }
        // A client that went away is no longer interested.
        let _ = socket.send_to(said, client);
    }
}
