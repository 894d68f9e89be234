// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Writing a decision to the packet: addresses, ports, checksums by difference.
//!
//! Per packet: one checksum call for the address, and one more only where a port changes too (a
//! checksum that the hardware will finish covers the addresses already but not yet the ports).

use crate::checksum::Checksum;
use crate::family::Family;
use crate::flow::{FlowValue, Hook};
use crate::headers::{Headers, Protocol};
use crate::packet::{Fault, Field, Packet};

/// Writes `value` to the packet: the destination at ingress, the source at egress (rule 1).
#[inline(always)]
pub(crate) fn rewrite<F: Family, P: Packet>(
    packet: &mut P,
    headers: &Headers<F>,
    value: &FlowValue<F>,
) -> Result<(), Fault> {
    let (key, layout, hook) = (&headers.key, &headers.layout, headers.key.hook());
    let old_addr = match hook {
        Hook::Ingress => &key.dst,
        Hook::Egress => &key.src,
    };
    let (sport, dport) = match hook {
        Hook::Ingress => (value.peer_port, value.port),
        Hook::Egress => (value.port, value.peer_port),
    };
    let field = Field {
        offset: headers.checksum_offset(),
        pseudo_header: true,
        zero_means_none: headers.protocol() == Protocol::UDP,
        ipv6: F::IS_V6,
    };
    let sum = address_difference::<F>(old_addr, &value.addr);
    packet.adjust_checksum(field, sum)?;
    if (sport, dport) != (key.sport, key.dport) {
        let ports = Checksum::default()
            .sub16(key.sport.bytes())
            .sub16(key.dport.bytes())
            .add16(sport.bytes())
            .add16(dport.bytes());
        packet.adjust_checksum(
            Field {
                pseudo_header: false,
                ..field
            },
            ports,
        )?;
        packet.store_far(layout.l4, [sport, dport])?;
    }
    match hook {
        Hook::Ingress => F::set_destination(packet, value.addr, sum),
        Hook::Egress => F::set_source(packet, value.addr, sum),
    }
}

#[inline(always)]
fn address_difference<F: Family>(old: &F::Addr, new: &F::Addr) -> Checksum {
    let mut sum = Checksum::default();
    for word in F::words(old).iter().take(F::WORDS) {
        sum = sum.minus(*word);
    }
    for word in F::words(new).iter().take(F::WORDS) {
        sum = sum.plus(*word);
    }
    sum
}
