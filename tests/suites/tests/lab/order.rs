// SPDX-License-Identifier: MIT OR Apache-2.0
//! Other TC programs on a pod's device see a flow with the addresses of its two ends, on both ways, whoever came first.

use std::net::IpAddr;
use std::net::Ipv4Addr;

use aya::programs::TcAttachType;
use aya::util::KernelVersion;
use lab::{Family, Lab, Pod, Service, Wiring, wait};

use crate::foreign::{Foreign, Of, Place};
use crate::{echo_pod, service};

const NOWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0))
}

struct Stage {
    lab: Lab,
    client: Pod,
    server: Pod,
    service: Service,
}

impl Stage {
    fn new() -> Self {
        let lab = Lab::with_agents(Wiring::Ptp).unwrap();
        let client = lab.node(1).pod("client").unwrap();
        let server = echo_pod(&lab, 2, "server");
        let service = service(&lab, "web", &[&server]);
        let stage = Self {
            lab,
            client,
            server,
            service,
        };
        stage.works();
        stage
    }

    fn vip(&self) -> Ipv4Addr {
        match self.service.at(Family::V4, 80).ip() {
            IpAddr::V4(addr) => addr,
            IpAddr::V6(_) => unreachable!("asked for IPv4"),
        }
    }

    fn ask(&self) -> Result<(), String> {
        let vip = self.service.at(Family::V4, 80);
        let talk = self.client.talk().impatient();
        for answer in [talk.ask_tcp(vip, "x"), talk.ask_udp(vip, "x")] {
            let answer = answer.map_err(|error| error.to_string())?;
            assert_eq!(answer.pod, self.server.name());
        }
        Ok(())
    }

    fn works(&self) {
        wait::until("the Service to be reached", || self.ask()).unwrap();
    }

    /// On the client's device: drops what has the Service's address at this hook.
    fn guard(&self, hook: TcAttachType, place: Place) -> Foreign {
        let of = match hook {
            TcAttachType::Ingress => Of::Destination,
            _ => Of::Source,
        };
        let device = self.client.host_device();
        Foreign::drop_at(self.lab.node(1), device, hook, place, of, self.vip())
    }
}

/// A program that drops what still has, or has again, the Service's address: it must see none.
fn see_the_ends_only(places: &[(TcAttachType, Place)]) {
    let stage = Stage::new();
    for &(hook, place) in places {
        println!("{hook:?}: {place:?}, after Shunt");
        let foreign = stage.guard(hook, place);
        stage.works();
        let others = stage.lab.node(1).shunt_text(&["status"]).unwrap();
        let (at, order) = match hook {
            TcAttachType::Ingress => ("ingress", "after Shunt's"),
            _ => ("egress", "before Shunt's"),
        };
        let named = others
            .lines()
            .any(|line| line.contains(at) && line.contains(order));
        assert!(named, "{others}");
        println!("{hook:?}: {place:?}, before Shunt");
        stage.lab.agent(1, |agent| agent.kill9()).unwrap();
        stage.lab.agent(1, |agent| agent.restart()).unwrap();
        stage.works();
        drop(foreign);
        stage.works();
    }
    let moved = stage
        .lab
        .agent(1, |agent| agent.metric("shunt_device_reorders_total"))
        .unwrap();
    println!("moved since the last start: {moved}");
}

#[test]
#[ignore = "needs root"]
fn programs_of_tcx_links_see_the_two_ends_of_a_flow() {
    if !has_tcx() {
        eprintln!(
            "*** SKIPPED: programs_of_tcx_links_see_the_two_ends_of_a_flow: this kernel has no TCX ***"
        );
        return;
    }
    see_the_ends_only(&[
        (TcAttachType::Ingress, Place::First),
        (TcAttachType::Ingress, Place::Last),
        (TcAttachType::Egress, Place::Last),
        (TcAttachType::Egress, Place::First),
    ]);
}

#[test]
#[ignore = "needs root"]
fn programs_of_clsact_filters_see_the_two_ends_of_a_flow() {
    see_the_ends_only(&[
        (TcAttachType::Ingress, Place::Filter(1)),
        (TcAttachType::Ingress, Place::Filter(0)),
        (TcAttachType::Egress, Place::Filter(1)),
        (TcAttachType::Egress, Place::Filter(49_152)),
    ]);
}

/// Both programs come and go on the client's device while it asks: a packet that goes untranslated is lost.
#[test]
#[ignore = "needs root"]
fn no_packet_goes_untranslated_while_programs_change_places() {
    let stage = Stage::new();
    let reorders = || {
        let moved = stage
            .lab
            .agent(1, |agent| agent.metric("shunt_device_reorders_total"));
        moved.unwrap()
    };
    let places = if has_tcx() {
        vec![
            (TcAttachType::Ingress, Place::First),
            (TcAttachType::Egress, Place::Last),
            (TcAttachType::Egress, Place::Filter(1)),
        ]
    } else {
        vec![
            (TcAttachType::Ingress, Place::Filter(1)),
            (TcAttachType::Egress, Place::Filter(1)),
        ]
    };
    for (hook, place) in places {
        let before = reorders();
        let device = stage.client.host_device();
        let _foreign = Foreign::drop_at(stage.lab.node(1), device, hook, place, Of::Source, NOWHERE);
        let mut asked = 0;
        while asked < 50 || (reorders() == before && moves(hook)) {
            stage.ask().unwrap();
            asked += 1;
            assert!(asked < 20_000, "{hook:?} {place:?}: nothing moved");
        }
        stage.ask().unwrap();
    }
}

/// Whether ours moves for it: a filter of ours is the last one from the beginning.
fn moves(hook: TcAttachType) -> bool {
    has_tcx() || hook == TcAttachType::Ingress
}
