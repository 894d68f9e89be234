// SPDX-License-Identifier: MIT OR Apache-2.0
//! DNS questions of tests, over a transport of choice.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::addresses::Family;
use crate::client::From;
use crate::error::{Doing, Error, Result};
use crate::service::Protocol;

/// What a name server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Addresses(Vec<IpAddr>),
    NoSuchName,
}

impl From<'_> {
    /// Asks a name server for the addresses of a name.
    pub fn look_up(&self, server: SocketAddr, name: &str, family: Family, over: Protocol) -> Result<Found> {
        let doing = || format!("asking {server} over {} for {name}", over.name());
        let wrong = |error: hickory_proto::ProtoError| Error::Failed(format!("{}: {error}", doing()));
        let question = question(name, family).map_err(wrong)?.to_vec().map_err(wrong)?;
        let answer = match over {
            Protocol::Udp => self.udp(server)?.exchange(&question).doing(doing)?,
            Protocol::Tcp => over_tcp(self.tcp(server)?.stream(), &question).doing(doing)?,
        };
        let answer = Message::from_vec(&answer).map_err(wrong)?;
        match answer.response_code() {
            ResponseCode::NoError => {
                let data = answer.answers().iter().map(hickory_proto::rr::Record::data);
                Ok(Found::Addresses(data.filter_map(RData::ip_addr).collect()))
            }
            ResponseCode::NXDomain => Ok(Found::NoSuchName),
            other => Err(Error::Failed(format!("{}: {other}", doing()))),
        }
    }
}

fn question(name: &str, family: Family) -> Result<Message, hickory_proto::ProtoError> {
    let kind = match family {
        Family::V4 => RecordType::A,
        Family::V6 => RecordType::AAAA,
    };
    let mut message = Message::new();
    message
        .set_id(1)
        .set_message_type(MessageType::Query)
        .set_op_code(OpCode::Query)
        .set_recursion_desired(true)
        .add_query(Query::query(Name::from_ascii(name)?, kind));
    Ok(message)
}

fn over_tcp(mut stream: &std::net::TcpStream, question: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes(), question].concat();
    stream.write_all(&framed)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
