// SPDX-License-Identifier: MIT OR Apache-2.0
//! The names of `cluster.local`, read from the manifest folder as CoreDNS reads them from the API server.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use k8s_openapi::api::core::v1::Service;

/// Names with the addresses they stand for; an address-less name exists but has nothing to answer.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Zone {
    names: BTreeMap<String, Vec<IpAddr>>,
}

pub const DOMAIN: &str = "cluster.local";

impl Zone {
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        let mut zone = Self::default();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_service = entry.file_name().to_string_lossy().starts_with("service-");
            // A file that vanishes or changes under our eyes is read again next time.
            let text = if is_service {
                fs::read(entry.path()).unwrap_or_default()
            } else {
                Vec::new()
            };
            if let Ok(service) = serde_json::from_slice::<Service>(&text) {
                zone.add(&service);
            }
        }
        zone
    }

    /// `None`: there is no such name.
    #[must_use]
    pub fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        let name = name.trim_end_matches('.').to_lowercase();
        match self.names.get(&name) {
            Some(addresses) => Some(addresses),
            // The nodes of the tree between the domain and a Service exist, without addresses.
            None => self
                .names
                .keys()
                .any(|known| known.ends_with(&format!(".{name}")))
                .then_some(&[]),
        }
    }

    fn add(&mut self, service: &Service) {
        let (Some(name), Some(namespace)) = (&service.metadata.name, &service.metadata.namespace) else {
            return;
        };
        let vips = service
            .spec
            .as_ref()
            .and_then(|spec| spec.cluster_ips.clone())
            .unwrap_or_default();
        let addresses = vips.iter().filter_map(|vip| vip.parse().ok()).collect();
        self.names
            .insert(format!("{name}.{namespace}.svc.{DOMAIN}"), addresses);
    }
}

/// The zone of a folder, read anew when the folder has changed.
#[derive(Debug)]
pub struct LiveZone {
    folder: PathBuf,
    read_at: Option<SystemTime>,
    zone: Zone,
}

impl LiveZone {
    #[must_use]
    pub fn of(folder: PathBuf) -> Self {
        Self {
            folder,
            read_at: None,
            zone: Zone::default(),
        }
    }

    pub fn current(&mut self) -> &Zone {
        let changed = fs::metadata(&self.folder)
            .and_then(|metadata| metadata.modified())
            .ok();
        // Time stamps are coarse: a folder that changed a moment ago may change again unseen.
        let fresh = changed
            .and_then(|time| time.elapsed().ok())
            .is_none_or(|age| age.as_millis() < 50);
        if fresh || changed != self.read_at {
            self.zone = Zone::read(&self.folder);
            self.read_at = changed;
        }
        &self.zone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> Zone {
        let service = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"clusterIPs": ["10.96.0.20", "fd00:10:96::14"]},
        }));
        let mut zone = Zone::default();
        zone.add(&service.unwrap());
        zone
    }

    #[test]
    fn a_service_has_the_name_that_pods_look_up() {
        let addresses: [IpAddr; 2] = ["10.96.0.20".parse().unwrap(), "fd00:10:96::14".parse().unwrap()];
        assert_eq!(
            zone().addresses("Web.default.svc.cluster.local."),
            Some(&addresses[..])
        );
    }

    #[test]
    fn a_namespace_exists_without_addresses_and_other_names_do_not_exist() {
        assert_eq!(zone().addresses("default.svc.cluster.local"), Some(&[][..]));
        assert_eq!(
            zone().addresses("web.default.svc.cluster.local.default.svc.cluster.local"),
            None
        );
        assert_eq!(zone().addresses("b.default.svc.cluster.local"), None);
    }
}
