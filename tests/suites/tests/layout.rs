// SPDX-License-Identifier: MIT OR Apache-2.0
//! The layout of everything that is pinned, against the version it is pinned under.

use std::mem::size_of;

use dataplane_common::{
    AddressFlags, Backend, BackendState, Config, Device, FlowKey, FlowValue, FragmentKey, FragmentValue,
    FrontendKey, FrontendValue, MAP_ABI, Outcome, ServiceName, ServiceTraffic, SetChunk, SetKey, State, V4,
    V6,
};

/// Should this fail, a map has changed: raise `MAP_ABI`, then write down the new layout here.
#[test]
fn a_changed_layout_is_another_version() {
    let sizes = [
        size_of::<FlowKey<V4>>(),
        size_of::<FlowKey<V6>>(),
        size_of::<FlowValue<V4>>(),
        size_of::<FlowValue<V6>>(),
        size_of::<FragmentKey<V4>>(),
        size_of::<FragmentKey<V6>>(),
        size_of::<FragmentValue<V4>>(),
        size_of::<FragmentValue<V6>>(),
        size_of::<FrontendKey<V4>>(),
        size_of::<FrontendKey<V6>>(),
        size_of::<FrontendValue>(),
        size_of::<Backend<V4>>(),
        size_of::<Backend<V6>>(),
        size_of::<AddressFlags>(),
        size_of::<SetKey>(),
        size_of::<SetChunk>(),
        size_of::<ServiceName>(),
        size_of::<ServiceTraffic>(),
        size_of::<Device>(),
        size_of::<Config>(),
    ];
    let meanings = [
        State::REPLIED.0,
        State::REPLY.0,
        State::MASQUERADE.0,
        AddressFlags::VIP.0,
        AddressFlags::NODE.0,
        BackendState::Draining as u32,
        Config::TAKE_OVER,
    ];
    let names: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
    let known = (
        2,
        [
            16, 40, 28, 40, 16, 40, 16, 28, 8, 20, 28, 12, 24, 4, 8, 64, 194, 40, 28, 16,
        ],
        [1, 32, 64, 1, 2, 2, 1],
        "not_ip not_ours malformed own_address taken_over contested stale_removed translated new_flow resteered \
         reopened moved direct_moved masqueraded fragment_translated error_translated rejected_no_endpoint rejected_unknown_port reject_limited \
         reject_failed policy_dropped unknown_protocol fragment_dropped flow_table_full ports_exhausted \
         sctp_port_change no_masquerade_address backend_missing no_memory rewrite_failed",
    );
    assert_eq!((MAP_ABI, sizes, meanings, names.join(" ").as_str()), known);
}
