// SPDX-License-Identifier: MIT OR Apache-2.0
//! Single questions to the kernel's routing and traffic control, asked and answered at once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};

use crate::model::Family;

/// Asks, and hands on what is answered, up to the end. A question without `NLM_F_DUMP` has one answer.
pub(super) fn ask(
    question: RouteNetlinkMessage,
    flags: u16,
    mut answer: impl FnMut(RouteNetlinkMessage),
) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(question));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    loop {
        let (answers, _) = socket.recv_from_full()?;
        let mut rest = answers.as_slice();
        while !rest.is_empty() {
            let message =
                NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(inner) => answer(inner),
                _ => {}
            }
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length.max(4)..).unwrap_or_default();
        }
        if flags == 0 {
            return Ok(());
        }
    }
}

/// The source that the node's own packets to the outside have, by this device or by the one that routing takes.
pub fn route_source(family: Family, ifindex: Option<u32>) -> Option<IpAddr> {
    // Addresses for documentation: no route is for them alone.
    let (address_family, to, length) = match family {
        Family::V4 => (
            AddressFamily::Inet,
            RouteAddress::Inet(Ipv4Addr::new(192, 0, 2, 1)),
            32,
        ),
        Family::V6 => (
            AddressFamily::Inet6,
            RouteAddress::Inet6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
            128,
        ),
    };
    let mut question = RouteMessage::default();
    question.header.address_family = address_family;
    question.header.destination_prefix_length = length;
    question.attributes.push(RouteAttribute::Destination(to));
    question.attributes.extend(ifindex.map(RouteAttribute::Oif));
    let mut source = None;
    let answer = |message| {
        if let RouteNetlinkMessage::NewRoute(route) = message {
            for attribute in route.attributes {
                match attribute {
                    RouteAttribute::PrefSource(RouteAddress::Inet(addr)) => source = Some(IpAddr::V4(addr)),
                    RouteAttribute::PrefSource(RouteAddress::Inet6(addr)) => source = Some(IpAddr::V6(addr)),
                    _ => {}
                }
            }
        }
    };
    ask(RouteNetlinkMessage::GetRoute(question), 0, answer).ok()?;
    source
}
