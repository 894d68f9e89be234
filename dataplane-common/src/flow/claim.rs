// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Claiming a tuple for a flow's replies. Once per flow.

use crate::flow::pair::forget_finished;
use crate::lb::hash::{hash, scale};
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

/// Tries that take only ports without an entry that has not expired. A backend that closed first keeps its end of a
/// connection for a minute (TIME_WAIT), and takes the SYN of another client under that port for a mistake: a second's
/// delay. The tries after these take ports of closed connections, too: at thousands of connections a second there may
/// be no others.
const PATIENT_TRIES: u32 = 5;

/// Ticks after the last packet of a closed connection until its port is anybody's who finds no other. The backend waits
/// for the client's last acknowledgement until then.
const REST: u32 = 2;

/// Whether a tuple could be had for a flow's replies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    Had,
    /// Another flow has it, or a socket of the node, or its port is a NodePort.
    Taken,
    /// A flow has it that is over: it is ours once that flow's entries are gone.
    Finished,
    Full,
}

/// Into so many parts the range is divided: a power of two, not below [`TRIES`].
const STEPS: u32 = 8;

/// In place of [`REST`]: until the other flow has expired.
const UNTIL_EXPIRED: u32 = u32::MAX;

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
    let mut claimed = Claim::Taken;
    let mut is_preferred = false;
    if let Some(port) = preferred
        && work.contested == Port::default()
    {
        assign(&mut work.value, port);
        // On the client's own tuple, the client knows best; and SCTP can have no other port.
        let rest = match work.headers.key.hook() {
            _ if work.headers.protocol() == Protocol::SCTP => 0,
            Hook::Ingress => REST,
            Hook::Egress => UNTIL_EXPIRED,
        };
        claimed = claim_as_is(tables, work, rest);
        is_preferred = true;
    }
    if claimed == Claim::Taken {
        is_preferred = false;
        if work.headers.protocol() == Protocol::SCTP {
            return Err(Outcome::SctpPortChange);
        }
        for attempt in 0..TRIES {
            let port = port(tables, work, attempt);
            if port == work.contested {
                continue;
            }
            assign(&mut work.value, port);
            let rest = match attempt < PATIENT_TRIES {
                true => UNTIL_EXPIRED,
                false => REST,
            };
            claimed = claim_as_is(tables, work, rest);
            if claimed != Claim::Taken {
                break;
            }
        }
    }
    // Once, after all tries: the verifier follows each call again.
    if claimed == Claim::Finished {
        forget_finished(tables, &work.other_key, work.value.last_seen);
        claimed = put_reply(tables, work);
    }
    match claimed {
        Claim::Had => Ok(is_preferred),
        Claim::Full => Err(Outcome::FlowTableFull),
        Claim::Taken | Claim::Finished => Err(Outcome::PortsExhausted),
    }
}

/// The port of the node's range that this flow tries as its `attempt`-th. Which they are depends on the one that
/// proved contested, else two such would be tried in turns for ever; and on the time, so that a client's next SYN
/// tries others.
#[inline(never)]
fn port<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>, attempt: u32) -> Port {
    let config = tables.config();
    let secret = tables.networks().map_or(0, |networks| networks.hash_seed);
    let seed = secret ^ work.contested.get() as u32 ^ work.value.last_seen.0.rotate_left(16);
    let count = config.ports_count as u32;
    let first = scale(hash(&work.headers.key, seed), count);
    // In even steps, so that the tries find a free port among a few.
    let step = (count / STEPS).max(1);
    let place = (first + attempt * step).checked_rem(count).unwrap_or(0);
    config.port_at(place as u16)
}

/// Puts the partner of the packet's flow, unless a flow has its place that has expired, or that is closed and has had no
/// packet for `rest` ticks.
#[inline(always)]
fn claim_as_is<F: Family, T: Tables<F>>(tables: &T, work: &mut Work<F>, rest: u32) -> Claim {
    work.set_partner();
    if is_nodes_own(tables, work) {
        return Claim::Taken;
    }
    match held_by_finished(tables, work, rest) {
        true => Claim::Finished,
        false => put_reply(tables, work),
    }
}

/// Whether the reply's tuple is one of a socket of the node or of a NodePort. Only a masqueraded flow's can be, whose
/// replies come to the node's own address, at ingress.
#[inline(never)]
fn is_nodes_own<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>) -> bool {
    let key = &work.other_key;
    key.hook() == Hook::Ingress
        && (tables.has_socket(key)
            || tables
                .frontend(&FrontendKey::node_port(key.ports.destination(), key.protocol))
                .is_some())
}

/// Whether a flow has the reply's tuple that is over for long enough.
#[inline(never)]
fn held_by_finished<F: Family, T: Tables<F>>(tables: &T, work: &Work<F>, rest: u32) -> bool {
    let now = work.value.last_seen;
    let protocol = work.headers.protocol();
    tables.flow(&work.other_key).is_some_and(|entry| {
        let holder = entry.get();
        holder.is_expired(protocol, now) || (holder.state.is_closed() && now.since(holder.last_seen) >= rest)
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
