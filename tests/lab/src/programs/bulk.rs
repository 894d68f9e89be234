// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bulk data with a checksum at both ends. A client says `send N` or `take N`; the bytes go one way, a
//! receipt of what arrived (and what it should have been) comes back.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{any, say_ready, sigterm};
use crate::error::{Doing, Error, Result};

#[derive(Debug, Args)]
pub struct Options {
    #[arg(long)]
    port: u16,
}

#[derive(Debug, Args)]
pub struct Transfer {
    #[arg(long)]
    server: SocketAddr,
    #[arg(long)]
    way: Way,
    #[arg(long)]
    bytes: u64,
}

/// What one end has seen of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub bytes: u64,
    pub crc32: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// The client sends.
    Up,
    /// The server sends.
    Down,
}

pub async fn serve(options: Options) -> Result<()> {
    let end = sigterm()?;
    let listener = TcpListener::bind(any(options.port))
        .await
        .doing(|| format!("listening on port {}", options.port))?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_one(stream));
        }
    });
    say_ready();
    end.await;
    Ok(())
}

/// Moves bytes to or from a server and prints, as a line of JSON, what the sender and what the receiver saw.
pub async fn transfer(options: Transfer) -> Result<()> {
    say_ready();
    let receipts = move_bytes(&options).await?;
    let line = serde_json::to_string(&receipts).map_err(std::io::Error::from);
    println!("{}", line.doing(|| "writing the receipts".to_owned())?);
    Ok(())
}

async fn move_bytes(&Transfer { server, way, bytes }: &Transfer) -> Result<(Receipt, Receipt)> {
    let doing = || format!("moving {bytes} bytes through {server}");
    let stream = TcpStream::connect(server).await.doing(doing)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(CHUNK, reader);
    let verb = if way == Way::Up { "send" } else { "take" };
    writer
        .write_all(format!("{verb} {bytes}\n").as_bytes())
        .await
        .doing(doing)?;
    let own = match way {
        Way::Up => send(&mut writer, bytes).await,
        Way::Down => receive(&mut reader, bytes).await,
    };
    let own = own.doing(doing)?;
    let mut line = String::new();
    reader.read_line(&mut line).await.doing(doing)?;
    let other: Receipt = serde_json::from_str(&line).map_err(|error| Error::Malformed {
        doing: doing(),
        what: format!("the receipt {line:?}"),
        why: error.to_string(),
    })?;
    Ok(if way == Way::Up {
        (own, other)
    } else {
        (other, own)
    })
}

const CHUNK: usize = 256 * 1024;

async fn serve_one(stream: TcpStream) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(CHUNK, reader);
    let mut order = String::new();
    reader.read_line(&mut order).await?;
    let receipt = match order
        .trim_end()
        .split_once(' ')
        .map(|(verb, bytes)| (verb, bytes.parse()))
    {
        Some(("send", Ok(bytes))) => receive(&mut reader, bytes).await?,
        Some(("take", Ok(bytes))) => send(&mut writer, bytes).await?,
        _ => return Ok(()),
    };
    let mut line = serde_json::to_vec(&receipt).map_err(std::io::Error::from)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: u64) -> std::io::Result<Receipt> {
    let chunk = noise();
    let (mut left, mut crc) = (bytes, crc32fast::Hasher::new());
    while left > 0 {
        let part = part_of(&chunk, left);
        writer.write_all(part).await?;
        crc.update(part);
        left -= part.len() as u64;
    }
    Ok(Receipt {
        bytes,
        crc32: crc.finalize(),
    })
}

async fn receive(reader: &mut (impl AsyncRead + Unpin), bytes: u64) -> std::io::Result<Receipt> {
    let mut buffer = vec![0; CHUNK];
    let (mut seen, mut crc) = (0, crc32fast::Hasher::new());
    while seen < bytes {
        let room = usize::try_from(bytes - seen).map_or(CHUNK, |left| left.min(CHUNK));
        let length = reader.read(buffer.get_mut(..room).unwrap_or_default()).await?;
        if length == 0 {
            break;
        }
        crc.update(buffer.get(..length).unwrap_or_default());
        seen += length as u64;
    }
    Ok(Receipt {
        bytes: seen,
        crc32: crc.finalize(),
    })
}

fn part_of(chunk: &[u8], left: u64) -> &[u8] {
    let length = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
    chunk.get(..length).unwrap_or_default()
}

/// Bytes without a short period (an xorshift), so that lost, doubled or moved segments change the sum.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    // Not a multiple of any segment size.
    let words = (CHUNK - 8 * 13) / 8;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    next.take(words).flatten().collect()
}
