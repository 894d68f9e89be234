// SPDX-License-Identifier: MIT OR Apache-2.0
//! Endpoints on their way out: `TestTerminatingEndpointsTrafficPolicyLocal` and `...Cluster` (KEP-1669).

use serde_json::json;

use super::Masquerade::{No, Yes};
use super::cluster::{Cluster, Endpoint, elsewhere, here};
use super::{Masquerade, OUTSIDE, POD, Table, outside, pod, refused, row};

pub(super) fn tables() -> Vec<Table> {
    let local = LOCAL.iter().map(|case| (case, "Local", No));
    let cluster = CLUSTER.iter().map(|case| (case, "Cluster", Yes));
    local
        .chain(cluster)
        .flat_map(|(case, policy, masquerade)| case.tables(policy, masquerade))
        .collect()
}

struct Case {
    name: &'static str,
    endpoints: fn() -> Vec<Endpoint>,
    from_pod: &'static str,
    from_outside: &'static str,
}

const LOCAL: [Case; 4] = [
    Case {
        name: "ready endpoints exist",
        endpoints: || {
            vec![
                here("10.0.1.1"),
                here("10.0.1.2"),
                here("10.0.1.3").leaving(),
                here("10.0.1.4").leaving().dead(),
                elsewhere("10.0.1.5"),
            ]
        },
        from_pod: "10.0.1.1:80, 10.0.1.2:80, 10.0.1.5:80",
        from_outside: "10.0.1.1:80, 10.0.1.2:80",
    },
    Case {
        name: "only terminating endpoints exist here",
        endpoints: || {
            vec![
                here("10.0.1.2").leaving(),
                here("10.0.1.3").leaving(),
                here("10.0.1.4").leaving().dead(),
                elsewhere("10.0.1.5"),
            ]
        },
        from_pod: "10.0.1.5:80",
        from_outside: "10.0.1.2:80, 10.0.1.3:80",
    },
    Case {
        name: "only one terminating endpoint, elsewhere",
        endpoints: || vec![elsewhere("10.0.1.5").leaving()],
        from_pod: "10.0.1.5:80",
        from_outside: "DROP",
    },
    Case {
        name: "only one endpoint, elsewhere, that does not serve",
        endpoints: || vec![elsewhere("10.0.1.5").leaving().dead()],
        from_pod: "REJECT",
        from_outside: "REJECT",
    },
];

const CLUSTER: [Case; 4] = [
    Case {
        name: "ready endpoints exist",
        endpoints: || {
            vec![
                here("10.0.1.1"),
                here("10.0.1.2"),
                here("10.0.1.3").leaving(),
                here("10.0.1.4").leaving().dead(),
                elsewhere("10.0.1.5"),
            ]
        },
        from_pod: "10.0.1.1:80, 10.0.1.2:80, 10.0.1.5:80",
        from_outside: "10.0.1.1:80, 10.0.1.2:80, 10.0.1.5:80",
    },
    Case {
        name: "only terminating endpoints exist",
        endpoints: || {
            vec![
                here("10.0.1.2").leaving(),
                here("10.0.1.3").leaving(),
                here("10.0.1.4").leaving().dead(),
                elsewhere("10.0.1.5").leaving(),
            ]
        },
        from_pod: "10.0.1.2:80, 10.0.1.3:80, 10.0.1.5:80",
        from_outside: "10.0.1.2:80, 10.0.1.3:80, 10.0.1.5:80",
    },
    Case {
        name: "only one terminating endpoint, elsewhere",
        endpoints: || vec![elsewhere("10.0.1.5").leaving()],
        from_pod: "10.0.1.5:80",
        from_outside: "10.0.1.5:80",
    },
    Case {
        name: "only one endpoint, elsewhere, that does not serve",
        endpoints: || vec![elsewhere("10.0.1.5").leaving().dead()],
        from_pod: "REJECT",
        from_outside: "REJECT",
    },
];

impl Case {
    fn tables(&self, policy: &str, masquerade: Masquerade) -> [Table; 2] {
        let spec = json!({
            "type": "LoadBalancer",
            "externalTrafficPolicy": policy,
            "clusterIP": "172.30.1.1",
            "ports": [{ "name": "", "port": 80 }],
        });
        let cluster = Cluster::new().service("svc1", spec, &["1.2.3.4"]).slice(
            "svc1",
            &[("", "TCP", 80)],
            &(self.endpoints)(),
        );
        let (vip, ingress) = ("172.30.1.1:80", "1.2.3.4:80");
        let name = format!("TestTerminatingEndpointsTrafficPolicy{policy}: {}", self.name);
        [
            Table {
                name: name.clone(),
                cluster: cluster.clone(),
                rows: vec![
                    row("pod to cluster IP", pod(POD), vip, self.from_pod, No),
                    row(
                        "external to LB",
                        outside(OUTSIDE),
                        ingress,
                        self.from_outside,
                        masquerade,
                    ),
                ],
            },
            Table {
                name: format!("{name}, then deleted"),
                cluster: cluster.without_slices(),
                rows: vec![
                    refused("pod to cluster IP", pod(POD), vip, "REJECT"),
                    refused("external to LB", outside(OUTSIDE), ingress, "REJECT"),
                ],
            },
        ]
    }
}
