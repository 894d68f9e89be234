// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The map types as the agent's map library wants them.

use crate::device::{Config, Device};
use crate::family::Family;
use crate::flow::{FlowKey, FlowValue};
use crate::fragment::{FragmentKey, FragmentValue};
use crate::networks::Networks;
use crate::peers::Peer;
use crate::reject::TokenBucket;
use crate::service::{
    AddressFlags, Affinity, AffinityKey, Backend, FrontendKey, FrontendValue, RangeKey, ServiceName,
    ServiceTraffic, SetKey,
};
use crate::wire::{Addr4, Addr6};

macro_rules! pod {
    ($($type:ty),+ $(,)?) => {$(
        // SAFETY: `repr(C)` or `repr(transparent)`, made of integers and byte arrays, valid for every
        // bit pattern, and without padding (asserted where the type is defined).
        unsafe impl aya::Pod for $type {}
    )+};
}

pod!(
    Addr4,
    Addr6,
    AddressFlags,
    Config,
    Device,
    FrontendValue,
    Peer,
    ServiceName,
    ServiceTraffic,
    SetKey,
    TokenBucket
);
pod!(crate::service::BackendId);

// SAFETY: as above, for either family.
unsafe impl<F: Family> aya::Pod for FlowKey<F> {}
// SAFETY: as above.
unsafe impl<F: Family> aya::Pod for FlowValue<F> {}
// SAFETY: as above.
unsafe impl<F: Family> aya::Pod for FrontendKey<F> {}
// SAFETY: as above.
unsafe impl<F: Family> aya::Pod for Backend<F> {}
// SAFETY: as above.
unsafe impl<F: Family> aya::Pod for FragmentKey<F> {}
// SAFETY: as above.
unsafe impl<F: Family> aya::Pod for FragmentValue<F> {}
// SAFETY: as above.
unsafe impl<F: Family> aya::Pod for AffinityKey<F> {}
// SAFETY: as above.
unsafe impl<F: Family> aya::Pod for Affinity<F> {}
// SAFETY: as above.
unsafe impl<F: Family> aya::Pod for RangeKey<F> {}
// SAFETY: as above.
unsafe impl<F: Family> aya::Pod for Networks<F> {}
