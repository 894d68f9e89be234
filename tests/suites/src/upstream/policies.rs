// SPDX-License-Identifier: MIT OR Apache-2.0
//! Traffic policies: `TestExternalTrafficPolicyLocal`, `TestExternalTrafficPolicyCluster`, `TestInternalTrafficPolicy`.

use serde_json::json;

use super::Masquerade::{No, Yes};
use super::cluster::{Cluster, Endpoint, elsewhere, here};
use super::{Masquerade, OUTSIDE, POD, Table, outside, pod, refused, row};

pub(super) fn tables() -> Vec<Table> {
    let internal = INTERNAL.iter().flat_map(|it| [it.table(), it.after()]);
    [external("Local", No), external("Cluster", Yes)]
        .into_iter()
        .chain(internal)
        .collect()
}

fn external(policy: &str, masquerade: Masquerade) -> Table {
    let spec = json!({
        "type": "LoadBalancer",
        "externalTrafficPolicy": policy,
        "clusterIP": "172.30.0.41",
        "externalIPs": ["192.168.99.11"],
        "ports": [{ "name": "p80", "port": 80, "nodePort": 3001 }],
    });
    let both = "10.180.0.1:80, 10.180.2.1:80";
    let local = "10.180.2.1:80";
    let from_outside = if policy == "Local" { local } else { both };
    let frontends = [
        ("external IP", "192.168.99.11:80"),
        ("LB IP", "1.2.3.4:80"),
        ("NodePort", "192.168.0.2:3001"),
    ];
    let mut rows = vec![row("pod to cluster IP", pod(POD), "172.30.0.41:80", both, No)];
    for (name, to) in frontends {
        rows.push(row(&format!("pod to {name}"), pod(POD), to, both, masquerade));
        let name = format!("external to {name}");
        rows.push(row(&name, outside(OUTSIDE), to, from_outside, masquerade));
    }
    Table {
        name: format!("TestExternalTrafficPolicy{policy}"),
        cluster: Cluster::new().service("svc1", spec, &["1.2.3.4"]).slice(
            "svc1",
            &[("p80", "TCP", 80)],
            &[elsewhere("10.180.0.1"), here("10.180.2.1")],
        ),
        rows,
    }
}

struct Internal {
    name: &'static str,
    policy: &'static str,
    endpoints: fn() -> Vec<Endpoint>,
    gives: &'static str,
}

const INTERNAL: [Internal; 4] = [
    Internal {
        name: "internalTrafficPolicy is cluster",
        policy: "Cluster",
        endpoints: || {
            vec![
                here("10.180.0.1"),
                elsewhere("10.180.0.2"),
                elsewhere("10.180.0.3"),
            ]
        },
        gives: "10.180.0.1:80, 10.180.0.2:80, 10.180.0.3:80",
    },
    Internal {
        name: "internalTrafficPolicy is local and there is one local endpoint",
        policy: "Local",
        endpoints: || {
            vec![
                here("10.180.0.1"),
                elsewhere("10.180.0.2"),
                elsewhere("10.180.0.3"),
            ]
        },
        gives: "10.180.0.1:80",
    },
    Internal {
        name: "internalTrafficPolicy is local and there are multiple local endpoints",
        policy: "Local",
        endpoints: || vec![here("10.180.0.1"), here("10.180.0.2"), elsewhere("10.180.0.3")],
        gives: "10.180.0.1:80, 10.180.0.2:80",
    },
    Internal {
        name: "internalTrafficPolicy is local and there are no local endpoints",
        policy: "Local",
        endpoints: || {
            vec![
                elsewhere("10.180.0.1"),
                elsewhere("10.180.0.2"),
                elsewhere("10.180.0.3"),
            ]
        },
        gives: "DROP",
    },
];

impl Internal {
    fn cluster(&self) -> Cluster {
        let spec = json!({
            "clusterIP": "172.30.1.1",
            "internalTrafficPolicy": self.policy,
            "ports": [{ "name": "", "port": 80 }],
        });
        Cluster::new()
            .service("svc1", spec, &[])
            .slice("svc1", &[("", "TCP", 80)], &(self.endpoints)())
    }

    fn table(&self) -> Table {
        Table {
            name: format!("TestInternalTrafficPolicy: {}", self.name),
            cluster: self.cluster(),
            rows: vec![row(
                "pod to cluster IP",
                pod(POD),
                "172.30.1.1:80",
                self.gives,
                No,
            )],
        }
    }

    fn after(&self) -> Table {
        Table {
            name: format!("TestInternalTrafficPolicy, endpoints deleted: {}", self.name),
            cluster: self.cluster().without_slices(),
            rows: vec![refused("pod to cluster IP", pod(POD), "172.30.1.1:80", "REJECT")],
        }
    }
}
