// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The host's stand-ins for the kernel: a packet in a byte vector, tables in ordinary maps, a socket.

mod packet;
mod socket;
mod tables;

pub use packet::HostPacket;
pub use socket::HostSocket;
pub use tables::HostTables;
