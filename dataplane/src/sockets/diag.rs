// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists a network namespace's UDP sockets and destroys them, by sock_diag(7).
//!
//! The kernel does not report here what a UDP socket has in the map `peers`; it would for TCP sockets
//! (`INET_DIAG_SK_BPF_STORAGES`).

use std::io;
use std::net::IpAddr;

use dataplane_common::{Addr6, Port};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::{AF_INET, AF_INET6, IPPROTO_UDP, SockDiagDestroy, SockDiagMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use nix::errno::Errno;

/// More than the kernel puts into one datagram.
const LARGEST_DATAGRAM: usize = 1 << 16;

#[derive(Debug, thiserror::Error)]
pub enum DiagError {
    #[error("cannot {action}: {source}: the kernel needs CONFIG_INET_UDP_DIAG, the agent NET_ADMIN")]
    Socket { action: &'static str, source: io::Error },
    #[error("this kernel cannot destroy sockets: CONFIG_INET_DIAG_DESTROY is not set")]
    NoDestroy,
}

/// A connected UDP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    id: SocketId,
    /// The number by which kernel programs know the socket.
    pub cookie: u64,
    /// The peer's address; an IPv4 address in the form that IPv6 sockets use.
    pub addr: Addr6,
    pub port: Port,
}

/// A connection to the kernel, for the network namespace in which it was opened.
#[derive(Debug)]
pub struct Diag {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Diag {
    pub fn open() -> Result<Self, DiagError> {
        let failed = |source| DiagError::Socket {
            action: "ask the kernel about sockets",
            source,
        };
        let mut socket = Socket::new(NETLINK_SOCK_DIAG).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed)?;
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(LARGEST_DATAGRAM),
        })
    }

    /// All connected UDP sockets.
    pub fn connected(&mut self) -> Result<Vec<Connected>, DiagError> {
        let mut found = Vec::new();
        for id in [SocketId::new_v4(), SocketId::new_v6()] {
            let failed = |source| DiagError::Socket {
                action: "list UDP sockets",
                source,
            };
            // For UDP, established means connected.
            let listed = request(id, StateFlags::ESTABLISHED);
            self.send(listed, NLM_F_DUMP).map_err(failed)?;
            while self.receive(&mut found).map_err(failed)? {}
        }
        Ok(found)
    }

    /// Destroys a socket: its owner's calls fail with ECONNABORTED, and it is no longer connected. False if the socket
    /// is gone already, or is connected to another peer now.
    pub fn destroy(&mut self, it: &Connected) -> Result<bool, DiagError> {
        let destroyed = SockDiagDestroy::new(request(it.id.clone(), StateFlags::empty()));
        let result = self
            .send(destroyed, NLM_F_ACK)
            .and_then(|()| self.receive(&mut Vec::new()));
        let Err(source) = result else {
            return Ok(true);
        };
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::EINVAL | Errno::ESTALE) => Ok(false),
            Some(Errno::EOPNOTSUPP) => Err(DiagError::NoDestroy),
            _ => Err(DiagError::Socket {
                action: "destroy a UDP socket",
                source,
            }),
        }
    }

    /// Whether this kernel can destroy sockets: asks it to destroy one that does not exist.
    pub fn can_destroy(&mut self) -> Result<(), DiagError> {
        let none = Connected {
            id: SocketId::new_v4(),
            cookie: 0,
            addr: Addr6::default(),
            port: Port::default(),
        };
        self.destroy(&none).map(|_| ())
    }

    fn send<M>(&self, message: M, flags: u16) -> io::Result<()>
    where
        M: NetlinkSerializable + Into<NetlinkPayload<M>>,
    {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut message = NetlinkMessage::new(header, message.into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(|_| ())
    }

    /// Receives one datagram of an answer. True if more follow.
    fn receive(&mut self, found: &mut Vec<Connected>) -> io::Result<bool> {
        self.buffer.clear();
        self.socket.recv(&mut self.buffer, 0)?;
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(io::Error::other)?;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(false),
                NetlinkPayload::Error(error) if error.code.is_none() => return Ok(false),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    found.push(connected(response.header.socket_id));
                }
                _ => {}
            }
            let length = message.header.length.next_multiple_of(4) as usize;
            rest = rest.get(length.max(1)..).unwrap_or_default();
        }
        Ok(true)
    }
}

fn request(id: SocketId, states: StateFlags) -> SockDiagMessage {
    SockDiagMessage::InetRequest(InetRequest {
        family: if id.source_address.is_ipv4() {
            AF_INET
        } else {
            AF_INET6
        },
        protocol: IPPROTO_UDP,
        extensions: ExtensionFlags::empty(),
        states,
        socket_id: id,
    })
}

fn connected(id: SocketId) -> Connected {
    let addr = match id.destination_address {
        IpAddr::V4(addr) => Addr6::mapped(addr.into()),
        IpAddr::V6(addr) => addr.into(),
    };
    // The kernel has two words, the lower one first.
    let words = id.cookie.as_chunks().0.iter().rev();
    let cookie = words.fold(0, |upper, word| {
        upper << 32 | u64::from(u32::from_ne_bytes(*word))
    });
    let port = Port::new(id.destination_port);
    Connected {
        id,
        cookie,
        addr,
        port,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};

    use super::*;

    fn connected_to(to: SocketAddr) -> Vec<Connected> {
        let (addr, port) = match to {
            SocketAddr::V4(v4) => (Addr6::mapped((*v4.ip()).into()), v4.port()),
            SocketAddr::V6(v6) => ((*v6.ip()).into(), v6.port()),
        };
        let mut all = Diag::open().unwrap().connected().unwrap();
        all.retain(|it| it.addr == addr && it.port.get() == port);
        all
    }

    #[test]
    fn connected_sockets_are_listed_by_their_peer() {
        for own in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(peer) = UdpSocket::bind(own) else {
                continue;
            };
            let to = peer.local_addr().unwrap();
            assert_eq!(connected_to(to), [], "{to}");
            let socket = UdpSocket::bind(own).unwrap();
            socket.connect(to).unwrap();
            let found = connected_to(to);
            assert_eq!(found.len(), 1, "{to}");
            assert!(found.iter().all(|it| it.cookie != 0));
            drop(socket);
            assert_eq!(connected_to(to), [], "{to}");
        }
    }
}
