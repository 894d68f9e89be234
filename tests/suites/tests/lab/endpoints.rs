// SPDX-License-Identifier: MIT OR Apache-2.0
//! Endpoints come and go while flows are alive.

use std::collections::BTreeSet;

use lab::{Family, Pod, Service};

use crate::{clusters, echo_pod, lead, service};

#[test]
#[ignore = "needs root"]
fn open_connections_keep_their_backend_while_endpoints_change() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let (old, new) = (echo_pod(&lab, 2, "old"), echo_pod(&lab, 1, "new"));
        let service = service(&lab, "web", &[&old]);
        let mut open = Family::ALL.map(|family| client.talk().tcp(service.at(family, 80)).unwrap());
        let steps = [vec![old.ready(), new.ready()], vec![new.ready()], vec![]];
        for endpoints in steps {
            lead(&lab, &service, &endpoints);
            for conversation in &mut open {
                assert_eq!(
                    conversation.ask("still there?").unwrap().pod,
                    "old",
                    "{endpoints:?}"
                );
            }
        }
        lead(&lab, &service, &[new.ready()]);
        assert_eq!(answering(&client, &service), BTreeSet::from(["new".to_owned()]));
    }
}

#[test]
#[ignore = "needs root"]
fn a_udp_flow_keeps_its_backend_when_others_join() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let first = echo_pod(&lab, 2, "first");
        let service = service(&lab, "web", &[&first]);
        let sockets = Family::ALL.map(|family| client.talk().udp(service.at(family, 80)).unwrap());
        sockets
            .iter()
            .for_each(|socket| drop(socket.ask("hello").unwrap()));
        let more = [echo_pod(&lab, 1, "second"), echo_pod(&lab, 2, "third")];
        lead(&lab, &service, &[first.ready(), more[0].ready(), more[1].ready()]);
        for socket in &sockets {
            assert_eq!(socket.ask("hello").unwrap().pod, "first");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_udp_flow_from_one_fixed_port_goes_elsewhere_when_its_backend_is_removed() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let pods = [echo_pod(&lab, 1, "a"), echo_pod(&lab, 2, "b")];
        let service = service(&lab, "web", &[&pods[0]]);
        for family in Family::ALL {
            let port = 40_200;
            lead(&lab, &service, &[pods[0].ready()]);
            let socket = client.talk_from(port).udp(service.at(family, 80)).unwrap();
            for turn in [0, 1, 0, 1] {
                lead(&lab, &service, &[pods[turn].ready()]);
                let answer = socket.ask("who now?").unwrap();
                assert_eq!(
                    (answer.pod.as_str(), answer.client.port()),
                    (pods[turn].name(), port),
                    "{family}"
                );
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_terminating_backend_keeps_its_connections_and_gets_no_new_ones() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let (leaving, staying) = (echo_pod(&lab, 2, "leaving"), echo_pod(&lab, 1, "staying"));
        let service = service(&lab, "web", &[&leaving]);
        let mut open = client.talk().tcp(service.at(Family::V4, 80)).unwrap();

        lead(&lab, &service, &[leaving.ready().terminating(), staying.ready()]);

        assert_eq!(open.ask("x").unwrap().pod, "leaving");
        assert_eq!(
            answering(&client, &service),
            BTreeSet::from(["staying".to_owned()])
        );

        lead(&lab, &service, &[leaving.ready().terminating()]);
        assert_eq!(
            answering(&client, &service),
            BTreeSet::from(["leaving".to_owned()]),
            "none is ready: better than none"
        );
    }
}

/// Who answers new connections and new UDP flows.
fn answering(client: &Pod, service: &Service) -> BTreeSet<String> {
    let ask = |family| {
        let vip = service.at(family, 80);
        [
            client.talk().ask_tcp(vip, "who").unwrap().pod,
            client.talk().ask_udp(vip, "who").unwrap().pod,
        ]
    };
    (0..10).flat_map(|_| Family::ALL).flat_map(ask).collect()
}
