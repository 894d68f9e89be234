// SPDX-License-Identifier: MIT OR Apache-2.0
//! One HTTP request over a connection of its own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{Doing, Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// The client's end of the connection.
    pub client: SocketAddr,
}

const PATIENCE: Duration = Duration::from_secs(5);

/// Asks from the calling thread's namespace. HTTP/1.0 asks for a plain body and then the end of the
/// connection: nothing to parse but the head.
pub fn get(server: SocketAddr, path: &str) -> Result<Answer> {
    let doing = || format!("GET {path} at {server}");
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE).doing(doing)?;
    stream.set_read_timeout(Some(PATIENCE)).doing(doing)?;
    let client = stream.local_addr().doing(doing)?;
    stream
        .write_all(format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n").as_bytes())
        .doing(doing)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).doing(doing)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    match status {
        Some(status) => Ok(Answer {
            status,
            headers: head.lines().skip(1).filter_map(header).collect(),
            body: body.to_owned(),
            client,
        }),
        None => Err(Error::Malformed {
            doing: doing(),
            what: format!("{head:?}"),
            why: "no status".to_owned(),
        }),
    }
}

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_ascii_lowercase(), value.trim().to_owned()))
}
