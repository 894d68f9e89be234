// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the main loop still runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

#[derive(Clone, Debug)]
pub struct Heartbeat {
    start: Instant,
    /// Milliseconds after `start`.
    last: Arc<AtomicU64>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            last: Arc::default(),
        }
    }
}

impl Heartbeat {
    /// How often the loop beats at least.
    pub const EVERY: Duration = Duration::from_secs(1);
    /// Longer than any pass over a full kernel takes (seconds for a million entries).
    pub const DEAD_AFTER: Duration = Duration::from_secs(60);

    pub fn beat(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    pub fn age(&self) -> Duration {
        self.start
            .elapsed()
            .saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }

    pub fn is_alive(&self) -> bool {
        self.age() < Self::DEAD_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stops_beating_is_dead() {
        let heartbeat = Heartbeat::default();
        tokio::time::advance(Heartbeat::DEAD_AFTER).await;
        assert!(!heartbeat.is_alive());
        heartbeat.beat();
        assert!(heartbeat.is_alive());
    }
}
