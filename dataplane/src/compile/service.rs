// SPDX-License-Identifier: MIT OR Apache-2.0
//! The compiler.

use std::collections::{BTreeMap, BTreeSet};

use super::endpoints::{Endpoints, categorize, gather};
use super::frontends::{frontend, frontends, source_ranges};
use super::port::{Compiled, HealthCheck, Member, Port};
use crate::model::{
    Family, FrontendKey, FrontendKind, Node, Protocol, Reason, Service, ServiceName, ServicePort,
    ServicePortName, Slice, Target,
};

/// Everything that a compiled Service depends on.
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
        // Far more than the largest Services known have; a fifth of the table of backends.
        Self { endpoints: 50_000 }
    }
}

/// `holder` returns the Service that gets a frontend, if any asks for it.
pub fn compile<'a, S>(
    input: Input<'a, S>,
    holder: impl Fn(&FrontendKey) -> Option<&'a ServicePortName>,
) -> Compiled
where
    S: Iterator<Item = &'a Slice> + Clone,
{
    let mut compiled = Compiled {
        health_check: health_check(&input),
        ..Compiled::default()
    };
    for service_port in &input.service.ports {
        let ServicePort { name, protocol, .. } = service_port;
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
                _ => drop(owned.entry(key).or_insert(kind)),
            }
        }
        if !owned.is_empty() {
            let port = compile_port(&input, service_port, &owned, &mut compiled.reasons);
            compiled.ports.insert(port_name, port);
        }
    }
    compiled
}

fn health_check<'a, S>(input: &Input<'a, S>) -> Option<HealthCheck>
where
    S: Iterator<Item = &'a Slice> + Clone,
{
    let port = input.service.health_check_node_port?;
    let local = |family| {
        let slices = input.slices.clone().filter(move |slice| slice.family == family);
        let endpoints = slices.flat_map(|slice| &slice.endpoints);
        let counted = endpoints.filter(|it| it.conditions.ready && it.conditions.local);
        counted.map(|it| it.addr).collect::<BTreeSet<_>>().len()
    };
    Some(HealthCheck {
        port,
        local_endpoints: Family::ALL.map(local).into_iter().max().unwrap_or(0),
    })
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
        let ranges = source_ranges(input.service, family, input.node);
        for (key, kind) in owned.iter().filter(|(key, _)| Family::of(key.addr) == family) {
            if let Some(target) = unreachable(key, &endpoints) {
                reasons.push(Reason::SctpPorts { key: *key, target });
                continue;
            }
            let mut frontend = frontend(*kind, input.service, &categorized);
            if *kind == FrontendKind::LoadBalancer
                && let Some(ranges) = &ranges
            {
                frontend.is_restricted = true;
                port.ranges.extend(ranges);
            }
            port.frontends.insert(*key, frontend);
        }
        port.backends.extend(endpoints.iter().map(|(it, report)| {
            let member = Member {
                in_use: false,
                local: report.conditions.local,
                chosen_anywhere: categorized.cluster.contains(it),
                chosen_local: categorized.local.contains(it),
            };
            (*it, member)
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

/// An endpoint that packets to this frontend cannot be made to reach: SCTP's checksum is over the whole packet, so its
/// ports stay as they are.
fn unreachable(key: &FrontendKey, endpoints: &Endpoints<'_>) -> Option<Target> {
    let other_port = |target: &&Target| key.protocol == Protocol::Sctp && target.port != key.port;
    endpoints.keys().find(other_port).copied()
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
