// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where events come from: the Kubernetes API ([`kube`]) or a directory of manifests ([`manifests`]). Both turn
//! objects into models at once and send the same events.

mod guarded;
pub mod kube;
pub mod manifests;
mod watched;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::index::Event;

/// Events that belong together: they reach the kernel in one pass.
#[derive(Clone, Debug)]
pub struct Batch {
    /// When the first of them was seen.
    pub received: Instant,
    pub events: Vec<Event>,
}

impl Batch {
    pub fn now(events: Vec<Event>) -> Self {
        Self {
            received: Instant::now(),
            events,
        }
    }
}

pub type Sender = mpsc::Sender<Batch>;
pub type Receiver = mpsc::Receiver<Batch>;

/// Between the sources and the agent. When it is full, the sources wait, and TCP slows the API server down.
pub fn channel() -> (Sender, Receiver) {
    mpsc::channel(256)
}

/// The agent is gone: watching has no use any more.
#[derive(Debug)]
pub struct Closed;

async fn send(sender: &Sender, batch: Batch) -> Result<(), Closed> {
    sender.send(batch).await.map_err(|_| Closed)
}
