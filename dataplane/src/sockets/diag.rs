// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asking the kernel for a namespace's UDP sockets, and ending them: sock_diag(7).
//!
//! All numbers in messages are in the machine's byte order but ports and addresses. What a UDP socket has in
//! the map `peers`, the kernel does not tell here; of TCP sockets it would (`INET_DIAG_SK_BPF_STORAGES`).

use std::os::fd::{AsRawFd as _, OwnedFd};

use dataplane_common::{Addr4, Addr6, Port};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

const BY_FAMILY: u16 = 20;
const DESTROY: u16 = 21;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const ACK: u16 = 0x5;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER: usize = 16;
/// `struct inet_diag_sockid`.
const ID: usize = 48;
/// `1 << TCP_ESTABLISHED`: for UDP, connected.
const CONNECTED: u32 = 1 << 1;
#[derive(Debug, thiserror::Error)]
pub enum DiagError {
    #[error("cannot {action}: {source}: the kernel needs CONFIG_INET_UDP_DIAG, the agent NET_ADMIN")]
    Socket { action: &'static str, source: Errno },
    #[error("this kernel ends no sockets of other processes: it is without CONFIG_INET_DIAG_DESTROY")]
    NoDestroy,
}

/// A connected UDP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    family: u8,
    id: [u8; ID],
    /// The number that kernel programs know it by.
    pub cookie: u64,
    /// Whom it is connected to; an IPv4 address as IPv6 sockets have it.
    pub addr: Addr6,
    pub port: Port,
}

/// A connection to the kernel, for the network namespace it was made in.
#[derive(Debug)]
pub struct Diag {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Diag {
    pub fn open() -> Result<Self, DiagError> {
        let failed = |source| DiagError::Socket {
            action: "ask the kernel about sockets",
            source,
        };
        let flags = SockFlag::SOCK_CLOEXEC;
        let protocol = SockProtocol::NetlinkSockDiag;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol).map_err(failed)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(failed)?;
        Ok(Self {
            socket,
            buffer: vec![0; 1 << 16],
        })
    }

    /// All connected UDP sockets.
    pub fn connected(&mut self) -> Result<Vec<Connected>, DiagError> {
        let mut found = Vec::new();
        for family in [libc::AF_INET as u8, libc::AF_INET6 as u8] {
            let failed = |source| DiagError::Socket {
                action: "list UDP sockets",
                source,
            };
            let request = message(BY_FAMILY, DUMP, family, CONNECTED, &[0; ID]);
            self.send(&request).map_err(failed)?;
            while self.receive(&mut found).map_err(failed)? {}
        }
        Ok(found)
    }

    /// Ends a socket: its owner's calls fail with ECONNABORTED, and it is no longer connected. False if it
    /// is gone already, or was connected to somebody else.
    pub fn destroy(&mut self, it: &Connected) -> Result<bool, DiagError> {
        let result = self
            .send(&message(DESTROY, ACK, it.family, 0, &it.id))
            .and_then(|()| self.receive(&mut Vec::new()));
        match result {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT | Errno::EINVAL | Errno::ESTALE) => Ok(false),
            Err(Errno::EOPNOTSUPP) => Err(DiagError::NoDestroy),
            Err(source) => Err(DiagError::Socket {
                action: "end a UDP socket",
                source,
            }),
        }
    }

    /// Whether sockets can be ended here: asks for the end of one that cannot be.
    pub fn can_destroy(&mut self) -> Result<(), DiagError> {
        let nobody = Connected {
            family: libc::AF_INET as u8,
            id: [0; ID],
            cookie: 0,
            addr: Addr6::default(),
            port: Port::default(),
        };
        self.destroy(&nobody).map(|_| ())
    }

    fn send(&self, message: &[u8]) -> nix::Result<()> {
        send(self.socket.as_raw_fd(), message, MsgFlags::empty()).map(|_| ())
    }

    /// Takes in one datagram of an answer; whether there is more to come.
    fn receive(&mut self, found: &mut Vec<Connected>) -> nix::Result<bool> {
        let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
        let mut rest = self.buffer.get(..length).unwrap_or_default();
        while let Some((kind, body, after)) = split_message(rest) {
            match kind {
                DONE => return Ok(false),
                ERROR => {
                    let code = i32_at(body, 0).unwrap_or_default();
                    return if code == 0 {
                        Ok(false)
                    } else {
                        Err(Errno::from_raw(-code))
                    };
                }
                _ => found.extend(connected(body)),
            }
            rest = after;
        }
        Ok(true)
    }
}

/// A `struct inet_diag_req_v2` with its header before it.
fn message(kind: u16, flags: u16, family: u8, states: u32, id: &[u8; ID]) -> Vec<u8> {
    let length = (HEADER + 8 + ID) as u32;
    let mut message = Vec::with_capacity(length as usize);
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Sequence number and sender: one answer at a time, and the kernel knows us.
    message.extend([0; 8]);
    message.extend([family, libc::IPPROTO_UDP as u8, 0, 0]);
    message.extend(states.to_ne_bytes());
    message.extend(id);
    message
}

/// The first message's type and body, and what comes after it.
fn split_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let body = bytes.get(HEADER..length)?;
    Some((
        kind,
        body,
        bytes.get(length.next_multiple_of(4)..).unwrap_or_default(),
    ))
}

/// A `struct inet_diag_msg`.
fn connected(body: &[u8]) -> Option<Connected> {
    let family = *body.first()?;
    let id: [u8; ID] = *body.get(4..)?.first_chunk()?;
    let word = |at: usize| Some(u32::from_ne_bytes(*id.get(at..)?.first_chunk()?));
    let dst = [word(20)?, word(24)?, word(28)?, word(32)?];
    let addr = match (family.into(), dst) {
        (libc::AF_INET, [word, ..]) => Addr6::mapped(Addr4::from_memory(word)),
        (_, words) => Addr6::from_memory(words),
    };
    let port = u16::from_be_bytes(*id.get(2..)?.first_chunk()?);
    Some(Connected {
        family,
        id,
        cookie: u64::from(word(40)?) | u64::from(word(44)?) << 32,
        addr,
        port: Port::new(port),
    })
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};

    use super::*;

    fn listed(to: SocketAddr) -> usize {
        let all = Diag::open().unwrap().connected().unwrap();
        let (addr, port) = match to {
            SocketAddr::V4(v4) => (Addr6::mapped((*v4.ip()).into()), v4.port()),
            SocketAddr::V6(v6) => ((*v6.ip()).into(), v6.port()),
        };
        all.iter()
            .filter(|it| it.addr == addr && it.port.get() == port && it.cookie != 0)
            .count()
    }

    #[test]
    fn connected_sockets_are_listed_by_their_peer() {
        for own in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(peer) = UdpSocket::bind(own) else {
                continue;
            };
            let to = peer.local_addr().unwrap();
            assert_eq!(listed(to), 0, "{to}");
            let socket = UdpSocket::bind(own).unwrap();
            socket.connect(to).unwrap();
            assert_eq!(listed(to), 1, "{to}");
            drop(socket);
            assert_eq!(listed(to), 0, "{to}");
        }
    }

    #[test]
    fn a_message_cut_short_is_none() {
        assert_eq!(split_message(&[0; 12]), None);
        assert_eq!(connected(&[2; 40]), None);
    }
}
