// SPDX-License-Identifier: MIT OR Apache-2.0
//! The compiler itself.

use std::collections::{BTreeMap, BTreeSet};

use super::endpoints::{Categorized, Endpoints, categorize, gather};
use super::frontends::{FrontendKind, frontends, scopes};
use super::port::{Compiled, Frontend, Member, Port};
use crate::model::{
    Family, FrontendKey, Node, Protocol, Reason, Service, ServiceName, ServicePort, ServicePortName, Slice,
};

/// Everything that has a say in one Service.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a, S> {
    pub name: &'a ServiceName,
    pub service: &'a Service,
    /// An iterator over the Service's [`Slice`]s, cheap to clone.
    pub slices: S,
    pub node: &'a Node,
    pub limits: Limits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Per ServicePort and family. One hostile object must not fill the tables of all.
    pub endpoints: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // Twice what is known of the largest real Services; half of the smallest table of backends.
        Self { endpoints: 10_000 }
    }
}

/// `holder` tells who gets a frontend, if anybody asks for it.
pub fn compile<'a, S>(
    input: Input<'a, S>,
    holder: impl Fn(&FrontendKey) -> Option<&'a ServicePortName>,
) -> Compiled
where
    S: Iterator<Item = &'a Slice> + Clone,
{
    let mut compiled = Compiled::default();
    for service_port in &input.service.ports {
        let ServicePort { name, protocol, .. } = service_port;
        if *protocol == Protocol::Sctp {
            compiled.reasons.push(Reason::Unsupported {
                port: name.to_string(),
                protocol: *protocol,
            });
            continue;
        }
        let port_name = ServicePortName {
            service: input.name.clone(),
            port: name.clone(),
            protocol: *protocol,
        };
        let mut owned = BTreeMap::new();
        for (key, kind) in frontends(input.service, service_port) {
            match holder(&key) {
                Some(holder) if *holder != port_name => {
                    compiled.reasons.push(Reason::Claimed {
                        key,
                        holder: holder.clone(),
                    });
                }
                _ => drop(owned.insert(key, kind)),
            }
        }
        if !owned.is_empty() {
            let port = compile_port(&input, service_port, &owned, &mut compiled.reasons);
            compiled.ports.insert(port_name, port);
        }
    }
    compiled
}

fn compile_port<'a, S>(
    input: &Input<'a, S>,
    service_port: &ServicePort,
    owned: &BTreeMap<FrontendKey, FrontendKind>,
    reasons: &mut Vec<Reason>,
) -> Port
where
    S: Iterator<Item = &'a Slice> + Clone,
{
    let mut port = Port {
        keeps_last_endpoints: leads_to_the_api(input.name),
        ..Port::default()
    };
    let families: BTreeSet<Family> = owned.keys().map(|key| Family::of(key.addr)).collect();
    for family in families {
        let mut endpoints = gather(input.slices.clone(), family, service_port);
        reasons.extend(cut(&mut endpoints, family, service_port, input.limits.endpoints));
        let categorized = categorize(&endpoints, input.node);
        let mine = owned.iter().filter(|(key, _)| Family::of(key.addr) == family);
        port.frontends
            .extend(mine.map(|(key, kind)| (*key, frontend(*kind, input.service, &categorized))));
        port.backends.extend(endpoints.iter().map(|(it, report)| {
            (
                *it,
                Member {
                    in_use: false,
                    local: report.conditions.local,
                },
            )
        }));
    }
    for scope in port
        .frontends
        .values()
        .flat_map(|frontend| [&frontend.internal, &frontend.external])
    {
        for target in &scope.members {
            if let Some(member) = port.backends.get_mut(target) {
                member.in_use = true;
            }
        }
    }
    port
}

fn frontend(kind: FrontendKind, service: &Service, endpoints: &Categorized) -> Frontend {
    let (internal, external) = scopes(kind, service, endpoints);
    Frontend {
        internal,
        external,
        affinity_seconds: service.affinity_seconds.unwrap_or(0),
    }
}

/// Leaves the first ones, ready before terminating.
fn cut(
    endpoints: &mut Endpoints<'_>,
    family: Family,
    service_port: &ServicePort,
    limit: usize,
) -> Option<Reason> {
    let count = endpoints.len();
    if count <= limit {
        return None;
    }
    let mut order: Vec<_> = endpoints
        .iter()
        .map(|(it, report)| (!report.conditions.ready, *it))
        .collect();
    order.sort_unstable();
    for (_, target) in order.drain(limit..) {
        endpoints.remove(&target);
    }
    Some(Reason::TooManyEndpoints {
        port: service_port.name.to_string(),
        family,
        endpoints: count,
        limit,
    })
}

fn leads_to_the_api(name: &ServiceName) -> bool {
    (&*name.namespace, &*name.name) == ("default", "kubernetes")
}
