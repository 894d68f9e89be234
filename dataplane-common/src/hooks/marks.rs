// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The mark that ingress leaves on a packet that it rewrote: see [`Mark`].

use crate::maps::flow_state::State;
use crate::packet::Mark;
use crate::packet::headers::FragmentPart;

/// The mark of a packet that ingress rewrote by a flow in this state. Egress has something for a reply (its source), a
/// masquerade, and a fragment (what the later ones need).
#[inline(always)]
pub(crate) fn mark_of(state: State, part: FragmentPart) -> Mark {
    let mark = first_mark(state);
    if mark == Mark::Translated && !state.has(State::REPLY) && part == FragmentPart::All {
        return Mark::Done;
    }
    mark
}

/// The same for a flow's first packet, which egress judges for the whole flow.
#[inline(always)]
pub(crate) fn first_mark(state: State) -> Mark {
    match state.0 & (State::MASQUERADE.0 | State::REPLY.0) == State::MASQUERADE.0 {
        true => Mark::Masquerade,
        false => Mark::Translated,
    }
}
