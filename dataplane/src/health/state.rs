// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the agent keeps up, and whether load balancers should use the node.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Written by the agent, read by the servers. All clones are one.
///
/// Healthy as kube-proxy means it: no change has been waiting to reach the kernel for longer than
/// [`Health::PATIENCE`]. So an agent that starts is healthy, and one that cannot write is not, after a while.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<Facts>>);

#[derive(Debug)]
struct Facts {
    /// When the oldest change arrived that the kernel does not hold yet.
    waiting_since: Option<Instant>,
    updated: SystemTime,
    node_eligible: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Facts {
            waiting_since: None,
            updated: SystemTime::now(),
            // Until the Node says otherwise.
            node_eligible: true,
        })))
    }
}

impl Health {
    /// Twice kube-proxy's sync period.
    pub const PATIENCE: Duration = Duration::from_secs(60);

    /// A change has arrived that the kernel does not hold yet.
    pub fn queued(&self) {
        self.lock().waiting_since.get_or_insert_with(Instant::now);
    }

    /// The kernel holds all it should.
    pub fn updated(&self) {
        let mut facts = self.lock();
        (facts.waiting_since, facts.updated) = (None, SystemTime::now());
    }

    /// Whether the cluster means to keep the node: neither deleted nor about to be.
    pub fn set_node_eligible(&self, eligible: bool) {
        self.lock().node_eligible = eligible;
    }

    pub fn is_healthy(&self) -> bool {
        self.lock()
            .waiting_since
            .is_none_or(|since| since.elapsed() < Self::PATIENCE)
    }

    pub fn is_node_eligible(&self) -> bool {
        self.lock().node_eligible
    }

    /// When the kernel was last known to hold all it should: now, if nothing is overdue.
    pub(super) fn last_updated(&self) -> SystemTime {
        if self.is_healthy() {
            SystemTime::now()
        } else {
            self.lock().updated
        }
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn unhealthy_once_the_oldest_pending_change_is_too_old() {
        let health = Health::default();
        assert!(health.is_healthy(), "while it starts");
        health.queued();
        tokio::time::advance(Health::PATIENCE / 2).await;
        health.queued();
        assert!(health.is_healthy());
        tokio::time::advance(Health::PATIENCE / 2).await;
        assert!(!health.is_healthy(), "a later change does not excuse the first");
        health.updated();
        assert!(health.is_healthy());
    }
}
