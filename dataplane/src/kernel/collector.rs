// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's counters as metrics, read at each scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::counters::{Counters, Traffic};
use super::maps::PinnedMaps;
use super::sweep::Sweeper;
use crate::model::{Protocol, ServicePortName};

/// Reads the kernel's maps at each scrape.
pub struct KernelCollector {
    maps: PinnedMaps,
    sweeper: Sweeper,
}

impl KernelCollector {
    pub fn new(maps: PinnedMaps, sweeper: Sweeper) -> Self {
        Self { maps, sweeper }
    }
}

impl fmt::Debug for KernelCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelCollector").finish_non_exhaustive()
    }
}

/// A counter of [`Traffic`]: its name, its help, how it is read.
type Reading = (&'static str, &'static str, fn(&Traffic) -> u64);

const READINGS: [Reading; 5] = [
    ("shunt_service_flows", "New flows, by Service port", |traffic| {
        traffic.new_flows
    }),
    (
        "shunt_service_packets",
        "Packets from clients, by Service port",
        |traffic| traffic.packets,
    ),
    (
        "shunt_service_bytes",
        "Bytes from clients, by Service port",
        |traffic| traffic.bytes,
    ),
    (
        "shunt_service_reply_packets",
        "Packets to clients, by Service port",
        |traffic| traffic.reply_packets,
    ),
    (
        "shunt_service_reply_bytes",
        "Bytes to clients, by Service port",
        |traffic| traffic.reply_bytes,
    ),
];

impl Collector for KernelCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Packets at the hooks, and socket calls, by outcome";
        let mut packets = encoder.encode_descriptor("shunt_packets", help, None, MetricType::Counter)?;
        for count in Counters(&self.maps).outcomes() {
            let labels = [("hook", count.hook), ("outcome", count.outcome)];
            ConstCounter::new(count.packets).encode(packets.encode_family(&labels)?)?;
        }
        let help = "Flow entries after the last sweep";
        let flows = encoder.encode_descriptor("shunt_flow_entries", help, None, MetricType::Gauge)?;
        ConstGauge::new(self.sweeper.live()).encode(flows)?;
        self.encode_services(&mut encoder)
    }
}

impl KernelCollector {
    /// Service ports that have carried nothing are left out: most of a large cluster's, on any node.
    fn encode_services(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counters = Counters(&self.maps);
        let services: Vec<(ServicePortName, Traffic)> = self
            .maps
            .services
            .iter()
            .flatten()
            .map(|(id, name)| {
                let protocol = Protocol::from_number(name.protocol).unwrap_or(Protocol::Sctp);
                let name = ServicePortName::from_label(name.name().unwrap_or_default(), protocol);
                (name, counters.traffic(id))
            })
            .filter(|(_, traffic)| *traffic != Traffic::default())
            .collect();
        for (metric, help, read) in READINGS {
            let mut family = encoder.encode_descriptor(metric, help, None, MetricType::Counter)?;
            for (name, traffic) in &services {
                let protocol = name.protocol.to_string();
                let labels = [
                    ("namespace", &*name.service.namespace),
                    ("service", &*name.service.name),
                    ("port", &*name.port),
                    ("protocol", protocol.as_str()),
                ];
                ConstCounter::new(read(traffic)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
