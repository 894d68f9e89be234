// SPDX-License-Identifier: MIT OR Apache-2.0
//! The health check port: the answers that a load balancer gets about a node.

use std::net::SocketAddr;

use lab::http::{self, Answer};
use lab::{Family, Lab, Service, tool, wait};
use serde_json::{Value, json};

use crate::frontends::{NODE_PORT, at, lent, web};
use crate::{clusters, clusters_with, echo_pod, lead};

const CHECK_PORT: u16 = 30_999;

/// Asks the node's check port from outside.
fn ask(lab: &Lab, server: SocketAddr) -> lab::Result<Answer> {
    lab.outside().run(|| http::get(server, "/any/path"))?
}

/// Asserts what node `n` says about the Service: kube-proxy's words.
#[track_caller]
fn assert_told(lab: &Lab, n: u8, service: &Service, local_endpoints: usize) {
    for family in Family::ALL {
        let server = at(lab::addresses::node(n), family, CHECK_PORT);
        let answer = ask(lab, server).unwrap();
        let status = if local_endpoints > 0 { 200 } else { 503 };
        assert_eq!(answer.status, status, "{server}: {answer:?}");
        for (name, value) in [
            ("content-type", "application/json"),
            ("x-content-type-options", "nosniff"),
            ("x-load-balancing-endpoint-weight", &local_endpoints.to_string()),
        ] {
            assert_eq!(
                answer.headers.get(name).map(String::as_str),
                Some(value),
                "{name}"
            );
        }
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        let wanted = json!({
            "service": { "namespace": "default", "name": service.name() },
            "localEndpoints": local_endpoints,
            "serviceProxyHealthy": true,
        });
        assert_eq!(body, wanted);
    }
}

#[test]
#[ignore = "needs root"]
fn the_health_check_port_reports_how_many_ready_endpoints_a_node_has() {
    for lab in clusters() {
        let (first, second) = (echo_pod(&lab, 1, "first"), echo_pod(&lab, 1, "second"));
        let far = echo_pod(&lab, 2, "far");
        let spec = web().node_port(NODE_PORT).load_balancer(lent(1)).external_local();
        let service = lab.service(spec.health_check(CHECK_PORT)).unwrap();
        lead(&lab, &service, &[first.ready(), second.ready(), far.ready()]);
        let places = [1, 2].map(lab::addresses::node);
        let places = places.map(|node| Family::ALL.map(|family| at(node, family, CHECK_PORT)));
        let places = places.as_flattened();
        for place in places {
            let opened = || ask(&lab, *place).map(drop).map_err(|error| error.to_string());
            wait::until(&format!("{place} to be open"), opened).unwrap();
        }
        assert_told(&lab, 1, &service, 2);
        assert_told(&lab, 2, &service, 1);

        // It still serves, but the balancer should send nothing more.
        lead(&lab, &service, &[first.ready().terminating(), far.ready()]);
        assert_told(&lab, 1, &service, 0);
        let balancer = at(lent(1), Family::V4, 80);
        assert_eq!(
            lab.outside().talk().ask_tcp(balancer, "who").unwrap().pod,
            "first"
        );
        lead(&lab, &service, &[far.ready()]);
        assert_told(&lab, 1, &service, 0);
        assert_told(&lab, 2, &service, 1);
        lead(&lab, &service, &[first.ready(), far.ready()]);
        assert_told(&lab, 1, &service, 1);

        service.delete().unwrap();
        lab.settle().unwrap();
        for place in places {
            wait::until(&format!("{place} to be closed"), || match ask(&lab, *place) {
                Err(error) if error.to_string().contains("refused") => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .unwrap();
        }
    }
}

/// As the passthrough load balancers of a large cloud do it: the VIP is no address of the node, but a local route.
#[test]
#[ignore = "needs root"]
fn the_health_check_port_is_open_at_an_address_that_only_a_route_makes_local() {
    if !tool::is_there(
        "ip",
        "the_health_check_port_is_open_at_an_address_that_only_a_route_makes_local",
    ) {
        return;
    }
    for lab in clusters_with(&["--nodeport-addresses=all"]) {
        let server = echo_pod(&lab, 1, "server");
        let spec = web().node_port(NODE_PORT).load_balancer(lent(1)).external_local();
        let service = lab.service(spec.health_check(CHECK_PORT)).unwrap();
        lead(&lab, &service, &[server.ready()]);
        let node = lab.node(1).netns();
        let (vip, check) = (at(lent(1), Family::V4, 80), at(lent(1), Family::V4, CHECK_PORT));
        let route = format!("{}/32", vip.ip());
        node.tool("ip", &["route", "add", "local", &route, "dev", "lo"], "")
            .unwrap();
        wait::until(&format!("{check} to be open"), || {
            ask(&lab, check).map(drop).map_err(|error| error.to_string())
        })
        .unwrap();
        assert_eq!(ask(&lab, check).unwrap().status, 200);
        assert_eq!(lab.outside().talk().ask_tcp(vip, "who").unwrap().pod, "server");
    }
}
