// SPDX-License-Identifier: MIT OR Apache-2.0
//! Made-up clusters, held by an API server in the node's namespace.

use std::fmt;

use apiserver::bulk::Bulk;
use apiserver::{Access, Fixture, Settings, User};
use lab::Lab;
use serde_json::{Value, json};

/// How large a cluster is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    bulk: Bulk,
    /// Ports of each Service.
    ports: u32,
}

impl Shape {
    pub(super) const ALL: [Self; 4] = [
        Self::new(10, 10, 2),
        Self::new(1_000, 10, 2),
        Self::new(10_000, 10, 2),
        Self::new(5_000, 50, 1),
    ];
    pub(super) const QUICK: [Self; 2] = [Self::new(10, 10, 2), Self::new(10_000, 10, 2)];

    const fn new(services: u32, endpoints: u32, ports: u32) -> Self {
        let bulk = Bulk {
            services,
            endpoints,
            nodes: 100,
        };
        Self { bulk, ports }
    }

    pub(super) fn services(self) -> u32 {
        self.bulk.services
    }

    fn service(self, index: u32) -> Value {
        let mut service = self.bulk.service(index);
        self.add_ports(&mut service["spec"]["ports"], 80);
        service
    }

    /// The EndpointSlice of a Service, its first endpoint replaced by one that there was not before.
    pub(super) fn changed_slice(self, index: u32, change: u32) -> Value {
        let mut slice = self.slice(index);
        slice["endpoints"][0]["addresses"][0] =
            format!("10.255.{}.{}", change >> 8 & 0xff, change & 0xff).into();
        slice
    }

    fn slice(self, index: u32) -> Value {
        let mut slice = self.bulk.slice(index);
        self.add_ports(&mut slice["ports"], 8080);
        slice
    }

    fn add_ports(self, ports: &mut Value, first: u32) {
        if let Some(ports) = ports.as_array_mut() {
            ports.extend((1..self.ports).map(
                |number| json!({"name": format!("port-{number}"), "port": first + number, "protocol": "TCP"}),
            ));
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bulk {
            services, endpoints, ..
        } = self.bulk;
        match services {
            0..1000 => write!(f, "{services} × {endpoints}"),
            _ => write!(f, "{}k × {endpoints}", services / 1000),
        }?;
        if self.ports > 1 {
            write!(f, ", {} ports", self.ports)
        } else {
            Ok(())
        }
    }
}

/// A cluster and its API server.
pub(super) struct Cluster {
    pub(super) shape: Shape,
    pub(super) fixture: Fixture,
}

impl Cluster {
    pub(super) fn start(lab: &Lab, shape: Shape) -> anyhow::Result<Self> {
        let fixture = lab
            .node(1)
            .netns()
            .run(|| Fixture::start(Settings::default()))??;
        fixture.grant(Access::node_proxier());
        fixture
            .put_all((0..shape.services()).flat_map(|index| [shape.service(index), shape.slice(index)]))?;
        Ok(Self { shape, fixture })
    }

    pub(super) fn kubeconfig(&self) -> anyhow::Result<std::path::PathBuf> {
        Ok(self.fixture.token_kubeconfig(User::Agent)?)
    }
}
