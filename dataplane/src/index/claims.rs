// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which Service gets an address and port that several ask for: the oldest, then the first by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::compile::frontends;
use crate::model::{FrontendKey, Service, ServiceName, ServicePortName, pack};

/// The smallest claim on a key wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    created: i64,
    port: ServicePortName,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    holders: BTreeMap<FrontendKey, Claim>,
    /// All other Services that ask for a held key. Usually none.
    waiting: BTreeMap<FrontendKey, BTreeSet<Claim>>,
}

impl Claims {
    pub(super) fn holder(&self, key: &FrontendKey) -> Option<&ServicePortName> {
        self.holders.get(key).map(|claim| &claim.port)
    }

    pub(super) fn pack(&mut self) {
        pack(&mut self.holders);
    }

    /// Replaces what a Service asks for. Returns the *other* Services for which something changes.
    pub(super) fn change(
        &mut self,
        name: &ServiceName,
        old: Option<&Service>,
        new: Option<&Service>,
    ) -> BTreeSet<ServiceName> {
        let old = of_service(name, old);
        let new = of_service(name, new);
        let mut affected = BTreeSet::new();
        for (key, claim) in old.difference(&new) {
            affected.extend(self.withdraw(*key, claim));
        }
        for (key, claim) in new.difference(&old) {
            affected.extend(self.file(*key, claim.clone()));
        }
        affected.remove(name);
        affected
    }

    fn file(&mut self, key: FrontendKey, claim: Claim) -> BTreeSet<ServiceName> {
        let Some(holder) = self.holders.get_mut(&key) else {
            self.holders.insert(key, claim);
            return BTreeSet::new();
        };
        let waiting = self.waiting.entry(key).or_default();
        if claim < *holder {
            waiting.insert(std::mem::replace(holder, claim));
            self.claimants(key)
        } else {
            waiting.insert(claim);
            BTreeSet::new()
        }
    }

    fn withdraw(&mut self, key: FrontendKey, claim: &Claim) -> BTreeSet<ServiceName> {
        let mut waiting = self.waiting.remove(&key).unwrap_or_default();
        let held = self.holders.get(&key) == Some(claim);
        if held {
            match waiting.pop_first() {
                Some(next) => self.holders.insert(key, next),
                None => self.holders.remove(&key),
            };
        } else {
            waiting.remove(claim);
        }
        if !waiting.is_empty() {
            self.waiting.insert(key, waiting);
        }
        if held {
            self.claimants(key)
        } else {
            BTreeSet::new()
        }
    }

    fn claimants(&self, key: FrontendKey) -> BTreeSet<ServiceName> {
        let waiting = self.waiting.get(&key).into_iter().flatten();
        self.holders
            .get(&key)
            .into_iter()
            .chain(waiting)
            .map(|claim| claim.port.service.clone())
            .collect()
    }
}

fn of_service(name: &ServiceName, service: Option<&Service>) -> BTreeSet<(FrontendKey, Claim)> {
    let mut claims = BTreeSet::new();
    if let Some(service) = service {
        for port in &service.ports {
            let name = ServicePortName {
                service: name.clone(),
                port: port.name.clone(),
                protocol: port.protocol,
            };
            let claim = Claim {
                created: service.created,
                port: name,
            };
            claims.extend(frontends(service, port).map(|(key, _)| (key, claim.clone())));
        }
    }
    claims
}
