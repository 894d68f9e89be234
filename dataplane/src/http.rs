// SPDX-License-Identifier: MIT OR Apache-2.0
//! HTTP servers that run as long as the agent. A port that is taken is retried: it must not stop the agent.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tracing::{error, info};

/// A port that is taken may become free.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Serves on a port, or waits for it, and never returns. `report` is called for the first failure in a row.
pub async fn serve_forever(port: &str, addr: SocketAddr, router: Router, mut report: impl FnMut(&io::Error)) {
    let mut is_reported = false;
    loop {
        let failure = match bind(addr).await {
            Ok(listener) => {
                is_reported = false;
                listen(port, listener, router.clone()).await
            }
            Err(failure) => failure,
        };
        if !mem::replace(&mut is_reported, true) {
            error!(port, %addr, %failure, retry_every = ?RETRY_AFTER, "cannot serve");
            report(&failure);
        }
        sleep(RETRY_AFTER).await;
    }
}

/// `[::]` is both families, and only IPv4 on a machine without IPv6.
async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(addr).await {
        Err(_) if addr.ip() == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, addr.port())).await
        }
        bound => bound,
    }
}

/// Returns only if serving failed.
async fn listen(port: &str, listener: TcpListener, router: Router) -> io::Error {
    if let Ok(addr) = listener.local_addr() {
        info!(port, %addr, "open");
    }
    match axum::serve(listener, router).await {
        Ok(()) => io::ErrorKind::ConnectionAborted.into(),
        Err(failure) => failure,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_waited_for_and_reported_once() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = taken.local_addr().unwrap();
        let times = Arc::new(AtomicU32::new(0));
        let reported = times.clone();
        tokio::time::pause();
        tokio::spawn(async move {
            let report = |_: &io::Error| {
                reported.fetch_add(1, Ordering::Relaxed);
            };
            serve_forever("test port", addr, Router::new(), report).await;
        });
        sleep(3 * RETRY_AFTER).await;
        drop(taken);
        while TcpStream::connect(addr).await.is_err() {
            sleep(RETRY_AFTER).await;
        }
        assert_eq!(times.load(Ordering::Relaxed), 1);
    }
}
