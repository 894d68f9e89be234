// SPDX-License-Identifier: MIT OR Apache-2.0
//! The planner's types and the kernel's.

use dataplane_common as common;
use dataplane_common::Port;

use super::family::HostFamily;
use crate::model::FrontendKey;
use crate::plan::{
    AddressFlags, Backend, BackendState, EmptyVerdict, FrontendFlags, FrontendValue, ScopeValue, ServiceId,
    SetId, SetRef,
};

/// `None`: the frontend is of the other family.
pub fn to_key<F: HostFamily>(key: &FrontendKey) -> Option<common::FrontendKey<F>> {
    Some(common::FrontendKey::new(
        F::from_ip(key.addr)?,
        Port::new(key.port),
        key.protocol.number(),
    ))
}

/// `None`: the backend is of the other family.
pub fn to_backend<F: HostFamily>(backend: &Backend) -> Option<common::Backend<F>> {
    let state = match backend.state {
        BackendState::Alive => common::BackendState::Alive,
        BackendState::Draining => common::BackendState::Draining,
    };
    let service = common::ServiceId(backend.service.0);
    let addr = F::from_ip(backend.addr)?;
    Some(common::Backend::new(
        addr,
        Port::new(backend.port),
        service,
        state,
        backend.local,
    ))
}

pub fn to_flags(flags: AddressFlags) -> common::AddressFlags {
    let mut raw = common::AddressFlags::default();
    if flags.vip {
        raw = raw.with(common::AddressFlags::VIP);
    }
    if flags.node {
        raw = raw.with(common::AddressFlags::NODE);
    }
    raw
}

pub fn to_frontend(value: &FrontendValue) -> common::FrontendValue {
    let scope = |scope: &ScopeValue| {
        let set = common::SetRef {
            id: common::SetId(scope.set.id.0),
            size: scope.set.size,
        };
        let empty = match scope.empty {
            EmptyVerdict::Reject => common::EmptyVerdict::Reject,
            EmptyVerdict::Drop => common::EmptyVerdict::Drop,
        };
        (set, empty)
    };
    common::FrontendValue::new(
        common::ServiceId(value.service.0),
        scope(&value.internal),
        scope(&value.external),
    )
}

pub fn from_frontend(value: &common::FrontendValue) -> FrontendValue {
    let scope = |external| {
        let (set, empty) = value.scope(external);
        let empty = match empty {
            common::EmptyVerdict::Reject => EmptyVerdict::Reject,
            common::EmptyVerdict::Drop => EmptyVerdict::Drop,
        };
        ScopeValue {
            set: SetRef {
                id: SetId(set.id.0),
                size: set.size,
            },
            empty,
        }
    };
    FrontendValue {
        service: ServiceId(value.service.0),
        internal: scope(false),
        external: scope(true),
        affinity_seconds: value.affinity_seconds,
        flags: FrontendFlags::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn a_frontend_reads_back_as_it_was_written() {
        let scope = |id, size, empty| ScopeValue {
            set: SetRef { id: SetId(id), size },
            empty,
        };
        let value = FrontendValue {
            service: ServiceId(7),
            internal: scope(3, 2, EmptyVerdict::Reject),
            external: scope(0, 0, EmptyVerdict::Drop),
            affinity_seconds: 0,
            flags: FrontendFlags::default(),
        };
        assert_eq!(from_frontend(&to_frontend(&value)), value);
    }

    #[test]
    fn a_backend_goes_only_to_the_table_of_its_family() {
        let backend = Backend {
            addr: IpAddr::from([10, 0, 0, 1]),
            port: 80,
            service: ServiceId(1),
            state: BackendState::Alive,
            local: true,
        };
        assert!(to_backend::<common::V4>(&backend).is_some_and(|raw| raw.is_local()));
        assert!(to_backend::<common::V6>(&backend).is_none());
    }
}
