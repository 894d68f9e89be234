// SPDX-License-Identifier: MIT OR Apache-2.0
//! Metrics of attaching to devices.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Cheap to clone: all clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct DeviceMetrics {
    /// From netlink's report of a device until both programs are attached.
    pub attach_duration: Histogram,
    pub attached: Gauge,
    pub failures: Counter,
    pub reorders: Counter,
    pub own_cluster_ips: Gauge,
}

impl DeviceMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            attach_duration: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            attached: Gauge::default(),
            failures: Counter::default(),
            reorders: Counter::default(),
            own_cluster_ips: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("shunt_device");
        registry.register_with_unit(
            "attach_duration",
            "Time from a device's appearance until both programs are attached",
            Unit::Seconds,
            metrics.attach_duration.clone(),
        );
        registry.register(
            "attached",
            "Devices with programs attached",
            metrics.attached.clone(),
        );
        registry.register(
            "attach_failures",
            "Failed attempts to attach to a device",
            metrics.failures.clone(),
        );
        registry.register(
            "reorders",
            "Times that programs were put back in their place on a device: first at ingress, last at egress",
            metrics.reorders.clone(),
        );
        registry.register(
            "own_cluster_ips",
            "ClusterIPs that are also addresses of the node's own devices",
            metrics.own_cluster_ips.clone(),
        );
        metrics
    }
}
