// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client that can reach no endpoint gets an error at once.

use std::io::ErrorKind;
use std::net::SocketAddr;

use lab::service::ServiceSpec;
use lab::{Family, Pod};

use crate::{clusters, echo_pod, lead, service};

#[test]
#[ignore = "needs root"]
fn a_service_without_endpoints_refuses_connections() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let pod = echo_pod(&lab, 2, "starting");
        let service = lab
            .service(ServiceSpec::new("empty").tcp_and_udp(80, 8080))
            .unwrap();
        lab.settle().unwrap();
        assert_refused(&client, |family| service.at(family, 80), "no slice at all");
        lead(&lab, &service, &[]);
        assert_refused(&client, |family| service.at(family, 80), "an empty slice");
        lead(&lab, &service, &[pod.ready().not_ready()]);
        assert_refused(
            &client,
            |family| service.at(family, 80),
            "only a pod that is not ready",
        );
    }
}

#[test]
#[ignore = "needs root"]
fn a_port_that_a_vip_does_not_have_is_refused() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let pod = echo_pod(&lab, 2, "server");
        let service = service(&lab, "web", &[&pod]);
        assert_refused(
            &client,
            |family| service.at(family, 8080),
            "the target port is not the Service's",
        );
    }
}

#[test]
#[ignore = "needs root"]
fn a_service_that_loses_its_last_endpoint_refuses_and_serves_again_when_one_comes_back() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let pod = echo_pod(&lab, 1, "server");
        let service = service(&lab, "web", &[&pod]);
        for _ in 0..3 {
            lead(&lab, &service, &[]);
            assert_refused(
                &client,
                |family| service.at(family, 80),
                "the last endpoint is gone",
            );
            lead(&lab, &service, &[pod.ready()]);
            for family in Family::ALL {
                assert_eq!(
                    client.talk().ask_tcp(service.at(family, 80), "back").unwrap().pod,
                    "server"
                );
                assert_eq!(
                    client.talk().ask_udp(service.at(family, 80), "back").unwrap().pod,
                    "server"
                );
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_deleted_service_is_not_served_any_more_and_its_vip_can_be_used_again() {
    for lab in clusters() {
        let client = lab.node(1).pod("client").unwrap();
        let (old, new) = (echo_pod(&lab, 1, "old"), echo_pod(&lab, 2, "new"));
        let first = service(&lab, "first", &[&old]);
        // A flow of the deleted Service must not lead the new one's packets to the old pod.
        let port = 40_100;
        assert_eq!(
            client
                .talk_from(port)
                .ask_udp(first.at(Family::V4, 80), "x")
                .unwrap()
                .pod,
            "old"
        );
        first.delete().unwrap();
        lab.settle().unwrap();
        for family in Family::ALL {
            let vip = first.at(family, 80);
            assert!(client.talk().impatient().ask_tcp(vip, "x").is_err(), "{family}");
            assert!(client.talk().impatient().ask_udp(vip, "x").is_err(), "{family}");
        }
        let second = lab
            .service(ServiceSpec::new("second").at(first.vip()).tcp_and_udp(80, 8080))
            .unwrap();
        lead(&lab, &second, &[new.ready()]);
        assert_eq!(
            client
                .talk_from(port)
                .ask_udp(second.at(Family::V4, 80), "x")
                .unwrap()
                .pod,
            "new"
        );
        assert_eq!(
            client.talk().ask_tcp(second.at(Family::V6, 80), "x").unwrap().pod,
            "new"
        );
    }
}

#[track_caller]
fn assert_refused(client: &Pod, at: impl Fn(Family) -> SocketAddr, why: &str) {
    for family in Family::ALL {
        let tcp = client
            .talk()
            .ask_tcp(at(family), "x")
            .err()
            .and_then(|error| error.io_kind());
        assert_eq!(tcp, Some(ErrorKind::ConnectionRefused), "TCP {family}: {why}");
        let udp = client
            .talk()
            .ask_udp(at(family), "x")
            .err()
            .and_then(|error| error.io_kind());
        assert_eq!(udp, Some(ErrorKind::ConnectionRefused), "UDP {family}: {why}");
    }
}
