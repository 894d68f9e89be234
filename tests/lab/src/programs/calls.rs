// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes socket calls as it is told, a line of JSON each, and tells what the kernel answered: a process whose
//! every call a test can choose. See [`crate::caller`] for the other side.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IoSlice, IoSliceMut, Write};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, SockaddrStorage, getpeername, recv, recvfrom, recvmsg, sendmsg};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::{Doing, Result};

/// What to do. Sockets are named by the numbers that opening them gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Call {
    Open(Kind, Domains),
    Connect(u32, SocketAddr),
    /// `getpeername`.
    Peer(u32),
    /// `send`: to whom the socket is connected.
    Send(u32, String),
    /// `sendto`.
    SendTo(u32, SocketAddr, String),
    /// `sendmsg` with an address.
    SendMessage(u32, SocketAddr, String),
    /// `recv`, which does not ask from whom.
    Receive(u32),
    /// `recvfrom`.
    ReceiveFrom(u32),
    /// `recvmsg` with room for an address.
    ReceiveMessage(u32),
    Close(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Tcp,
    Udp,
    /// Multipath TCP (RFC 8684).
    Mptcp,
}

/// Which addresses a socket takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Domains {
    V4,
    /// IPv6 alone.
    V6,
    /// IPv6, and IPv4 addresses as `::ffff:a.b.c.d`.
    Both,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Done,
    Opened(u32),
    Address(SocketAddr),
    Text(String),
    TextFrom(String, SocketAddr),
    /// The call failed, with this `errno`.
    Failed(i32),
}

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(4);

/// Makes the calls until there are no more.
pub fn obey() -> Result<()> {
    let mut sockets = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        let line = line.doing(|| "reading a call".to_owned())?;
        let call = serde_json::from_str(&line)
            .map_err(io::Error::from)
            .doing(|| format!("understanding {line}"))?;
        let outcome = make(call, &mut sockets)
            .unwrap_or_else(|error| Outcome::Failed(error.raw_os_error().unwrap_or_default()));
        let text = serde_json::to_string(&outcome).unwrap_or_default();
        writeln!(io::stdout(), "{text}").doing(|| "telling what came of it".to_owned())?;
    }
    Ok(())
}

fn make(call: Call, sockets: &mut BTreeMap<u32, Socket>) -> io::Result<Outcome> {
    if let Call::Open(kind, domains) = call {
        let number = sockets.keys().max().unwrap_or(&0) + 1;
        sockets.insert(number, open(kind, domains)?);
        return Ok(Outcome::Opened(number));
    }
    let find = |number: u32| sockets.get(&number).ok_or(io::ErrorKind::NotFound);
    match call {
        Call::Open(..) => {}
        Call::Connect(number, to) => find(number)?.connect_timeout(&to.into(), PATIENCE)?,
        Call::Peer(number) => {
            let peer = getpeername::<SockaddrStorage>(find(number)?.as_raw_fd())?;
            return plain(Some(peer)).map(Outcome::Address);
        }
        Call::Send(number, text) => drop(find(number)?.send(text.as_bytes())?),
        Call::SendTo(number, to, text) => drop(find(number)?.send_to(text.as_bytes(), &to.into())?),
        Call::SendMessage(number, to, text) => send_message(find(number)?, to, &text)?,
        Call::Receive(number) => {
            let mut buffer = [0; 2048];
            let length = recv(find(number)?.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            return Ok(Outcome::Text(text(&buffer, length)));
        }
        Call::ReceiveFrom(number) => {
            let mut buffer = [0; 2048];
            let (length, from) = recvfrom(find(number)?.as_raw_fd(), &mut buffer)?;
            return Ok(Outcome::TextFrom(text(&buffer, length), plain(from)?));
        }
        Call::ReceiveMessage(number) => return receive_message(find(number)?),
        Call::Close(number) => drop(sockets.remove(&number)),
    }
    Ok(Outcome::Done)
}

fn open(kind: Kind, domains: Domains) -> io::Result<Socket> {
    let domain = match domains {
        Domains::V4 => Domain::IPV4,
        Domains::V6 | Domains::Both => Domain::IPV6,
    };
    let (kind, protocol) = match kind {
        Kind::Tcp => (Type::STREAM, Protocol::TCP),
        Kind::Udp => (Type::DGRAM, Protocol::UDP),
        Kind::Mptcp => (Type::STREAM, Protocol::MPTCP),
    };
    let socket = Socket::new(domain, kind, Some(protocol))?;
    if domains != Domains::V4 {
        socket.set_only_v6(domains == Domains::V6)?;
    }
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn send_message(socket: &Socket, to: SocketAddr, text: &str) -> io::Result<()> {
    let to = SockaddrStorage::from(to);
    let parts = [IoSlice::new(text.as_bytes())];
    sendmsg(socket.as_raw_fd(), &parts, &[], MsgFlags::empty(), Some(&to))?;
    Ok(())
}

fn receive_message(socket: &Socket) -> io::Result<Outcome> {
    let mut buffer = [0; 2048];
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, None, MsgFlags::empty())?;
    let (length, from) = (message.bytes, message.address);
    let text = text(&buffer, length);
    Ok(Outcome::TextFrom(text, plain(from)?))
}

fn text(buffer: &[u8], length: usize) -> String {
    String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned()
}

/// What stands in a `sockaddr`.
fn plain(address: Option<SockaddrStorage>) -> io::Result<SocketAddr> {
    let address = address.ok_or(io::ErrorKind::AddrNotAvailable)?;
    match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Ok(SocketAddr::V4(SocketAddrV4::from(*v4))),
        (_, Some(v6)) => Ok(SocketAddr::V6(SocketAddrV6::from(*v6))),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
