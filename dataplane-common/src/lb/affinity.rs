// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! ClientIP session affinity: a client's new flows go where its last one went. Per new flow.

use crate::maps::affinity::{Affinity, AffinityKey};
use crate::maps::backends::BackendId;
use crate::maps::flows::FlowValue;
use crate::maps::frontends::FrontendValue;
use crate::tables::Tables;
use crate::value::family::Family;

/// The backend that `client` had of this Service port, if the client may have it still: if it is in
/// the choice that policy, health and topology leave this client now. None is 0.
#[inline(never)]
pub(crate) fn recall<F: Family, T: Tables<F>>(
    tables: &T,
    client: &F::Addr,
    frontend: &FrontendValue,
    external: bool,
) -> BackendId {
    let key = AffinityKey {
        client: *client,
        service: frontend.service,
    };
    let Some(last) = tables.affinity(&key) else {
        return BackendId::default();
    };
    let may_have = tables.backend(last.backend).is_some_and(|backend| {
        backend.serves(frontend.service, &last.addr, last.port)
            && backend.is_chosen(frontend.choice(external))
    });
    match may_have && !last.is_expired(frontend.affinity_seconds, tables.now()) {
        true => last.backend,
        false => BackendId::default(),
    }
}

/// From now on, `client` has the backend of this flow.
#[inline(never)]
pub(crate) fn remember<F: Family, T: Tables<F>>(tables: &T, client: &F::Addr, flow: &FlowValue<F>) {
    tables.put_affinity(
        &AffinityKey {
            client: *client,
            service: flow.service,
        },
        &Affinity {
            addr: flow.addr,
            backend: flow.backend,
            last_new: tables.now(),
            port: flow.port,
            zero: [0; 2],
        },
    );
}
