// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Claiming a tuple for a flow's replies. Once per flow.

use crate::flow::pair::{forget, is_over};
use crate::lb::hash::{hash, rehash, scale};
use crate::maps::flows::FlowValue;
use crate::maps::frontends::FrontendKey;
use crate::outcome::Outcome;
use crate::tables::work::Work;
use crate::tables::{Insert, InsertError, Tables};
use crate::value::family::Family;
use crate::value::hook::Hook;
use crate::value::protocol::Protocol;
use crate::value::wire::Port;

/// Ports tried before a flow is refused. With half of the range taken, one flow in 64 needs more
/// than these; each is another step of the verifier's way through the program.
const TRIES: u32 = 6;

/// Tries that leave ports alone whose connection has only just ended. The backend waits for the client's last
/// acknowledgement then, and takes another connection's SYN for a mistake; and that acknowledgement no longer finds its
/// flow. The tries after these take such ports, too: at thousands of connections a second there may be no others.
const PATIENT_TRIES: u32 = 4;

/// Ticks after its last packet until a port is anybody's.
const REST: u32 = 2;

/// Whether a tuple could be had for a flow's replies.
enum Claim {
    Had,
    /// Another flow has it, or a socket of the node, or its port is a NodePort.
    Taken,
    Full,
}

/// Puts the entry that turns the replies of the packet's flow back, under a tuple no
/// other live flow has. The insertion is the reservation: two CPUs cannot both win.
///
/// `preferred` is tried first, then ports of the node's range; where `work.contested` is a port, only those, and not that
/// one. `assign` writes the port tried into the value. Whether the preferred port was had is returned.
#[inline(always)]
pub(crate) fn claim<F: Family, T: Tables<F>>(
    tables: &T,
    work: &mut Work<F>,
    preferred: Option<Port>,
    assign: impl Fn(&mut FlowValue<F>, Port),
) -> Result<bool, Outcome> {
    if let Some(port) = preferred
        && work.contested == Port::default()
    {
        assign(&mut work.value, port);
        // On the client's own tuple, the client knows best; and SCTP can have no other port.
        let rest = match work.headers.key.hook() {
            Hook::Egress if work.headers.protocol() != Protocol::SCTP => REST,
            _ => 0,
        };
        match claim_as_is(tables, work, rest) {
            Claim::Had => return Ok(true),
            Claim::Full => return Err(Outcome::FlowTableFull),
            Claim::Taken => {}
        }
    }
    if work.headers.protocol() == Protocol::SCTP {
        return Err(Outcome::SctpPortChange);
    }
    for attempt in 0..TRIES {
        let port = port(tables, work, attempt);
        if port == work.contested {
            continue;
        }
        assign(&mut work.value, port);
        let rest = if attempt < PATIENT_TRIES { REST } else { 0 };
        match claim_as_is(tables, work, rest) {
            Claim::Had => return Ok(false),
            Claim::Full => return Err(Outcome::FlowTableFull),
            Claim::Taken => {}
        }
    }
    Err(Outcome::PortsExhausted)
}

/// The port of the node's range that this flow tries as its `attempt`-th. Which they are
/// depends on the contested port: otherwise two contested ports would be tried in turns forever.
#[inline(never)]
fn port<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>, attempt: u32) -> Port {
    let config = tables.config();
    let offset = scale(
        rehash(hash(&work.headers.key) ^ work.contested.get() as u32, attempt),
        config.ports_count as u32,
    );
    Port::new(config.ports_first.wrapping_add(offset as u16))
}

/// Puts the partner of the packet's flow, in the place of a flow that is over if need be, since `rest` ticks.
#[inline(always)]
fn claim_as_is<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, rest: u32) -> Claim {
    if held_by_finished(tables, work, rest) {
        forget(tables, &work.other_key);
    }
    if is_nodes_own(tables, work) {
        return Claim::Taken;
    }
    put_reply(tables, work)
}

/// Whether the reply would be the node's own or a Service's, were it not this flow's. Only replies to the
/// node's own address can be, those of masqueraded flows, which are handled at ingress.
#[inline(never)]
fn is_nodes_own<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>) -> bool {
    let key = &work.other_key;
    key.hook() == Hook::Ingress
        && (tables.has_socket(key)
            || tables
                .frontend(&FrontendKey::node_port(key.ports.destination(), key.protocol))
                .is_some())
}

/// Works out the reply's tuple, and whether a flow has it that is over and has had no packet for `rest` ticks.
#[inline(never)]
fn held_by_finished<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, rest: u32) -> bool {
    work.set_partner();
    let now = work.value.last_seen;
    tables.flow(&work.other_key).is_some_and(|entry| {
        let holder = entry.get();
        now.since(holder.last_seen) >= rest && is_over(&work.other_key, &holder, now)
    })
}

#[inline(never)]
fn put_reply<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>) -> Claim {
    let (key, reply) = (&work.other_key, &work.other);
    match tables.insert_flow(key, reply, Insert::New) {
        Ok(()) => return Claim::Had,
        Err(InsertError::Full) => return Claim::Full,
        Err(InsertError::Exists) => {}
    }
    match tables.flow(key) {
        // Left over from this very flow: its other half was evicted, or another CPU was quicker.
        Some(entry) if work.headers.key.has_partner(entry) => {
            entry.replace(reply);
            Claim::Had
        }
        _ => Claim::Taken,
    }
}
