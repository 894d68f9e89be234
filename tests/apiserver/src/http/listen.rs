// SPDX-License-Identifier: MIT OR Apache-2.0
//! The listening socket, TLS, and connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::answer;
use crate::shared::Shared;

/// An order to the listener; the sender is told when it has been carried out.
pub(crate) enum Gate {
    /// Close every connection and refuse new ones. The port stays ours.
    Refuse(SyncSender<()>),
    /// Take connections again.
    Admit(SyncSender<()>),
}

/// A socket that listens, and where.
pub(crate) struct Listening {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
}

/// Opens the listening socket.
pub(crate) fn listen(address: SocketAddr) -> io::Result<Listening> {
    let listener = bind(address)?.listen(1024)?;
    let address = listener.local_addr()?;
    Ok(Listening { listener, address })
}

impl Listening {
    /// Serves until the orders end.
    pub(crate) async fn serve(self, shared: Arc<Shared>, tls: TlsAcceptor, mut orders: mpsc::Receiver<Gate>) {
        let mut listener = self.listener;
        loop {
            let mut connections = JoinSet::new();
            let done = loop {
                tokio::select! {
                    accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                        connections.spawn(connection(shared.clone(), tls.clone(), stream));
                    },
                    Some(_) = connections.join_next() => {}
                    order = orders.recv() => match order {
                        Some(Gate::Refuse(done)) => break done,
                        Some(Gate::Admit(done)) => acknowledge(&done),
                        None => return,
                    },
                }
            };
            drop(listener);
            connections.shutdown().await;
            let Some(reopened) = refuse_until_admitted(self.address, &mut orders, done).await else {
                return;
            };
            listener = reopened;
        }
    }
}

/// Holds the port with a socket that does not listen: the kernel answers with RST, and nobody else gets it.
async fn refuse_until_admitted(
    address: SocketAddr,
    orders: &mut mpsc::Receiver<Gate>,
    refused: SyncSender<()>,
) -> Option<TcpListener> {
    let held = bind(address).ok()?;
    acknowledge(&refused);
    loop {
        match orders.recv().await? {
            Gate::Refuse(done) => acknowledge(&done),
            Gate::Admit(done) => {
                let listener = held.listen(1024).ok()?;
                acknowledge(&done);
                return Some(listener);
            }
        }
    }
}

fn acknowledge(done: &SyncSender<()>) {
    // Whoever gave the order may have gone.
    let _ = done.try_send(());
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn connection(shared: Arc<Shared>, tls: TlsAcceptor, stream: TcpStream) {
    // Watch events are small and must not wait for each other.
    if let Err(why) = stream.set_nodelay(true) {
        tracing::debug!(%why, "TCP_NODELAY not set");
    }
    let stream = match tls.accept(stream).await {
        Ok(stream) => stream,
        Err(why) => return tracing::debug!(%why, "TLS handshake failed"),
    };
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate: Option<Arc<[u8]>> = shown.map(|der| Arc::from(der.as_ref()));
    let service = service_fn(move |request| answer(shared.clone(), certificate.clone(), request));
    let served = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(why) = served {
        tracing::debug!(%why, "connection ended");
    }
}
