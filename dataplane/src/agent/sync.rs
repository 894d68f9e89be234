// SPDX-License-Identifier: MIT OR Apache-2.0
//! One sync: compile the Services that changed, plan, write.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::SystemTime;

use tokio::task::yield_now;
use tokio::time::Instant;
use tracing::{debug, error, info};

use super::{Agent, Backoff};
use crate::compile::Compiled;
use crate::malloc::trim;
use crate::model::{NodeNetwork, ServiceName};
use crate::plan::{Maps, MapsError, Op, Plan, Planner, Resync};

/// Services that are compiled, planned and written together when all are.
const SERVICES_AT_A_TIME: usize = 128;

/// Writes between two chances for the other tasks of this thread (a few hundred microseconds).
const WRITES_AT_A_TIME: usize = 256;

impl<M: Maps> Agent<M> {
    /// Brings the kernel in step with the index. After a failure, and a pause, the kernel is read again and everything
    /// is planned; Services that change meanwhile do not wait for that.
    pub(super) async fn sync(&mut self) {
        let start = Instant::now();
        self.change = None;
        let triggers = self.index.take_triggers();
        let failures = if self.resync_at.is_some_and(|at| at <= start) {
            self.resync().await
        } else {
            self.sync_changed().await
        };
        if failures.is_empty() && self.resync_at.is_none() {
            self.in_step(&triggers);
        } else if !failures.is_empty() {
            self.out_of_step(failures);
        }
        self.reports.metrics.sync_took(start.elapsed());
        self.count_entries();
        self.report_refusals();
        self.publish();
    }

    /// Reads the kernel and plans everything.
    async fn resync(&mut self) -> Vec<MapsError> {
        let state = match self.maps.load() {
            Ok(state) => state,
            Err(failure) => return vec![failure],
        };
        match &mut self.planner {
            Some(planner) => planner.readopt(state),
            none => drop(none.insert(Planner::adopt(state, self.maps.capacity()))),
        }
        self.resync_at = None;
        // The index has just grown entry by entry; the planner can use the memory that packing frees.
        self.index.pack();
        self.index.mark_all_dirty();
        let dirty: Vec<ServiceName> = self.index.take_dirty().into_iter().collect();
        let node_network = self.index.node_network();
        if let Some(planner) = &mut self.planner {
            planner.set_node_network(node_network.clone());
        }
        let (mut resync, mut ops, mut failures) = (Resync::default(), 0, Vec::new());
        for part in dirty.chunks(SERVICES_AT_A_TIME) {
            let wanted = self.compile(part, &node_network);
            let Some(planner) = &mut self.planner else { break };
            let plan = resync.part(planner, &wanted);
            ops += plan.ops.len();
            failures.extend(self.carry_out(plan).await);
        }
        if let Some(planner) = &mut self.planner {
            let plan = resync.rest(planner);
            ops += plan.ops.len();
            failures.extend(self.carry_out(plan).await);
        }
        if let Some(planner) = &mut self.planner {
            planner.pack();
        }
        trim();
        info!(services = dirty.len(), ops, "full resync done");
        failures
    }

    /// Plans the Services that changed.
    async fn sync_changed(&mut self) -> Vec<MapsError> {
        if self.planner.is_none() {
            return Vec::new();
        }
        let dirty: Vec<ServiceName> = self.index.take_dirty().into_iter().collect();
        let node_network = self.index.node_network();
        let wanted = self.compile(&dirty, &node_network);
        let Some(planner) = &mut self.planner else {
            return Vec::new();
        };
        planner.set_node_network(node_network);
        let plan = planner.plan(&wanted);
        debug!(
            services = wanted.len(),
            ops = plan.ops.len(),
            "changed Services compared"
        );
        self.carry_out(plan).await
    }

    fn compile(
        &mut self,
        services: &[ServiceName],
        node_network: &NodeNetwork,
    ) -> BTreeMap<ServiceName, Compiled> {
        self.reports.metrics.compiles.inc_by(services.len() as u64);
        let compiled = services
            .iter()
            .map(|name| (name.clone(), self.index.compile(name)))
            .collect();
        self.update_checks(&compiled, node_network);
        compiled
    }

    /// Load balancers see at once the state that the kernel is about to hold, as with kube-proxy.
    fn update_checks(&self, compiled: &BTreeMap<ServiceName, Compiled>, node_network: &NodeNetwork) {
        let addresses = match self.index.serves_node_ports_at_all_addresses() {
            true => everywhere(node_network),
            false => {
                let addresses = node_network.addresses.iter();
                addresses
                    .filter(|(_, own)| own.serves_node_ports)
                    .map(|(addr, _)| *addr)
                    .collect()
            }
        };
        self.reports.checks.send_if_modified(|current| {
            let mut changed = current.addresses != addresses;
            current.addresses = addresses;
            for (name, compiled) in compiled {
                let before = match compiled.health_check {
                    Some(check) => current.services.insert(name.clone(), check),
                    None => current.services.remove(name),
                };
                changed |= before != compiled.health_check;
            }
            changed
        });
    }

    async fn carry_out(&mut self, plan: Plan) -> Vec<MapsError> {
        let mut failures: Vec<MapsError> = Vec::new();
        for shortage in &plan.shortages {
            self.reports.metrics.op_failed(shortage.bound.map);
            error!(service = %shortage.port, map = shortage.bound.map, "map too small: some backends are not served");
            failures.push(shortage.bound.into());
        }
        let mut written = 0;
        for ops in plan.runs().flat_map(|run| run.chunks(WRITES_AT_A_TIME)) {
            failures.extend(self.write(ops));
            written += ops.len();
            if written >= WRITES_AT_A_TIME {
                written = 0;
                self.reports.heartbeat.beat();
                yield_now().await;
            }
        }
        failures
    }

    /// Writes the ops of one run, except for those that depend on an op that failed.
    fn write(&mut self, ops: &[Op]) -> Vec<MapsError> {
        let Some(planner) = &mut self.planner else {
            return Vec::new();
        };
        let metrics = &self.reports.metrics;
        let (admitted, held_back): (Vec<&Op>, Vec<&Op>) = ops.iter().partition(|op| planner.admits(op));
        for op in held_back {
            metrics.ops_held_back.inc();
            debug!(%op, "held back");
        }
        let mut failures = Vec::new();
        let mut rest = admitted.as_slice();
        while !rest.is_empty() {
            let (count, result) = self.maps.apply_all(rest);
            let (applied, others) = rest.split_at(count.min(rest.len()));
            for op in applied {
                planner.applied(op);
                metrics.op_applied(op);
                debug!(%op, "applied");
            }
            rest = others;
            if let (Err(failure), Some((op, others))) = (result, rest.split_first()) {
                metrics.op_failed(failure.map());
                debug!(%op, %failure, "failed");
                failures.push(failure);
                rest = others;
            }
        }
        failures
    }

    fn in_step(&mut self, triggers: &[SystemTime]) {
        let metrics = &self.reports.metrics;
        metrics.is_in_step();
        self.reports.health.updated();
        let waiting = std::mem::take(&mut self.waiting);
        // The first lists are not measured: their changes happened long before.
        if std::mem::replace(&mut self.was_in_step, true) {
            let now = Instant::now();
            for received in waiting {
                metrics
                    .network_programming
                    .observe((now - received).as_secs_f64());
            }
            for elapsed in triggers.iter().filter_map(|at| at.elapsed().ok()) {
                metrics
                    .kubeproxy_network_programming
                    .observe(elapsed.as_secs_f64());
            }
        }
        self.backoff = Backoff::default();
        self.failures.clear();
        self.out_of_step = None;
    }

    fn out_of_step(&mut self, failures: Vec<MapsError>) {
        // Full maps fail by the thousand and all alike.
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        for failure in failures {
            let is_full = matches!(failure, MapsError::Full { .. });
            let count = counted.entry(failure.to_string()).or_default();
            *count += 1;
            if is_full && *count == 1 {
                self.reports.kube_events.record_full(&failure);
            }
        }
        // Services that fail again and again, event by event, must not put off what helps them.
        let now = Instant::now();
        let retry_at = match self.resync_at {
            Some(at) if at > now => at,
            _ => now + self.backoff.next(),
        };
        let news = self.resync_at != Some(retry_at) || !counted.keys().eq(&self.failures);
        for (failure, times) in counted.iter().filter(|_| news) {
            error!(times, %failure, retry_after = ?(retry_at - now), "kernel not in step");
        }
        self.failures = counted.into_keys().collect();
        self.resync_at = Some(retry_at);
        self.reports.metrics.in_step.set(0);
        self.out_of_step
            .get_or_insert_with(|| self.reports.ready.register_task("kernel in step"));
    }

    fn count_entries(&self) {
        let Some(planner) = &self.planner else { return };
        let kernel = planner.kernel();
        let count = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
        self.reports.metrics.services.set(count(kernel.services.len()));
        self.reports.metrics.backends.set(count(kernel.backends.len()));
        self.reports.metrics.frontends.set(count(kernel.frontends.len()));
    }
}

/// Every address, also those that only a route makes local: load balancers that pass packets on unchanged probe the
/// health check port at their own address. The IPv6 address stands for both families.
fn everywhere(node_network: &NodeNetwork) -> BTreeSet<IpAddr> {
    let has_v6 = node_network.addresses.keys().any(IpAddr::is_ipv6);
    let any = match has_v6 {
        true => Ipv6Addr::UNSPECIFIED.into(),
        false => Ipv4Addr::UNSPECIFIED.into(),
    };
    BTreeSet::from([any])
}
