// SPDX-License-Identifier: MIT OR Apache-2.0
//! `TestCategorizeEndpoints`: which endpoints clients may be sent to.
//!
//! Upstream's two sets are seen from outside: a pod at the ClusterIP gets the one that the internal policy names, a
//! stranger at the NodePort the one that the external policy names. Left out are upstream's cases of the annotation
//! `topology-mode`, which the proxy has stopped reading: hints alone decide.

use serde_json::{Value, json};

use super::Masquerade::No;
use super::cluster::{Cluster, Endpoint, elsewhere, here};
use super::{OUTSIDE, POD, Table, outside, pod, row};

const A: &[&str] = &["zone-a"];
const B: &[&str] = &["zone-b"];
const C: &[&str] = &["zone-c"];

struct Case {
    name: &'static str,
    zone: Option<&'static str>,
    policies: fn() -> Value,
    endpoints: fn() -> Vec<Endpoint>,
    /// At the ClusterIP; at the NodePort, if there is one.
    gives: (&'static str, Option<&'static str>),
}

const CASES: [Case; 29] = [
    Case {
        name: "normal endpoint filtering",
        zone: Some("zone-a"),
        policies: || json!({}),
        endpoints: || four([A, B, C, A]),
        gives: ("10.1.2.3:80, 10.1.2.6:80", None),
    },
    Case {
        name: "externalTrafficPolicy: Local, topology ignored for Local endpoints",
        zone: Some("zone-a"),
        policies: || json!({ "externalTrafficPolicy": "Local" }),
        endpoints: || two_here([A, B, C, A]),
        gives: ("10.1.2.3:80, 10.1.2.6:80", Some("10.1.2.3:80, 10.1.2.4:80")),
    },
    Case {
        name: "internalTrafficPolicy: Local, topology ignored for Local endpoints",
        zone: Some("zone-a"),
        policies: || json!({ "internalTrafficPolicy": "Local" }),
        endpoints: || two_here([A, B, C, A]),
        gives: ("10.1.2.3:80, 10.1.2.4:80", Some("10.1.2.3:80, 10.1.2.6:80")),
    },
    Case {
        name: "empty node labels",
        zone: None,
        policies: || json!({}),
        endpoints: || vec![elsewhere("10.1.2.3").hinted(A)],
        gives: ("10.1.2.3:80", None),
    },
    Case {
        name: "empty zone label",
        zone: Some(""),
        policies: || json!({}),
        endpoints: || vec![elsewhere("10.1.2.3").hinted(A)],
        gives: ("10.1.2.3:80", None),
    },
    Case {
        name: "node in different zone, no endpoint filtering",
        zone: Some("zone-b"),
        policies: || json!({}),
        endpoints: || vec![elsewhere("10.1.2.3").hinted(A)],
        gives: ("10.1.2.3:80", None),
    },
    Case {
        name: "unready endpoint",
        zone: Some("zone-a"),
        policies: || json!({}),
        endpoints: || with_dead([A, B, C, A], [3]),
        gives: ("10.1.2.3:80", None),
    },
    Case {
        name: "only unready endpoints in same zone (should not filter)",
        zone: Some("zone-a"),
        policies: || json!({}),
        endpoints: || with_dead([A, B, C, A], [0, 3]),
        gives: ("10.1.2.4:80, 10.1.2.5:80", None),
    },
    Case {
        name: "missing hints, no filtering applied",
        zone: Some("zone-a"),
        policies: || json!({}),
        endpoints: || four([A, B, &[], A]),
        gives: ("10.1.2.3:80, 10.1.2.4:80, 10.1.2.5:80, 10.1.2.6:80", None),
    },
    Case {
        name: "no hints at all, no filtering applied",
        zone: Some("zone-a"),
        policies: || json!({}),
        endpoints: || four([&[], &[], &[], &[]]),
        gives: ("10.1.2.3:80, 10.1.2.4:80, 10.1.2.5:80, 10.1.2.6:80", None),
    },
    Case {
        name: "multiple hints per endpoint, filtering includes any endpoint with zone included",
        zone: Some("zone-c"),
        policies: || json!({}),
        endpoints: || {
            four([
                &["zone-a", "zone-b", "zone-c"],
                &["zone-b", "zone-c"],
                &["zone-b", "zone-d"],
                C,
            ])
        },
        gives: ("10.1.2.3:80, 10.1.2.4:80, 10.1.2.6:80", None),
    },
    Case {
        name: "conflicting topology and localness require merging allEndpoints",
        zone: Some("zone-a"),
        policies: || json!({ "externalTrafficPolicy": "Local" }),
        endpoints: || two_here([A, B, A, B]),
        gives: ("10.1.2.3:80, 10.1.2.5:80", Some("10.1.2.3:80, 10.1.2.4:80")),
    },
    Case {
        name: "internalTrafficPolicy: Local, with empty endpoints",
        zone: None,
        policies: || json!({ "internalTrafficPolicy": "Local" }),
        endpoints: Vec::new,
        gives: ("REJECT", None),
    },
    Case {
        name: "internalTrafficPolicy: Local, but all endpoints are remote",
        zone: None,
        policies: || json!({ "internalTrafficPolicy": "Local" }),
        endpoints: || vec![elsewhere("10.0.0.1"), elsewhere("10.0.0.3")],
        gives: ("DROP", None),
    },
    Case {
        name: "internalTrafficPolicy: Local, all endpoints are local",
        zone: None,
        policies: || json!({ "internalTrafficPolicy": "Local" }),
        endpoints: || vec![here("10.0.0.1"), here("10.0.0.3")],
        gives: ("10.0.0.1:80, 10.0.0.3:80", None),
    },
    Case {
        name: "internalTrafficPolicy: Local, some endpoints are local",
        zone: None,
        policies: || json!({ "internalTrafficPolicy": "Local" }),
        endpoints: || vec![here("10.0.0.1"), elsewhere("10.0.0.3")],
        gives: ("10.0.0.1:80", None),
    },
    Case {
        name: "Cluster traffic policy, endpoints not Ready",
        zone: None,
        policies: || json!({}),
        endpoints: || vec![elsewhere("10.0.0.1").dead(), elsewhere("10.0.0.3").dead()],
        gives: ("REJECT", None),
    },
    Case {
        name: "Cluster traffic policy, some endpoints are Ready",
        zone: None,
        policies: || json!({}),
        endpoints: || vec![elsewhere("10.0.0.1").dead(), elsewhere("10.0.0.3")],
        gives: ("10.0.0.3:80", None),
    },
    Case {
        name: "Cluster traffic policy, all endpoints are terminating",
        zone: None,
        policies: || json!({}),
        endpoints: || vec![here("10.0.0.1").leaving(), elsewhere("10.0.0.3").leaving()],
        gives: ("10.0.0.1:80, 10.0.0.3:80", None),
    },
    Case {
        name: "Cluster traffic policy, all endpoints are terminating and none serves",
        zone: None,
        policies: || json!({}),
        endpoints: || {
            vec![
                here("10.0.0.1").leaving().dead(),
                elsewhere("10.0.0.3").leaving().dead(),
            ]
        },
        gives: ("REJECT", None),
    },
    Case {
        name: "iTP: Local, eTP: Cluster, some endpoints local",
        zone: None,
        policies: || json!({ "internalTrafficPolicy": "Local" }),
        endpoints: || vec![here("10.0.0.1"), elsewhere("10.0.0.3")],
        gives: ("10.0.0.1:80", Some("10.0.0.1:80, 10.0.0.3:80")),
    },
    Case {
        name: "iTP: Cluster, eTP: Local, some endpoints local",
        zone: None,
        policies: || json!({ "externalTrafficPolicy": "Local" }),
        endpoints: || vec![here("10.0.0.1"), elsewhere("10.0.0.3")],
        gives: ("10.0.0.1:80, 10.0.0.3:80", Some("10.0.0.1:80")),
    },
    Case {
        name: "iTP: Local, eTP: Local, some endpoints local",
        zone: None,
        policies: || json!({ "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local" }),
        endpoints: || vec![here("10.0.0.1"), elsewhere("10.0.0.3")],
        gives: ("10.0.0.1:80", Some("10.0.0.1:80")),
    },
    Case {
        name: "iTP: Local, eTP: Local, all endpoints remote",
        zone: None,
        policies: || json!({ "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local" }),
        endpoints: || vec![elsewhere("10.0.0.1"), elsewhere("10.0.0.3")],
        gives: ("DROP", Some("DROP")),
    },
    Case {
        name: "iTP: Local, eTP: Local, all endpoints remote and terminating",
        zone: None,
        policies: || json!({ "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local" }),
        endpoints: || vec![elsewhere("10.0.0.1").leaving(), elsewhere("10.0.0.3").leaving()],
        gives: ("DROP", Some("DROP")),
    },
    Case {
        name: "iTP: Cluster, eTP: Local, with terminating endpoints",
        zone: None,
        policies: || json!({ "externalTrafficPolicy": "Local" }),
        endpoints: || {
            vec![
                elsewhere("10.0.0.1"),
                here("10.0.0.3").dead(),
                here("10.0.0.4").leaving(),
                elsewhere("10.0.0.5").leaving(),
            ]
        },
        gives: ("10.0.0.1:80", Some("10.0.0.4:80")),
    },
    Case {
        name: "externalTrafficPolicy ignored if not externally accessible",
        zone: None,
        policies: || json!({ "externalTrafficPolicy": "Local" }),
        endpoints: || vec![elsewhere("10.0.0.1"), here("10.0.0.3")],
        gives: ("10.0.0.1:80, 10.0.0.3:80", None),
    },
    Case {
        name: "no cluster endpoints for iTP:Local internal-only service",
        zone: None,
        policies: || json!({ "internalTrafficPolicy": "Local" }),
        endpoints: || vec![elsewhere("10.0.0.1"), here("10.0.0.3")],
        gives: ("10.0.0.3:80", None),
    },
    Case {
        name: "hints do not hold for endpoints on their way out",
        zone: Some("zone-a"),
        policies: || json!({}),
        endpoints: || {
            vec![
                elsewhere("10.0.0.1").leaving().hinted(A),
                elsewhere("10.0.0.3").leaving().hinted(B),
            ]
        },
        gives: ("10.0.0.1:80, 10.0.0.3:80", None),
    },
];

fn four(hints: [&'static [&'static str]; 4]) -> Vec<Endpoint> {
    let addresses = ["10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.2.6"];
    addresses
        .into_iter()
        .zip(hints)
        .map(|(addr, zones)| elsewhere(addr).hinted(zones))
        .collect()
}

fn two_here(hints: [&'static [&'static str]; 4]) -> Vec<Endpoint> {
    let addresses = [
        here("10.1.2.3"),
        here("10.1.2.4"),
        elsewhere("10.1.2.5"),
        elsewhere("10.1.2.6"),
    ];
    addresses
        .into_iter()
        .zip(hints)
        .map(|(endpoint, zones)| endpoint.hinted(zones))
        .collect()
}

fn with_dead<const N: usize>(hints: [&'static [&'static str]; 4], dead: [usize; N]) -> Vec<Endpoint> {
    four(hints)
        .into_iter()
        .enumerate()
        .map(|(number, it)| if dead.contains(&number) { it.dead() } else { it })
        .collect()
}

pub(super) fn tables() -> Vec<Table> {
    CASES.iter().map(Case::table).collect()
}

impl Case {
    fn table(&self) -> Table {
        let mut spec = (self.policies)();
        spec["clusterIP"] = "172.30.0.41".into();
        spec["ports"] = json!([{ "name": "p80", "port": 80 }]);
        let mut rows = vec![row(
            "pod at the ClusterIP",
            pod(POD),
            "172.30.0.41:80",
            self.gives.0,
            No,
        )];
        if let Some(gives) = self.gives.1 {
            spec["type"] = "NodePort".into();
            spec["ports"][0]["nodePort"] = 3001.into();
            // Every one of these is on its way by masquerade upstream; which endpoints there are is the question here.
            let masquerade = if spec["externalTrafficPolicy"] == "Local" {
                No
            } else {
                super::Masquerade::Yes
            };
            rows.push(row(
                "stranger at the NodePort",
                outside(OUTSIDE),
                "192.168.0.2:3001",
                gives,
                masquerade,
            ));
        }
        let mut cluster = Cluster::new().service("svc1", spec, &[]).slice(
            "svc1",
            &[("p80", "TCP", 80)],
            &(self.endpoints)(),
        );
        if let Some(zone) = self.zone {
            cluster = cluster.in_zone(zone);
        }
        Table {
            name: format!("TestCategorizeEndpoints: {}", self.name),
            cluster,
            rows,
        }
    }
}
