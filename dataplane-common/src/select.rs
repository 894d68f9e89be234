// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Which Service a destination is, and which of its backends a new flow gets.
//!
//! Per new flow, never per packet: the frontend, one chunk of its set, the backend. The same for every way
//! to a Service: nothing in here knows whether a packet or a socket asks.

use crate::family::Family;
use crate::flow::{FlowKey, FlowValue};
use crate::hash::{hash, scale};
use crate::outcome::Outcome;
use crate::service::{AddressFlags, Backend, BackendState, EmptyVerdict, FrontendKey, FrontendValue};
use crate::tables::Tables;

/// Where a client is, as far as traffic policies care.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
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
    if !flags.has(AddressFlags::VIP) {
        return Err(Outcome::NotOurs);
    }
    if flags.has(AddressFlags::NODE) {
        return Err(Outcome::OwnAddress);
    }
    tables
        .frontend(&FrontendKey::new(key.dst, key.dport, key.protocol))
        .ok_or(Outcome::RejectedUnknownPort)
}

/// Chooses one of the frontend's backends and writes it into `value`.
///
/// The same tuple gets the same backend while the set is the same, so that a flow whose entry was
/// lost, or a retransmitted SYN, lands where it was before.
#[inline(always)]
pub(crate) fn backend<F: Family, T: Tables<F>>(
    tables: &T,
    key: &FlowKey<F>,
    frontend: &FrontendValue,
    scope: Scope,
    value: &mut FlowValue<F>,
) -> Result<Backend<F>, Outcome> {
    let (set, empty) = frontend.scope(scope == Scope::External);
    if set.size == 0 {
        return Err(match empty {
            EmptyVerdict::Reject => Outcome::RejectedNoEndpoint,
            EmptyVerdict::Drop => Outcome::PolicyDropped,
        });
    }
    let id = tables
        .slot(set, scale(hash(key), set.size))
        .ok_or(Outcome::BackendMissing)?;
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
