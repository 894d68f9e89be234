// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pod that reaches itself through its Service.

use dataplane::model::Protocol;
use dataplane_common::Outcome;

use super::talk::{Talk, ack, syn, syn_ack};
use super::{Case, Step};
use crate::world::{Names, World};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![to_itself(n)]
}

fn to_itself(n: Names) -> Case {
    let talk = Talk::of_pod(n.pod(1, 61_500), n.vip(1, 80), n.pod(1, 8080));
    let node = n.node(61_500);
    Case {
        name: "a pod reaches itself by its Service, from an address that is not its own [14]",
        steps: vec![
            Step::World(World::default().service(talk.called, Protocol::Tcp, &[talk.pod])),
            talk.opens(syn),
            talk.leaves_as(node, syn, Outcome::Masqueraded),
            Step::Flows(4),
            talk.comes_back_to(node, syn_ack),
            talk.is_answered(syn_ack),
            talk.asks(ack, Outcome::Translated),
            talk.leaves_as(node, ack, Outcome::Translated),
        ],
    }
}
