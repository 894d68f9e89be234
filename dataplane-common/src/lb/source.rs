// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Where a client is: what policies hold for it, and whether its address may be kept. Per new flow.

use crate::lb::select::ClientScope;
use crate::maps::backends::Backend;
use crate::maps::config::Config;
use crate::maps::devices::DeviceKind;
use crate::maps::flows::FlowKey;
use crate::maps::frontends::FrontendValue;
use crate::maps::networks::Detect;
use crate::tables::Tables;
use crate::value::family::Family;

/// What is known of a packet's sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientSource {
    /// Which policies hold for it.
    pub(crate) scope: ClientScope,
    /// Packets to it leave by a pod's device of this node, and packets from other nodes to it pass this node.
    is_here: bool,
    /// Whether pods are distinguished from other clients at all.
    is_detected: bool,
}

impl ClientSource {
    /// The sender of a packet.
    #[inline(always)]
    pub(crate) fn of<F: Family, T: Tables<F>>(tables: &T, addr: &F::Addr) -> Self {
        let (is_here, is_local) = match tables.device() {
            Some(device) => {
                let is_here = [DeviceKind::Pod as u32, DeviceKind::Bridge as u32].contains(&device.kind);
                (is_here, device.local != 0)
            }
            // Unknown: from outside, so that no policy is passed by.
            None => (false, false),
        };
        let (is_local, is_detected) = match tables.networks() {
            Some(networks) => match networks.detect() {
                Detect::Device => (is_local, true),
                Detect::Range => (networks.pods.contains(addr), true),
                Detect::Nobody => (false, false),
            },
            None => (is_local, true),
        };
        Self {
            scope: if is_local {
                ClientScope::Internal
            } else {
                ClientScope::External
            },
            is_here,
            is_detected,
        }
    }

    /// Whether its flow to this backend needs another source address: where the reply would not
    /// leave the pod (hairpin), or would not pass this node again.
    ///
    /// Where the operator says so, all clients outside the node are masqueraded under the policy `Cluster`, because the
    /// reply of a pod of this node may have another way out (a second device).
    ///
    /// For a ClusterIP the operator has a say in that, as with kube-proxy: who counts as a pod keeps
    /// its address, and so do all clients where pods are not detected; or no client keeps it.
    #[inline(always)]
    pub(crate) fn needs_masquerade<F: Family, T: Tables<F>>(
        &self,
        tables: &T,
        key: &FlowKey<F>,
        frontend: &FrontendValue,
        backend: &Backend<F>,
    ) -> bool {
        if backend.addr == key.src {
            return true;
        }
        let flags = tables.config().flags;
        let always = (flags & Config::MASQUERADE_EXTERNAL != 0 || frontend.has_external_masquerade())
            && !frontend.has_local_policy();
        let strays = !self.is_here && (always || !backend.is_local());
        if !frontend.is_cluster_ip() {
            return strays;
        }
        strays && self.is_detected && self.scope == ClientScope::External
            || flags & Config::MASQUERADE_ALL != 0
    }
}
