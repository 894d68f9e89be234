// SPDX-License-Identifier: MIT OR Apache-2.0
//! The layout of everything that is pinned, against the version it is pinned under.

use std::mem::size_of;

use dataplane_common::{
    AddressFlags, Affinity, AffinityKey, Backend, BackendState, Call, Config, Detect, Device, FlowKey,
    FlowValue, FragmentKey, FragmentValue, FrontendKey, FrontendKind, FrontendValue, MAP_ABI, Networks,
    Outcome, Peer, Peers, RangeKey, ServiceName, ServiceTraffic, SetChunk, SetKey, State, V4, V6,
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
        size_of::<AffinityKey<V4>>(),
        size_of::<AffinityKey<V6>>(),
        size_of::<Affinity<V4>>(),
        size_of::<Affinity<V6>>(),
        size_of::<RangeKey<V4>>(),
        size_of::<RangeKey<V6>>(),
        size_of::<Networks<V4>>(),
        size_of::<Networks<V6>>(),
        size_of::<Peers>(),
        size_of::<Peer>(),
    ];
    let meanings = [
        State::REPLIED.0,
        State::REPLY.0,
        State::MASQUERADE.0,
        State::CONFIRMED.0,
        State::FIN_SEEN.0,
        State::CANDIDATE.0,
        State::MIDWAY.0,
        State::FOREIGN.0,
        State::PENDING.0,
        State::PLAIN.0,
        AddressFlags::VIP.0,
        AddressFlags::NODE.0,
        BackendState::Draining as u32,
        AddressFlags::NODE_PORTS.0,
        AddressFlags::CLUSTER_IP.0,
        Config::TAKE_OVER,
        Config::MASQUERADE_ALL,
        Config::REFUSE_EXTERNAL,
        FrontendKind::ExternalIp as u32,
        Detect::Nobody as u32,
        Config::POD_SOCKETS,
        Config::FAST_PATH,
        Config::MASQUERADE_EXTERNAL,
        Call::PeerName as u32,
    ];
    let names: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
    let known = (
        5,
        [
            16, 40, 44, 56, 16, 40, 16, 28, 8, 20, 28, 12, 24, 4, 8, 64, 194, 40, 40, 24, 8, 20, 16, 28, 8,
            20, 52, 184, 552, 44,
        ],
        [
            1, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 1, 2, 2, 4, 8, 1, 2, 4, 3, 2, 8, 16, 32, 5,
        ],
        "not_ip not_ours egress_skipped not_for_device odd_source already_translated malformed own_address taken_over foreign_answer contested stale_removed other_namespace \
         left_to_packets connect_passed answer_passed translated fast_path new_flow resteered \
         reopened reset_translated moved plain_moved masqueraded fragment_translated error_translated rejected_no_endpoint \
         rejected_unknown_port rejected_protocol rejected_external reject_limited reject_failed policy_dropped \
         source_dropped unallocated_dropped untranslated_dropped stray_icmp fragment_dropped flow_table_full ports_exhausted sctp_port_change \
         masquerade_lost no_masquerade_address backend_missing no_memory rewrite_failed",
    );
    assert_eq!((MAP_ABI, sizes, meanings, names.join(" ").as_str()), known);
}
