// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The map types as the agent's map library wants them.

use crate::maps::addresses::AddressFlags;
use crate::maps::affinity::{Affinity, AffinityKey};
use crate::maps::answers::TokenBucket;
use crate::maps::backends::Backend;
use crate::maps::config::Config;
use crate::maps::devices::Device;
use crate::maps::flows::{FlowKey, FlowValue};
use crate::maps::fragments::{FragmentKey, FragmentValue};
use crate::maps::frontends::{FrontendKey, FrontendValue};
use crate::maps::networks::Networks;
use crate::maps::peers::Peer;
use crate::maps::ranges::RangeKey;
use crate::maps::services::ServiceName;
use crate::maps::sets::SetKey;
use crate::maps::traffic::ServiceTraffic;
use crate::value::family::Family;
use crate::value::wire::{Addr4, Addr6};

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
pod!(crate::maps::backends::BackendId);

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
