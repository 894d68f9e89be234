// SPDX-License-Identifier: MIT OR Apache-2.0
//! kube-proxy's own packet cases, table by table, and what becomes of such packets here.
//!
//! The objects, rows and results are those of Kubernetes' `pkg/proxy/nftables/proxier_test.go` and
//! `pkg/proxy/topology_test.go` (v1.35), under the names they have there. They are taken in as API objects, compiled,
//! planned, and sent as packets through both datapaths; calls stand for the traffic of the node's own processes. Where Shunt differs
//! on purpose, one rule says how: `Row::is_masqueraded`.

mod calls;
mod cluster;
mod masquerade;
mod policies;
mod reachable;
mod run;
mod terminating;
mod topology;

use std::net::{IpAddr, SocketAddr};

use dataplane::model::Protocol;

pub use calls::check_calls;
use cluster::Cluster;
pub use run::check;

/// A test of upstream's: a cluster and what packets meet in it.
pub struct Table {
    pub name: String,
    cluster: Cluster,
    rows: Vec<Row>,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// A pod of this node.
    Pod,
    /// A process of the node itself: its calls are translated, and no packet.
    Node,
    /// Somebody outside.
    Outside,
}

/// One packet.
struct Row {
    name: String,
    from: From,
    source: IpAddr,
    to: SocketAddr,
    protocol: Protocol,
    gives: Gives,
}

/// What becomes of it.
enum Gives {
    /// One of these gets it; all do, in time. Upstream masquerades it, or not.
    Endpoints(Vec<SocketAddr>, Masquerade),
    Reject,
    Drop,
    /// Nothing: it is no Service's.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Masquerade {
    No,
    Yes,
}

const POD: &str = "10.0.0.2";
const NODE: &str = "192.168.0.2";
const OTHER_NODE_ADDRESS: &str = "192.168.1.2";
const OUTSIDE: &str = "203.0.113.2";
const BLOCKED: &str = "203.0.113.130";

fn pod(source: &str) -> (From, IpAddr) {
    (From::Pod, source.parse().expect("an address"))
}

fn node() -> (From, IpAddr) {
    (From::Node, NODE.parse().expect("an address"))
}

fn outside(source: &str) -> (From, IpAddr) {
    (From::Outside, source.parse().expect("an address"))
}

/// A row as upstream writes it: `gives` is `"ip:port, ip:port"`, `"REJECT"`, `"DROP"` or `""`.
fn row(name: &str, (from, source): (From, IpAddr), to: &str, gives: &str, masquerade: Masquerade) -> Row {
    let gives = match gives {
        "REJECT" => Gives::Reject,
        "DROP" => Gives::Drop,
        "" => Gives::Nothing,
        endpoints => {
            let parsed = endpoints.split(", ").map(|it| it.parse().expect("an endpoint"));
            Gives::Endpoints(parsed.collect(), masquerade)
        }
    };
    Row {
        name: name.to_owned(),
        from,
        source,
        to: to.parse().expect("a destination"),
        protocol: Protocol::Tcp,
        gives,
    }
}

/// A row in which nothing is masqueraded, because nobody gets it.
fn refused(name: &str, from: (From, IpAddr), to: &str, gives: &str) -> Row {
    row(name, from, to, gives, Masquerade::No)
}

impl Row {
    fn over(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Whether Shunt masquerades a packet to this endpoint where upstream's answer is `upstream`.
    ///
    /// Fewer than upstream: a pod of this node keeps its address everywhere but to itself (or with masqueradeAll, for
    /// ClusterIPs), and a client outside keeps it where the endpoint is on this node, because the reply comes by here
    /// anyway. What the node's own processes send is not masqueraded, because nothing of it is translated on the way.
    fn is_masqueraded(&self, upstream: Masquerade, endpoint: SocketAddr, cluster: &Cluster) -> bool {
        let hairpin = endpoint.ip() == self.source;
        let by_force = cluster.masquerade_all && cluster.is_cluster_ip(self.to.ip());
        let strays = self.from == From::Outside && !cluster.is_local(endpoint.ip());
        upstream == Masquerade::Yes && (hairpin || by_force || strays)
    }
}

/// All of upstream's tables.
pub fn all() -> Vec<Table> {
    [
        reachable::tables(),
        policies::tables(),
        terminating::tables(),
        masquerade::tables(),
        topology::tables(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// How many rows the tables have together.
pub fn rows() -> usize {
    all().iter().map(|table| table.rows.len()).sum()
}
