// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! What a socket remembers of the Services it speaks with: value of the map `peers`, which hangs on
//! the socket itself and goes with it.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

use crate::maps::backends::BackendId;
use crate::maps::flows::FlowValue;
use crate::maps::services::ServiceId;
use crate::value::family::Family;
use crate::value::tick::{Tick, ticks};
use crate::value::wire::{Addr6, Port};

/// A Service address that the process used, and the backend that stands for it. All zero: none.
///
/// One socket may speak both families (IPv4 as `::ffff:a.b.c.d`), so all addresses are wide here.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Peer {
    /// The address that the process named, and is shown.
    pub vip: Addr6,
    /// The address that the kernel sends to: the backend's.
    pub addr: Addr6,
    /// Port of `vip`.
    pub vip_port: Port,
    /// Port of `addr`.
    pub port: Port,
    /// The backend's slot.
    pub backend: BackendId,
    /// The Service port.
    pub service: ServiceId,
}

impl Peer {
    /// The backend in `value`, called under the name `vip`.
    #[inline(always)]
    pub(crate) fn new<F: Family>(vip: (F::Addr, Port), value: &FlowValue<F>) -> Self {
        Self {
            vip: F::widen(vip.0),
            addr: F::widen(value.addr),
            vip_port: vip.1,
            port: value.port,
            backend: value.backend,
            service: value.service,
        }
    }

    #[inline(always)]
    fn has_vip(&self, addr: &Addr6, port: Port) -> bool {
        self.vip_port == port && self.vip == *addr && self.service.0 != 0
    }

    #[inline(always)]
    fn has_backend(&self, addr: &Addr6, port: Port) -> bool {
        self.port == port && self.addr == *addr && self.service.0 != 0
    }
}

/// The sender of a datagram that came to an unconnected socket from an address and port that a Service has, too: any
/// process may have a NodePort's number for its own port. Port 0: none.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asker {
    addr: Addr6,
    port: Port,
    zero: u16,
    /// When its last datagram came.
    seen: Tick,
}

/// All of a socket's peers. A connected socket has one; an unconnected UDP socket may speak with
/// several at a time, and with more than fit only if they take turns.
///
/// The kernel holds the socket's lock while a program looks at it, so there is one reader or writer.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Peers {
    entries: [Peer; Self::MAX],
    next: u32,
    askers: [Asker; Self::MAX_ASKERS],
    next_asker: u32,
}

impl Peers {
    /// How many there are at most.
    pub const MAX: usize = 8;

    /// How many askers there are at most.
    pub const MAX_ASKERS: usize = 8;

    /// An answer comes sooner: connection tracking's time for UDP that has seen both directions.
    const ANSWER_TIMEOUT: u32 = ticks(120);

    /// Whether a datagram to this address is an answer.
    #[inline(always)]
    pub(crate) fn has_asker(&self, addr: &Addr6, port: Port, now: Tick) -> bool {
        self.askers.iter().any(|asker| {
            asker.port == port && asker.addr == *addr && now.since(asker.seen) <= Self::ANSWER_TIMEOUT
        })
    }

    /// Remembers an asker, in place of the one that came first.
    #[inline(always)]
    pub(crate) fn put_asker(&mut self, addr: &Addr6, port: Port, now: Tick) {
        let is_same = |asker: &Asker| asker.port == port && asker.addr == *addr;
        let place = match self.askers.iter().position(is_same) {
            Some(place) => place,
            None => {
                let next = self.next_asker as usize % Self::MAX_ASKERS;
                self.next_asker = self.next_asker.wrapping_add(1);
                next
            }
        };
        if let Some(asker) = self.askers.get_mut(place) {
            (asker.addr, asker.port, asker.seen) = (*addr, port, now);
        }
    }

    /// The peer with this VIP.
    #[inline(always)]
    pub fn with_vip(&self, addr: &Addr6, port: Port) -> Option<&Peer> {
        self.entries.iter().find(|peer| peer.has_vip(addr, port))
    }

    /// The peer whose backend has this address.
    #[inline(always)]
    pub fn with_backend(&self, addr: &Addr6, port: Port) -> Option<&Peer> {
        self.entries.iter().find(|peer| peer.has_backend(addr, port))
    }

    /// Remembers a peer: in place of the one of the same name, else of the one that came first.
    ///
    /// A backend answers under one name, the one used last: its datagrams do not say for
    /// which of two names they are meant.
    #[inline(always)]
    pub(crate) fn put(&mut self, new: &Peer) {
        let mut place = None;
        for (index, peer) in self.entries.iter_mut().enumerate() {
            if peer.has_vip(&new.vip, new.vip_port) {
                place = Some(index);
            } else if peer.has_backend(&new.addr, new.port) {
                peer.service = ServiceId(0);
            }
        }
        let place = match place {
            Some(place) => place,
            None => {
                let next = self.next as usize % Self::MAX;
                self.next = self.next.wrapping_add(1);
                next
            }
        };
        if let Some(peer) = self.entries.get_mut(place) {
            *peer = *new;
        }
    }

    /// Forgets the peer with this backend: the process speaks with that address under its own name.
    #[inline(always)]
    pub(crate) fn forget(&mut self, addr: &Addr6, port: Port) {
        for peer in &mut self.entries {
            if peer.has_backend(addr, port) {
                peer.service = ServiceId(0);
            }
        }
    }
}

const _: () = {
    assert!(size_of::<Peer>() == 2 * 16 + 2 * 2 + 2 * 4);
    assert!(size_of::<Asker>() == 16 + 2 * 2 + 4);
    assert!(
        size_of::<Peers>() == Peers::MAX * size_of::<Peer>() + 4 + Peers::MAX_ASKERS * size_of::<Asker>() + 4
    );
};

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(vip: u16, at: u16) -> Peer {
        Peer {
            vip_port: Port::new(vip),
            port: Port::new(at),
            service: ServiceId(1),
            ..Peer::default()
        }
    }

    fn names(peers: &Peers) -> std::vec::Vec<(u16, u16)> {
        let mut names: std::vec::Vec<_> = peers
            .entries
            .iter()
            .filter(|peer| peer.service.0 != 0)
            .map(|peer| (peer.vip_port.get(), peer.port.get()))
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_name_has_one_backend_and_a_backend_one_name() {
        let mut peers = Peers::default();
        peers.put(&peer(80, 1));
        peers.put(&peer(81, 2));
        peers.put(&peer(80, 3));
        assert_eq!(names(&peers), [(80, 3), (81, 2)]);
        peers.put(&peer(82, 2));
        assert_eq!(names(&peers), [(80, 3), (82, 2)]);
        peers.forget(&Addr6::default(), Port::new(3));
        assert_eq!(names(&peers), [(82, 2)]);
    }

    #[test]
    fn when_all_places_are_taken_the_oldest_name_goes() {
        let mut peers = Peers::default();
        let wanted = Peers::MAX as u16 + 2;
        for number in 1..=wanted {
            peers.put(&peer(number, 100 + number));
        }
        let kept: std::vec::Vec<_> = (3..=wanted).map(|number| (number, 100 + number)).collect();
        assert_eq!(names(&peers), kept);
    }

    #[test]
    fn an_asker_is_remembered_until_eight_others_ask_or_its_time_is_over() {
        let (at, now) = (Addr6::default(), Tick(1_000));
        let mut peers = Peers::default();
        peers.put_asker(&at, Port::new(1), now);
        assert!(peers.has_asker(&at, Port::new(1), Tick(1_000 + ticks(100))));
        assert!(!peers.has_asker(&at, Port::new(1), Tick(1_000 + ticks(130))));
        assert!(!peers.has_asker(&at, Port::new(2), now));
        for _ in 0..2 {
            for port in 2..=8 {
                peers.put_asker(&at, Port::new(port), now);
            }
        }
        assert!(peers.has_asker(&at, Port::new(1), now));
        peers.put_asker(&at, Port::new(9), now);
        assert!(!peers.has_asker(&at, Port::new(1), now));
        assert!(peers.has_asker(&at, Port::new(2), now));
    }

    #[test]
    fn an_empty_place_is_nobody() {
        let peers = Peers::default();
        assert_eq!(peers.with_vip(&Addr6::default(), Port::default()), None);
        assert_eq!(peers.with_backend(&Addr6::default(), Port::default()), None);
    }
}
