// SPDX-License-Identifier: MIT OR Apache-2.0
//! `TestInternalExternalMasquerade`: three Services, three frontends each, three kinds of clients, four settings.

use serde_json::{Value, json};

use super::Masquerade::{No, Yes};
use super::cluster::{Cluster, elsewhere, here};
use super::{From, OUTSIDE, POD, Table, node, outside, pod, row};

/// A matrix has a line for each Service and kind of client; in it, a cell for ClusterIP, NodePort and load balancer: `B`
/// both endpoints or `L` the local one, and `m` where upstream masquerades.
struct Matrix {
    name: &'static str,
    detector: bool,
    masquerade_all: bool,
    lines: [(&'static str, From, [&'static str; 3]); 9],
}

const fn lines(cells: [[&'static str; 3]; 9]) -> [(&'static str, From, [&'static str; 3]); 9] {
    [
        ("svc1", From::Pod, cells[0]),
        ("svc2", From::Pod, cells[1]),
        ("svc3", From::Pod, cells[2]),
        ("svc1", From::Node, cells[3]),
        ("svc2", From::Node, cells[4]),
        ("svc3", From::Node, cells[5]),
        ("svc1", From::Outside, cells[6]),
        ("svc2", From::Outside, cells[7]),
        ("svc3", From::Outside, cells[8]),
    ]
}

const MATRICES: [Matrix; 4] = [
    Matrix {
        name: "base",
        detector: true,
        masquerade_all: false,
        lines: lines([
            ["B", "Bm", "Bm"],
            ["B", "B", "B"],
            ["L", "Bm", "Bm"],
            ["Bm", "Bm", "Bm"],
            ["Bm", "Bm", "Bm"],
            ["Lm", "Bm", "Bm"],
            ["Bm", "Bm", "Bm"],
            ["Bm", "L", "L"],
            ["Lm", "Bm", "Bm"],
        ]),
    },
    Matrix {
        name: "no LocalTrafficDetector",
        detector: false,
        masquerade_all: false,
        lines: lines([
            ["B", "Bm", "Bm"],
            ["B", "L", "L"],
            ["L", "Bm", "Bm"],
            ["B", "Bm", "Bm"],
            ["B", "Bm", "Bm"],
            ["L", "Bm", "Bm"],
            ["B", "Bm", "Bm"],
            ["B", "L", "L"],
            ["L", "Bm", "Bm"],
        ]),
    },
    Matrix {
        name: "masqueradeAll",
        detector: true,
        masquerade_all: true,
        lines: lines([
            ["Bm", "Bm", "Bm"],
            ["Bm", "B", "B"],
            ["Lm", "Bm", "Bm"],
            ["Bm", "Bm", "Bm"],
            ["Bm", "Bm", "Bm"],
            ["Lm", "Bm", "Bm"],
            ["Bm", "Bm", "Bm"],
            ["Bm", "L", "L"],
            ["Lm", "Bm", "Bm"],
        ]),
    },
    Matrix {
        name: "masqueradeAll, no LocalTrafficDetector",
        detector: false,
        masquerade_all: true,
        lines: lines([
            ["Bm", "Bm", "Bm"],
            ["Bm", "L", "L"],
            ["Lm", "Bm", "Bm"],
            ["Bm", "Bm", "Bm"],
            ["Bm", "Bm", "Bm"],
            ["Lm", "Bm", "Bm"],
            ["Bm", "Bm", "Bm"],
            ["Bm", "L", "L"],
            ["Lm", "Bm", "Bm"],
        ]),
    },
];

struct Service {
    name: &'static str,
    /// ClusterIP, NodePort, load balancer.
    frontends: [&'static str; 3],
    local: &'static str,
    remote: &'static str,
    policy: fn() -> Value,
}

const SERVICES: [Service; 3] = [
    Service {
        name: "svc1",
        frontends: ["172.30.0.41:80", "192.168.0.2:3001", "1.2.3.4:80"],
        local: "10.180.0.1",
        remote: "10.180.1.1",
        policy: || json!({}),
    },
    Service {
        name: "svc2",
        frontends: ["172.30.0.42:80", "192.168.0.2:3002", "5.6.7.8:80"],
        local: "10.180.0.2",
        remote: "10.180.1.2",
        policy: || json!({ "externalTrafficPolicy": "Local" }),
    },
    Service {
        name: "svc3",
        frontends: ["172.30.0.43:80", "192.168.0.2:3003", "9.10.11.12:80"],
        local: "10.180.0.3",
        remote: "10.180.1.3",
        policy: || json!({ "internalTrafficPolicy": "Local" }),
    },
];

pub(super) fn tables() -> Vec<Table> {
    MATRICES.iter().map(Matrix::table).collect()
}

impl Matrix {
    fn table(&self) -> Table {
        let rows = self.lines.iter().flat_map(|(service, from, cells)| {
            let service = SERVICES
                .iter()
                .find(|it| it.name == *service)
                .expect("a Service of the table");
            let client = match from {
                From::Pod => pod(POD),
                From::Node => node(),
                From::Outside => outside(OUTSIDE),
            };
            let kinds = ["ClusterIP", "NodePort", "LB"];
            service
                .frontends
                .iter()
                .zip(cells)
                .zip(kinds)
                .map(move |((to, cell), kind)| {
                    let endpoints = if cell.starts_with('B') {
                        format!("{}:80, {}:80", service.local, service.remote)
                    } else {
                        format!("{}:80", service.local)
                    };
                    let masquerade = if cell.ends_with('m') { Yes } else { No };
                    let name = format!("{from:?} to {} {kind}", service.name);
                    row(&name, client, to, &endpoints, masquerade)
                })
        });
        Table {
            name: format!("TestInternalExternalMasquerade, {}", self.name),
            cluster: self.cluster(),
            rows: rows.collect(),
        }
    }

    fn cluster(&self) -> Cluster {
        let mut cluster = Cluster::new();
        if !self.detector {
            cluster = cluster.without_detector();
        }
        if self.masquerade_all {
            cluster = cluster.masquerade_all();
        }
        SERVICES.iter().fold(cluster, |cluster, service| {
            let [vip, node_port, ingress] = service.frontends.map(|it| it.split_once(':').expect("a port"));
            let mut spec = (service.policy)();
            spec["type"] = "LoadBalancer".into();
            spec["clusterIP"] = vip.0.into();
            let node_port: u16 = node_port.1.parse().expect("a port");
            spec["ports"] = json!([{ "name": "p80", "port": 80, "nodePort": node_port }]);
            cluster.service(service.name, spec, &[ingress.0]).slice(
                service.name,
                &[("p80", "TCP", 80)],
                &[here(service.local), elsewhere(service.remote)],
            )
        })
    }
}
