// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cluster's DNS server: A and AAAA of the Services in the manifest folder, over UDP and TCP.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use hickory_proto::ProtoError;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::zone::{DOMAIN, LiveZone, Zone};
use super::{any, say_ready, sigterm};
use crate::error::{Doing, Result};

#[derive(Debug, Args)]
pub struct Options {
    /// Folder with the Service manifests.
    #[arg(long)]
    manifests: PathBuf,
    #[arg(long, default_value_t = 53)]
    port: u16,
}

type Shared = Arc<Mutex<LiveZone>>;

const TTL: u32 = 5;

pub async fn serve(options: Options) -> Result<()> {
    let doing = || format!("listening on port {}", options.port);
    let end = sigterm()?;
    let listener = TcpListener::bind(any(options.port)).await.doing(doing)?;
    let socket = UdpSocket::bind(any(options.port)).await.doing(doing)?;
    let zone = Arc::new(Mutex::new(LiveZone::of(options.manifests)));
    tokio::spawn(accept(listener, Arc::clone(&zone)));
    tokio::spawn(answer_datagrams(socket, zone));
    say_ready();
    end.await;
    Ok(())
}

async fn answer_datagrams(socket: UdpSocket, zone: Shared) {
    let mut buffer = vec![0; 4096];
    loop {
        // Errors here tell of earlier clients that went away; the next query is not concerned.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        if let Some(reply) = reply_to(buffer.get(..length).unwrap_or_default(), &zone) {
            let _ = socket.send_to(&reply, client).await;
        }
    }
}

async fn accept(listener: TcpListener, zone: Shared) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer_stream(stream, Arc::clone(&zone)));
    }
}

/// Over TCP each message is led by its length.
async fn answer_stream(mut stream: TcpStream, zone: Shared) -> std::io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut query = vec![0; length.into()];
        stream.read_exact(&mut query).await?;
        let Some(reply) = reply_to(&query, &zone) else {
            return Ok(());
        };
        let mut framed = u16::try_from(reply.len())
            .unwrap_or_default()
            .to_be_bytes()
            .to_vec();
        framed.extend(reply);
        stream.write_all(&framed).await?;
    }
}

/// Nothing is said to what is not a query.
fn reply_to(bytes: &[u8], zone: &Shared) -> Option<Vec<u8>> {
    let query = Message::from_vec(bytes).ok()?;
    if query.message_type() != MessageType::Query {
        return None;
    }
    let mut zone = zone.lock().unwrap_or_else(PoisonError::into_inner);
    reply(&query, zone.current()).ok()?.to_vec().ok()
}

fn reply(query: &Message, zone: &Zone) -> Result<Message, ProtoError> {
    let mut reply = Message::new();
    reply
        .set_id(query.id())
        .set_message_type(MessageType::Response)
        .set_op_code(query.op_code())
        .set_recursion_desired(query.recursion_desired())
        .set_authoritative(true)
        .add_queries(query.queries().iter().cloned());
    let [question] = query.queries() else {
        reply.set_response_code(ResponseCode::FormErr);
        return Ok(reply);
    };
    if query.op_code() != OpCode::Query {
        reply.set_response_code(ResponseCode::NotImp);
        return Ok(reply);
    }
    let name = question.name();
    match zone.addresses(&name.to_ascii()) {
        Some(addresses) => reply.add_answers(records(name, question.query_type(), addresses)),
        None => reply.set_response_code(ResponseCode::NXDomain),
    };
    if reply.answers().is_empty() {
        reply.add_name_server(authority()?);
    }
    Ok(reply)
}

fn records(name: &Name, kind: RecordType, addresses: &[IpAddr]) -> Vec<Record> {
    let data = addresses.iter().filter_map(|address| match (kind, *address) {
        (RecordType::A, IpAddr::V4(v4)) => Some(RData::A(A(v4))),
        (RecordType::AAAA, IpAddr::V6(v6)) => Some(RData::AAAA(AAAA(v6))),
        _ => None,
    });
    data.map(|data| Record::from_rdata(name.clone(), TTL, data))
        .collect()
}

/// Says how long "no" may be remembered.
fn authority() -> Result<Record, ProtoError> {
    let zone = Name::from_ascii(format!("{DOMAIN}."))?;
    let server = Name::from_ascii(format!("ns.dns.{DOMAIN}."))?;
    let mailbox = Name::from_ascii(format!("hostmaster.{DOMAIN}."))?;
    let refresh = i32::try_from(TTL).unwrap_or_default();
    Ok(Record::from_rdata(
        zone,
        TTL,
        RData::SOA(SOA::new(server, mailbox, 1, refresh, refresh, refresh, TTL)),
    ))
}
