// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pod that reaches itself through its Service.

use dataplane::model::Protocol;
use dataplane_common::Outcome;

use super::{Case, Step, becomes};
use crate::packet::tcp;
use crate::world::{At, Names, World};

pub(super) fn cases(n: Names) -> Vec<Case> {
    vec![to_itself(n)]
}

fn to_itself(n: Names) -> Case {
    let (me, vip, target) = (n.pod(1, 61_500), n.vip(1, 80), n.pod(1, 8080));
    let node = n.node(61_500);
    Case {
        name: "a pod reaches itself by its Service, from an address that is not its own [14]",
        steps: vec![
            Step::World(World::default().service(vip, Protocol::Tcp, &[target])),
            becomes(At::PodIngress, &tcp("S", me, vip), Outcome::NewFlow, me, target),
            becomes(
                At::PodEgress,
                &tcp("S", me, target),
                Outcome::Masqueraded,
                node,
                target,
            ),
            Step::Flows(4),
            becomes(
                At::PodIngress,
                &tcp("SA", target, node).numbers(9_000, 1_001),
                Outcome::Translated,
                target,
                me,
            ),
            becomes(
                At::PodEgress,
                &tcp("SA", target, me).numbers(9_000, 1_001),
                Outcome::Translated,
                vip,
                me,
            ),
            becomes(
                At::PodIngress,
                &tcp("A", me, vip).numbers(1_001, 9_001),
                Outcome::Translated,
                me,
                target,
            ),
            becomes(
                At::PodEgress,
                &tcp("A", me, target).numbers(1_001, 9_001),
                Outcome::Translated,
                node,
                target,
            ),
        ],
    }
}
