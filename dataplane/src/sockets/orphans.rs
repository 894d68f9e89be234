// SPDX-License-Identifier: MIT OR Apache-2.0
//! Destroys connected UDP sockets whose backend is gone, so that their owners notice and connect again.
//!
//! Datagrams of such a socket go to the removed backend until the socket is closed, and no kernel program sees them
//! being sent. TCP is left alone: a connection to a backend that left its Service may go on.
//!
//! Per removal of backends (several within [`PAUSE`] count as one): two walks over the namespace's UDP sockets.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use aya::Pod;
use dataplane_common::{Peer, V4, V6};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tracing::{debug, warn};

use super::diag::{Connected, Diag, DiagError};
use crate::kernel::{FamilyMaps, HostFamily, PinnedMaps};

/// Between two walks: a rollout removes one backend after the other.
const PAUSE: Duration = Duration::from_millis(100);
const LOOKS: u32 = 2;

/// Counts of sockets whose backend is gone. Cheap to clone: all clones count into the same numbers.
#[derive(Clone, Debug, Default)]
pub struct OrphanMetrics {
    pub destroyed: Counter,
    pub failures: Counter,
}

impl OrphanMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("shunt_sockets");
        registry.register(
            "destroyed",
            "Connected UDP sockets destroyed because their backend was removed",
            metrics.destroyed.clone(),
        );
        registry.register(
            "destroy_failures",
            "Times that UDP sockets could not be listed or destroyed",
            metrics.failures.clone(),
        );
        metrics
    }
}

/// Walks over the sockets, on a thread of its own.
#[derive(Debug)]
pub struct Orphans {
    news: Receiver<()>,
}

impl Orphans {
    /// The sender reports, by any message, that backends were removed. It holds one message: when it is full, a walk
    /// is due already.
    pub fn new() -> (SyncSender<()>, Self) {
        let (sender, news) = sync_channel(1);
        (sender, Self { news })
    }

    /// Starts the thread, which ends with the sender. It looks once at once: backends may have been removed
    /// while no agent ran. So start it when the kernel is in step.
    pub fn start(self, maps: PinnedMaps, metrics: OrphanMetrics) {
        thread::spawn(move || {
            loop {
                // Two looks: a socket that was just being connected during the first has its address by the second.
                for _ in 0..LOOKS {
                    match look(&maps, &metrics) {
                        Ok(()) => {}
                        Err(error @ DiagError::NoDestroy) => {
                            warn!(%error, "connected UDP sockets of removed backends stay until their owners give up");
                            return;
                        }
                        Err(error) => {
                            metrics.failures.inc();
                            warn!(%error, "connected UDP sockets of removed backends may stay");
                        }
                    }
                    thread::sleep(PAUSE);
                }
                if self.news.recv().is_err() {
                    return;
                }
            }
        });
    }
}

fn look(maps: &PinnedMaps, metrics: &OrphanMetrics) -> Result<(), DiagError> {
    let mut diag = Diag::open()?;
    for socket in diag.connected()? {
        if is_orphan(&socket, maps) && diag.destroy(&socket)? {
            metrics.destroyed.inc();
            debug!(?socket, "destroyed");
        }
    }
    Ok(())
}

/// Connected by the name of a Service, to a backend that no longer serves it.
fn is_orphan(socket: &Connected, maps: &PinnedMaps) -> bool {
    // Most sockets were never connected to a Service.
    let Ok(peer) = maps.connected.get(&socket.cookie, 0) else {
        return false;
    };
    // It may have been connected to another peer since.
    if (peer.addr, peer.port) != (socket.addr, socket.port) {
        return false;
    }
    match peer.addr.as_mapped() {
        Some(_) => !serves::<V4>(&maps.v4, &peer),
        None => !serves::<V6>(&maps.v6, &peer),
    }
}

fn serves<F: HostFamily>(maps: &FamilyMaps<F>, peer: &Peer) -> bool
where
    F::Addr: Pod,
{
    // What cannot be read is left alone.
    maps.backends.get(&peer.backend.0, 0).map_or(true, |backend| {
        backend.serves(peer.service, &F::narrow(peer.addr), peer.port)
    })
}
