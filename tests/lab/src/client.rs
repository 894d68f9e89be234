// SPDX-License-Identifier: MIT OR Apache-2.0
//! The clients of tests: conversations with the `echo` program, from a pod, over TCP or UDP, from a source
//! port of choice. All waits are bounded.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::error::{Doing, Error, Result};
use crate::netns::Netns;
use crate::pod::Pod;
use crate::programs::echo::Answer;

/// Longer than any answer takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(4);

/// The largest datagram there is.
const LARGEST: usize = 65_536;

/// A place to talk from: a namespace, and the source port to use (0: any).
#[derive(Debug, Clone, Copy)]
pub struct From<'a> {
    netns: &'a Netns,
    port: u16,
    patience: Duration,
}

impl Pod {
    /// Talks from any port.
    #[must_use]
    pub fn talk(&self) -> From<'_> {
        self.talk_from(0)
    }

    /// Talks from this source port, used before or not.
    #[must_use]
    pub fn talk_from(&self, port: u16) -> From<'_> {
        From {
            netns: self.netns(),
            port,
            patience: PATIENCE,
        }
    }
}

impl Netns {
    #[must_use]
    pub fn talk(&self) -> From<'_> {
        self.talk_from(0)
    }

    /// Talks from this source port, used before or not.
    #[must_use]
    pub fn talk_from(&self, port: u16) -> From<'_> {
        From {
            netns: self,
            port,
            patience: PATIENCE,
        }
    }
}

impl From<'_> {
    /// Gives up soon: for questions that nobody is to answer.
    #[must_use]
    pub fn impatient(self) -> Self {
        Self {
            patience: Duration::from_millis(300),
            ..self
        }
    }

    /// Opens a TCP conversation.
    pub fn tcp(&self, server: SocketAddr) -> Result<Tcp> {
        let doing = || {
            format!(
                "connecting to {server} from {} port {}",
                self.netns.name(),
                self.port
            )
        };
        let socket = self.socket(server, Type::STREAM, Protocol::TCP).doing(doing)?;
        socket
            .connect_timeout(&SockAddr::from(server), self.patience)
            .doing(doing)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).doing(doing)?;
        stream.set_read_timeout(Some(self.patience)).doing(doing)?;
        Ok(Tcp {
            reader: BufReader::new(stream),
            server,
        })
    }

    /// One question over a TCP connection of its own.
    pub fn ask_tcp(&self, server: SocketAddr, question: &str) -> Result<Answer> {
        self.tcp(server)?.ask(question)
    }

    /// A UDP socket that talks to one server (`connect`ed).
    pub fn udp(&self, server: SocketAddr) -> Result<Udp> {
        let doing = || format!("connecting a UDP socket to {server} from {}", self.netns.name());
        let socket = self.socket(server, Type::DGRAM, Protocol::UDP).doing(doing)?;
        socket.connect(&SockAddr::from(server)).doing(doing)?;
        Ok(Udp {
            socket: socket.into(),
            server,
        })
    }

    /// One question over a UDP socket of its own.
    pub fn ask_udp(&self, server: SocketAddr, question: &str) -> Result<Answer> {
        self.udp(server)?.ask(question)
    }

    /// One datagram from a socket that is not connected: the answer, and where it came from.
    pub fn ask_udp_unconnected(&self, server: SocketAddr, question: &str) -> Result<(Answer, SocketAddr)> {
        let doing = || format!("asking {server} over UDP from {}", self.netns.name());
        let socket = UdpSocket::from(self.socket(server, Type::DGRAM, Protocol::UDP).doing(doing)?);
        socket.send_to(question.as_bytes(), server).doing(doing)?;
        let mut buffer = vec![0; LARGEST];
        let (length, from) = socket.recv_from(&mut buffer).doing(doing)?;
        Ok((
            understand(buffer.get(..length).unwrap_or_default(), server)?,
            from,
        ))
    }

    fn socket(&self, server: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let unspecified: IpAddr = if server.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let make = || {
            let socket = Socket::new(Domain::for_address(server), kind, Some(protocol))?;
            socket.set_read_timeout(Some(self.patience))?;
            socket.set_reuse_address(true)?;
            if self.port != 0 {
                socket.bind(&SockAddr::from(SocketAddr::new(unspecified, self.port)))?;
            }
            Ok(socket)
        };
        self.netns.run(make).map_err(io::Error::other)?
    }
}

/// An open TCP conversation.
#[derive(Debug)]
pub struct Tcp {
    reader: BufReader<TcpStream>,
    server: SocketAddr,
}

impl Tcp {
    pub fn ask(&mut self, question: &str) -> Result<Answer> {
        let server = self.server;
        let doing = || format!("asking {server} over TCP");
        self.reader
            .get_mut()
            .write_all(format!("{question}\n").as_bytes())
            .doing(doing)?;
        let mut line = String::new();
        let length = self.reader.read_line(&mut line).doing(doing)?;
        if length == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof)).doing(doing);
        }
        understand(line.as_bytes(), server)
    }

    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// Ends the conversation by a reset: no TIME_WAIT keeps the source port from its next use.
    pub fn reset(self) -> Result<()> {
        let socket = Socket::from(self.reader.into_inner());
        socket
            .set_linger(Some(Duration::ZERO))
            .doing(|| "closing with a reset".to_owned())
    }

    /// Ends the conversation at this end alone, as a machine does that loses its power: the server is told nothing.
    pub fn vanish(self) -> Result<()> {
        /// `TCP_REPAIR_ON` (linux/tcp.h): a socket under repair is closed without a word.
        const ON: u32 = 1;
        setsockopt(self.stream(), sockopt::TcpRepair, &ON).doing(|| "closing without a word".to_owned())
    }
}

/// A UDP socket that talks to one server.
#[derive(Debug)]
pub struct Udp {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Udp {
    pub fn ask(&self, question: &str) -> Result<Answer> {
        let server = self.server;
        let answer = self
            .exchange(question.as_bytes())
            .doing(|| format!("asking {server} over UDP"))?;
        understand(&answer, server)
    }

    /// Lets datagrams die after so many routers, and hears of it.
    pub fn expire_after(&self, hops: u32) -> Result<()> {
        let doing = || format!("letting datagrams to {} expire after {hops} hops", self.server);
        let socket = SockRef::from(&self.socket);
        if self.server.is_ipv4() {
            socket.set_ttl_v4(hops).doing(doing)?;
            setsockopt(&self.socket, sockopt::Ipv4RecvErr, &true).doing(doing)
        } else {
            socket.set_unicast_hops_v6(hops).doing(doing)?;
            setsockopt(&self.socket, sockopt::Ipv6RecvErr, &true).doing(doing)
        }
    }

    /// Sends a datagram and takes the next one that comes.
    pub fn exchange(&self, datagram: &[u8]) -> io::Result<Vec<u8>> {
        self.socket.send(datagram)?;
        let mut buffer = vec![0; LARGEST];
        let length = self.socket.recv(&mut buffer)?;
        buffer.truncate(length);
        Ok(buffer)
    }
}

fn understand(line: &[u8], server: SocketAddr) -> Result<Answer> {
    serde_json::from_slice(line).map_err(|error| Error::Malformed {
        doing: format!("asking {server}"),
        what: format!("the answer {:?}", String::from_utf8_lossy(line)),
        why: error.to_string(),
    })
}
