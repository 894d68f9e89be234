// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pod that reaches itself through its Service.

use dataplane::model::Protocol;
use dataplane_common::Outcome;

use super::conversation::{Conversation, ack, syn, syn_ack};
use super::{Case, Step};
use crate::setup::{Names, Setup};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![to_itself(n)]
}

fn to_itself(n: Names) -> Case {
    let conversation = Conversation::of_pod(n.pod(1, 61_500), n.vip(1, 80), n.pod(1, 8080));
    let node = n.node(61_500);
    Case {
        name: "a pod reaches itself through its Service, masqueraded by the node's address [14]",
        steps: vec![
            Step::Setup(Setup::default().service(conversation.called, Protocol::Tcp, &[conversation.pod])),
            conversation.opens(syn),
            conversation.leaves_as(node, syn, Outcome::Masqueraded),
            Step::Flows(4),
            conversation.comes_back_to(node, syn_ack),
            conversation.is_answered(syn_ack),
            conversation.asks(ack, Outcome::Translated),
            conversation.leaves_as(node, ack, Outcome::Translated),
        ],
    }
}
