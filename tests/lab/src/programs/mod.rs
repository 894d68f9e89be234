// SPDX-License-Identifier: MIT OR Apache-2.0
//! What runs in the pods: real servers and clients, `shunt-lab pod ...`. Each prints `ready` once it accepts
//! traffic, and ends at SIGTERM.

pub mod bulk;
pub mod calls;
pub mod dns;
pub mod echo;
pub mod httpd;
pub mod load;
pub mod zone;

use std::net::{Ipv6Addr, SocketAddr};

use clap::Subcommand;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Doing, Result};
use crate::process::READY;

#[derive(Debug, Subcommand)]
pub enum Program {
    /// DNS server for the Services of a manifest folder.
    Dns(dns::Options),
    /// HTTP server that answers with its name.
    Httpd(httpd::Options),
    /// TCP and UDP server that answers with its name and the client's address.
    Echo(echo::Options),
    /// HTTP client that asks on and on, and counts.
    Load(load::Options),
    /// Receiver and sender of bulk data with a checksum.
    Bulk(bulk::Options),
    /// Client of `bulk`.
    Transfer(bulk::Transfer),
    /// Makes socket calls as told on standard input.
    Calls,
}

/// Runs a program until SIGTERM.
pub fn run(program: Program) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing(|| "starting a runtime".to_owned())?;
    runtime.block_on(async {
        match program {
            Program::Dns(options) => dns::serve(options).await,
            Program::Httpd(options) => httpd::serve(options).await,
            Program::Echo(options) => echo::serve(options).await,
            Program::Load(options) => load::ask_on(options).await,
            Program::Bulk(options) => bulk::serve(options).await,
            Program::Transfer(options) => bulk::transfer(options).await,
            Program::Calls => calls::obey(),
        }
    })
}

/// Every address of the pod, both families.
pub(crate) fn any(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

/// An IPv4 client of a socket for both families shows as an IPv4 address.
pub(crate) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

pub(crate) fn say_ready() {
    println!("{READY}");
}

/// Resolves at SIGTERM.
pub(crate) fn sigterm() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).doing(|| "handling SIGTERM".to_owned())?;
    Ok(async move {
        terminate.recv().await;
    })
}
