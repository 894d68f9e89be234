// SPDX-License-Identifier: MIT OR Apache-2.0
//! A TCP proxy that can fail: what a network between client and server does, for servers that cannot be
//! told to.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A running proxy; connections number from 1, and an order meets those up to a number.
pub struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    last: u64,
    broken: u64,
    stalled: u64,
    refusing: bool,
    stopped: bool,
}

impl Proxy {
    /// Starts a proxy to `server` on a free loopback port, in the current runtime.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let orders = watch::Sender::default();
        tokio::spawn(serve(listener, server, orders.clone()));
        Ok(Self { address, orders })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks the open connections.
    pub fn break_connections(&self) {
        self.orders.send_modify(|orders| orders.broken = orders.last);
    }

    /// Passes nothing from the server on any more on open connections: they stay, and are silent.
    pub fn stall_connections(&self) {
        self.orders.send_modify(|orders| orders.stalled = orders.last);
    }

    /// Breaks the open connections, and every new one as soon as it is made.
    pub fn refuse_connections(&self) {
        self.orders.send_modify(|orders| {
            orders.broken = orders.last;
            orders.refusing = true;
        });
    }

    /// Takes connections again.
    pub fn admit_connections(&self) {
        self.orders.send_modify(|orders| orders.refusing = false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.orders.send_modify(|orders| orders.stopped = true);
    }
}

async fn serve(listener: TcpListener, server: SocketAddr, orders: watch::Sender<Orders>) {
    let mut news = orders.subscribe();
    // Dropping the set ends the connections.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let mut id = 0;
                orders.send_modify(|orders| {
                    orders.last += 1;
                    id = orders.last;
                });
                if !orders.borrow().refusing {
                    connections.spawn(connection(client, server, id, orders.subscribe()));
                }
            }
            Some(_) = connections.join_next() => {}
            stopped = news.wait_for(|orders| orders.stopped) => {
                drop(stopped);
                return;
            }
        }
    }
}

async fn connection(client: TcpStream, server: SocketAddr, id: u64, orders: watch::Receiver<Orders>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut broken = orders.clone();
    // Whichever ends first ends the connection, in both directions; why does not matter.
    tokio::select! {
        _ = broken.wait_for(|orders| id <= orders.broken) => {}
        _ = pass(from_client, to_server, id, None) => {}
        _ = pass(from_server, to_client, id, Some(orders)) => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    id: u64,
    mut orders: Option<watch::Receiver<Orders>>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        if let Some(orders) = &mut orders
            && orders.wait_for(|orders| id > orders.stalled).await.is_err()
        {
            return Ok(());
        }
        to.write_all(&buffer[..length]).await?;
    }
}
