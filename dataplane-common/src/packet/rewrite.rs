// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Writing a decision to the packet: addresses, ports, checksums by difference.
//!
//! Per packet: one checksum call for the address, and one more only where a port changes too (a
//! checksum that the hardware will finish covers the addresses already but not yet the ports).

use crate::maps::flows::FlowValue;
use crate::packet::headers::Headers;
use crate::packet::ip::Ip;
use crate::packet::{ChecksumField, Fault, Packet};
use crate::value::checksum::Checksum;
use crate::value::family::Family;
use crate::value::hook::Hook;
use crate::value::protocol::Protocol;
use crate::value::wire::Ports;

/// Writes `value` to the packet: the destination at ingress, the source at egress (rule 1 of docs/architecture.md).
#[inline(always)]
pub(crate) fn rewrite<F: Ip, P: Packet>(
    packet: &mut P,
    headers: &Headers<F>,
    value: &FlowValue<F>,
) -> Result<(), Fault> {
    let (key, hook) = (&headers.key, headers.key.hook());
    let old_addr = match hook {
        Hook::Ingress => &key.dst,
        Hook::Egress => &key.src,
    };
    let ports = match hook {
        Hook::Ingress => Ports::new(value.peer_port, value.port),
        Hook::Egress => Ports::new(value.port, value.peer_port),
    };
    let sum = address_difference::<F>(old_addr, &value.addr);
    // SCTP's checksum covers no address, and its ports are never others (see sctp.rs).
    let has_checksum = headers.protocol() != Protocol::SCTP && !headers.unsummed;
    let mut balanced = false;
    if has_checksum {
        let field = ChecksumField {
            offset: headers.checksum_offset(),
            pseudo_header: true,
            zero_means_none: headers.protocol() == Protocol::UDP,
            ipv6: F::IS_V6,
        };
        balanced = packet.adjust_checksum(field, sum)?;
        if ports != key.ports {
            packet.adjust_checksum(
                ChecksumField {
                    pseudo_header: false,
                    ..field
                },
                ports_difference(key.ports, ports),
            )?;
            headers.store_ports(packet, ports)?;
        }
    } else if ports != key.ports {
        packet.store_unbalanced(headers.layout.l4, ports)?;
    }
    F::set_address(packet, hook, value.addr, sum, balanced)
}

/// The change that other ports make in a sum over them.
#[inline(always)]
pub(crate) fn ports_difference(old: Ports, new: Ports) -> Checksum {
    Checksum::default().minus(old.memory()).plus(new.memory())
}

/// The change that another address makes in a sum over it.
#[inline(always)]
pub(crate) fn address_difference<F: Family>(old: &F::Addr, new: &F::Addr) -> Checksum {
    let mut sum = Checksum::default();
    for word in F::words(old).iter().take(F::WORDS) {
        sum = sum.minus(*word);
    }
    for word in F::words(new).iter().take(F::WORDS) {
        sum = sum.plus(*word);
    }
    sum
}
