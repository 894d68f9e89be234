// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Which Service a destination is, and which of its backends a new flow gets.
//!
//! Per new flow, never per packet: the frontend (a NodePort is a second lookup), one chunk of its set,
//! the backend. Where a Service asks for it: its source ranges, and the backend that its client had last.
//! The same for every way to a Service: nothing in here knows whether a packet or a socket asks.

use crate::lb::affinity;
use crate::lb::hash::{hash, hash_client, scale};
use crate::maps::addresses::AddressFlags;
use crate::maps::backends::{Backend, BackendId, BackendState};
use crate::maps::flows::{FlowKey, FlowValue};
use crate::maps::frontends::{EmptyVerdict, FrontendKey, FrontendValue};
use crate::maps::ranges::RangeKey;
use crate::maps::services::ServiceId;
use crate::outcome::Outcome;
use crate::tables::Tables;
use crate::value::family::Family;

/// Where a client is, as far as traffic policies care.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClientScope {
    /// One of this node's pods or processes.
    Internal,
    /// Everybody else.
    External,
}

/// The frontend that a destination is, given what is known of its address.
#[inline(always)]
pub(crate) fn frontend<F: Family, T: Tables<F>>(
    tables: &T,
    key: &FlowKey<F>,
    flags: AddressFlags,
) -> Result<FrontendValue, Outcome> {
    let own = flags.has(AddressFlags::NODE);
    if flags.has(AddressFlags::VIP)
        && let Some(frontend) =
            tables.frontend(&FrontendKey::new(key.dst, key.ports.destination(), key.protocol))
    {
        return match frontend.is_cluster_ip() && own {
            true => Err(Outcome::OwnAddress),
            false => Ok(frontend),
        };
    }
    if flags.has(AddressFlags::NODE_PORTS)
        && let Some(frontend) =
            tables.frontend(&FrontendKey::node_port(key.ports.destination(), key.protocol))
    {
        return Ok(frontend);
    }
    Err(match (flags.has(AddressFlags::CLUSTER_IP), own) {
        (false, _) => Outcome::NotOurs,
        (true, true) => Outcome::OwnAddress,
        (true, false) => Outcome::RejectedUnknownPort,
    })
}

/// Chooses one of the frontend's backends for the client `key.src` and writes it into `value`.
///
/// A client with session affinity gets the backend it had, if it may still have it; that it has this one now, the
/// caller remembers once the flow is made ([`affinity::remember`]). Otherwise the same tuple gets the same backend while the set is the same, so that a flow whose entry was lost, or a
/// retransmitted SYN, lands where it was before.
#[inline(always)]
pub(crate) fn backend<F: Family, T: Tables<F>>(
    tables: &T,
    key: &FlowKey<F>,
    frontend: &FrontendValue,
    scope: ClientScope,
    value: &mut FlowValue<F>,
) -> Result<Backend<F>, Outcome> {
    if frontend.has_ranges() && !is_in_ranges(tables, frontend.service, &key.src) {
        return Err(Outcome::SourceDropped);
    }
    let external = scope == ClientScope::External;
    let (set, empty) = frontend.scope(external);
    if set.size == 0 {
        return Err(match empty {
            EmptyVerdict::Reject => Outcome::RejectedNoEndpoint,
            EmptyVerdict::Drop => Outcome::PolicyDropped,
        });
    }
    let remembered = if frontend.affinity_seconds == 0 {
        BackendId::default()
    } else {
        affinity::recall(tables, &key.src, frontend, external)
    };
    let id = if remembered == BackendId::default() {
        let seed = tables.networks().map_or(0, |networks| networks.hash_seed);
        let number = match frontend.affinity_seconds {
            0 => hash(key, seed),
            _ => hash_client::<F>(&key.src, seed),
        };
        tables
            .slot(set, scale(number, set.size))
            .ok_or(Outcome::BackendMissing)?
    } else {
        remembered
    };
    let backend = match tables.backend(id) {
        Some(backend) if backend.state() != BackendState::Gone && backend.service == frontend.service => {
            backend
        }
        _ => return Err(Outcome::BackendMissing),
    };
    (value.addr, value.port, value.backend, value.service) =
        (backend.addr, backend.port, id, frontend.service);
    Ok(backend)
}

/// Whether a client is in one of a Service's source ranges.
#[inline(never)]
fn is_in_ranges<F: Family, T: Tables<F>>(tables: &T, service: ServiceId, client: &F::Addr) -> bool {
    tables.is_in_ranges(&RangeKey {
        service,
        addr: *client,
    })
}
