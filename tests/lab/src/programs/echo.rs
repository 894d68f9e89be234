// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers every TCP line and every UDP datagram with who it is, whom it sees, and what it heard.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::{any, plain, say_ready, sigterm};
use crate::error::{Doing, Result};

#[derive(Debug, Args)]
pub struct Options {
    /// What to call itself.
    #[arg(long)]
    name: String,
    #[arg(long)]
    port: u16,
    /// Listens at this address alone.
    #[arg(long)]
    at: Option<IpAddr>,
}

/// One answer, a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Who answers.
    pub pod: String,
    /// The client's address as the server sees it.
    pub client: SocketAddr,
    /// What the client said.
    pub heard: String,
}

pub async fn serve(options: Options) -> Result<()> {
    let doing = || format!("listening on port {}", options.port);
    let end = sigterm()?;
    let at = options
        .at
        .map_or_else(|| any(options.port), |addr| (addr, options.port).into());
    let listener = TcpListener::bind(at).await.doing(doing)?;
    let socket = UdpSocket::bind(at).await.doing(doing)?;
    let name: Arc<str> = options.name.into();
    tokio::spawn(accept(listener, Arc::clone(&name)));
    tokio::spawn(answer_datagrams(socket, name));
    say_ready();
    end.await;
    Ok(())
}

async fn accept(listener: TcpListener, name: Arc<str>) {
    while let Ok((stream, client)) = listener.accept().await {
        tokio::spawn(answer_lines(stream, plain(client), Arc::clone(&name)));
    }
}

async fn answer_lines(stream: TcpStream, client: SocketAddr, name: Arc<str>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await? {
        writer.write_all(&answer(&name, client, &line)).await?;
    }
    Ok(())
}

async fn answer_datagrams(socket: UdpSocket, name: Arc<str>) {
    let mut buffer = vec![0; 65_536];
    loop {
        // A refused answer to an earlier client shows here as an error; the next datagram is not concerned.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let heard = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
        let _ = socket
            .send_to(&answer(&name, plain(client), &heard), client)
            .await;
    }
}

fn answer(name: &str, client: SocketAddr, heard: &str) -> Vec<u8> {
    let answer = Answer {
        pod: name.to_owned(),
        client,
        heard: heard.to_owned(),
    };
    let mut line = serde_json::to_vec(&answer).unwrap_or_default();
    line.push(b'\n');
    line
}
