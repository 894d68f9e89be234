// SPDX-License-Identifier: MIT OR Apache-2.0
//! An HTTP server that answers with its name, its version, and the client it sees. At SIGTERM it accepts
//! nothing new, finishes what it has begun, and ends.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State};
use axum::routing::get;
use axum::{Json, Router};
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::{any, plain, say_ready, sigterm};
use crate::error::{Doing, Result};

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// What to call itself.
    #[arg(long)]
    name: String,
    /// What it says of its version.
    #[arg(long, default_value = "v1")]
    version: String,
    #[arg(long)]
    port: u16,
}

/// The body of every answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub pod: String,
    pub version: String,
    /// The client's address as the server sees it.
    pub client: SocketAddr,
}

pub async fn serve(options: Options) -> Result<()> {
    let port = options.port;
    let end = sigterm()?;
    let listener = TcpListener::bind(any(port))
        .await
        .doing(|| format!("listening on port {port}"))?;
    let router = Router::new().route("/", get(page)).with_state(options);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    say_ready();
    axum::serve(listener, service)
        .with_graceful_shutdown(end)
        .await
        .doing(|| "serving HTTP".to_owned())
}

async fn page(State(options): State<Options>, ConnectInfo(client): ConnectInfo<SocketAddr>) -> Json<Page> {
    Json(Page {
        pod: options.name,
        version: options.version,
        client: plain(client),
    })
}
