// SPDX-License-Identifier: MIT OR Apache-2.0
//! The programs: loaded once per agent start, attached to devices, replaced without a gap.
//!
//! Kernels from 6.6 on have TCX links, which are pinned and updated atomically. Before, the programs
//! are clsact filters with a priority and handle of their own, which the kernel keeps without a pin.

use std::fs;
use std::io;
use std::mem;
use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact,
};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfError, EbpfLoader};
use dataplane_common::Hook;

use super::features::{chooses_errors, has_tcx};
use super::netns::node_mark;
use super::pins::{Pins, PinsError};
use super::syscall::detach_link;
use crate::causes::Causes;

pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/shunt.bpf.o"));

/// Priority and handle of Shunt's clsact filter. A CNI's own
/// filters usually have priority 1; Shunt's must see a packet first.
const PRIORITY: u16 = 1;
const HANDLE: TcHandle = TcHandle::new(0, 0x5348);

/// How many entries the maps have room for.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Sizes {
    /// Entries for flows over IPv4, of 112 bytes each; a flow takes two, a masqueraded one four
    #[arg(long, default_value_t = Self::default().max_flows4)]
    pub max_flows4: u32,
    /// Entries for flows over IPv6, of 144 bytes each
    #[arg(long, default_value_t = Self::default().max_flows6)]
    pub max_flows6: u32,
    /// Backends per address family, counted per Service port
    #[arg(long, default_value_t = Self::default().max_backends)]
    pub max_backends: u32,
    /// Frontends (address, port and protocol) per address family
    #[arg(long, default_value_t = Self::default().max_frontends)]
    pub max_frontends: u32,
    /// Service ports
    #[arg(long, default_value_t = Self::default().max_services)]
    pub max_services: u32,
    /// Clients with session affinity, per address family and Service port; when full, the longest idle are evicted
    #[arg(long, default_value_t = Self::default().max_affinity)]
    pub max_affinity: u32,
    /// Source ranges of load balancers per address family, counted per Service port
    #[arg(long, default_value_t = Self::default().max_ranges)]
    pub max_ranges: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            max_flows4: 262_144,
            max_flows6: 131_072,
            max_backends: 262_144,
            max_frontends: 65_536,
            max_services: 32_768,
            max_affinity: 65_536,
            max_ranges: 65_536,
        }
    }
}

impl Sizes {
    /// Chunks of backend sets: two sets for each Service port, and twice what all backends fill.
    pub(super) fn sets(&self) -> u32 {
        self.max_backends / 8 + self.max_services * 2
    }
}

/// The loaded programs.
pub struct Programs {
    ebpf: Ebpf,
    pins: Pins,
    tcx: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(
        "this shunt has no kernel programs: it was built without them: build it with `cargo xtask build`"
    )]
    NoObject,
    #[error(transparent)]
    Pins(#[from] PinsError),
    #[error("cannot load the maps and programs: {}: run `shunt check` to see what this machine lacks", Causes(.0))]
    Object(#[from] EbpfError),
    #[error(
        "cannot load program {name}: {}: run `shunt check` to see what this kernel lacks",
        Causes(source)
    )]
    Program {
        name: &'static str,
        source: ProgramError,
    },
    #[error("cannot find program {name}: the kernel object lacks it: build shunt again")]
    Missing { name: &'static str },
}

#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error("cannot attach to {hook} of device {device}: {}", Causes(source), hook = hook.as_str())]
    Attach {
        device: String,
        hook: Hook,
        source: ProgramError,
    },
    #[error("cannot add a clsact qdisc to device {device}: {source}")]
    Qdisc { device: String, source: io::Error },
    #[error("cannot pin the link of {hook} of device {device}: {reason}", hook = hook.as_str())]
    Pin {
        device: String,
        hook: Hook,
        reason: String,
    },
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// A device to attach to.
#[derive(Clone, Debug)]
pub struct Attachment<'a> {
    pub device: &'a str,
    pub ifindex: u32,
    /// Its packets begin with an Ethernet header.
    pub ethernet: bool,
}

impl Programs {
    /// Loads the object; maps that are pinned already are used as they are.
    pub fn load(pins: &Pins, sizes: &Sizes) -> Result<Self, LoadError> {
        if OBJECT.is_empty() {
            return Err(LoadError::NoObject);
        }
        pins.prepare()?;
        let can_choose_error = u8::from(chooses_errors());
        let node_mark = node_mark();
        let mut loader = EbpfLoader::new();
        loader
            .default_map_pin_directory(pins.maps())
            .map_pin_path("peers", pins.map("peers"))
            .override_global("CAN_CHOOSE_ERROR", &can_choose_error, true)
            .override_global("NODE_MARK", &node_mark, true)
            .map_max_entries("sets", sizes.sets())
            .map_max_entries("services", sizes.max_services)
            .map_max_entries("traffic", sizes.max_services);
        for ((flows, max_flows), addresses, frontends, backends, affinity, ranges) in [
            (
                ("flows4", sizes.max_flows4),
                "addresses4",
                "frontends4",
                "backends4",
                "affinity4",
                "ranges4",
            ),
            (
                ("flows6", sizes.max_flows6),
                "addresses6",
                "frontends6",
                "backends6",
                "affinity6",
                "ranges6",
            ),
        ] {
            loader
                .map_max_entries(flows, max_flows)
                .map_max_entries(addresses, sizes.max_frontends)
                .map_max_entries(frontends, sizes.max_frontends)
                .map_max_entries(backends, sizes.max_backends)
                .map_max_entries(affinity, sizes.max_affinity)
                .map_max_entries(ranges, sizes.max_ranges);
        }
        let mut programs = Self {
            ebpf: loader.load(OBJECT)?,
            pins: pins.clone(),
            tcx: has_tcx(),
        };
        // Programs for devices without Ethernet headers are loaded on first use: the verifier takes long.
        for hook in Hook::ALL {
            programs.loaded(hook, true)?;
        }
        Ok(programs)
    }

    /// The program for a hook, loaded.
    fn loaded(&mut self, hook: Hook, ethernet: bool) -> Result<&mut SchedClassifier, LoadError> {
        let name = program_name(hook, ethernet);
        let program = classifier(&mut self.ebpf, name).ok_or(LoadError::Missing { name })?;
        match program.load() {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(program),
            Err(source) => Err(LoadError::Program { name, source }),
        }
    }

    pub(super) fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    pub(super) fn pins(&self) -> &Pins {
        &self.pins
    }

    /// One of the loaded programs, for tests that run it.
    pub fn program(&mut self, name: &str) -> Option<&mut SchedClassifier> {
        classifier(&mut self.ebpf, name)
    }

    /// How many instructions the verifier has gone through in each program. It gives up after a million.
    pub fn verified(&mut self) -> Result<Vec<(&'static str, u32)>, LoadError> {
        let mut counts = Vec::new();
        for ethernet in [true, false] {
            for hook in Hook::ALL {
                let name = program_name(hook, ethernet);
                let program = self.loaded(hook, ethernet)?;
                let info = program
                    .info()
                    .map_err(|source| LoadError::Program { name, source })?;
                counts.push((name, info.verified_instruction_count().unwrap_or(0)));
            }
        }
        Ok(counts)
    }

    /// Attaches both programs to a device. What an earlier agent attached is replaced atomically.
    pub fn attach(&mut self, to: &Attachment<'_>) -> Result<(), AttachError> {
        for hook in Hook::ALL {
            if self.tcx {
                self.attach_link(to, hook)?;
            } else {
                self.attach_filter(to, hook)?;
            }
        }
        Ok(())
    }

    fn attach_link(&mut self, to: &Attachment<'_>, hook: Hook) -> Result<(), AttachError> {
        let failed = |source| AttachError::Attach {
            device: to.device.to_owned(),
            hook,
            source,
        };
        let path = self.pins.link(to.ifindex, hook);
        let pinned = PinnedLink::from_pin(&path).ok();
        let program = self.loaded(hook, to.ethernet)?;
        // A link whose device is gone cannot be updated: another device has that number now.
        if let Some(link) = pinned
            && let Ok(link) = SchedClassifierLink::try_from(FdLink::from(link))
            && let Ok(id) = program.attach_to_link(link)
        {
            // The pin keeps the link; this handle would keep it alive after the pin is removed.
            drop(program.take_link(id));
            return Ok(());
        }
        let _ = fs::remove_file(&path);
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = program
            .attach_with_options(to.device, attach_type(hook), options)
            .map_err(failed)?;
        let link = program.take_link(id).map_err(failed)?;
        let pin = |reason: String| AttachError::Pin {
            device: to.device.to_owned(),
            hook,
            reason,
        };
        let link = FdLink::try_from(link).map_err(|error| pin(Causes(&error).to_string()))?;
        link.pin(&path).map_err(|error| pin(Causes(&error).to_string()))?;
        Ok(())
    }

    fn attach_filter(&mut self, to: &Attachment<'_>, hook: Hook) -> Result<(), AttachError> {
        // Netlink mostly refuses because there is one already; otherwise attaching fails below.
        if let Err(error) = qdisc_add_clsact(to.device)
            && !matches!(error, TcError::NetlinkError(_))
        {
            let source = io::Error::other(error);
            return Err(AttachError::Qdisc {
                device: to.device.to_owned(),
                source,
            });
        }
        let failed = |source| AttachError::Attach {
            device: to.device.to_owned(),
            hook,
            source,
        };
        let existing = filter(to.device, hook).map_err(|error| failed(error.into()))?;
        let program = self.loaded(hook, to.ethernet)?;
        let id = match program.attach_to_link(existing) {
            Ok(id) => id,
            Err(_) => {
                let options = NlOptions {
                    priority: PRIORITY,
                    handle: HANDLE,
                    classid: None,
                };
                program
                    .attach_with_options(to.device, attach_type(hook), TcAttachOptions::Netlink(options))
                    .map_err(failed)?
            }
        };
        // The filter is to stay when the agent goes; dropping the link would take it away.
        mem::forget(program.take_link(id).map_err(failed)?);
        Ok(())
    }
}

/// Detaches from a device whatever was attached there.
pub fn detach(pins: &Pins, device: &str, ifindex: u32) -> Result<(), AttachError> {
    for hook in Hook::ALL {
        let path = pins.link(ifindex, hook);
        if path.exists() {
            // It fails if the device, and the link with it, is gone already.
            let _ = detach_link(&path);
            fs::remove_file(&path).map_err(|error| AttachError::Pin {
                device: device.to_owned(),
                hook,
                reason: error.to_string(),
            })?;
        } else if !has_tcx() {
            remove_filter(device, hook);
        }
    }
    Ok(())
}

/// The interface indices that links are pinned for.
pub fn attached(pins: &Pins) -> Vec<u32> {
    let mut indices: Vec<u32> = fs::read_dir(pins.links())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| index_of(&entry.path()))
        .collect();
    indices.sort_unstable();
    indices.dedup();
    indices
}

fn index_of(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.split_once('-')?.0.parse().ok()
}

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> Option<&'a mut SchedClassifier> {
    ebpf.program_mut(name)?.try_into().ok()
}

fn program_name(hook: Hook, ethernet: bool) -> &'static str {
    match (hook, ethernet) {
        (Hook::Ingress, true) => "ingress",
        (Hook::Egress, true) => "egress",
        (Hook::Ingress, false) => "ingress_l3",
        (Hook::Egress, false) => "egress_l3",
    }
}

fn attach_type(hook: Hook) -> TcAttachType {
    match hook {
        Hook::Ingress => TcAttachType::Ingress,
        Hook::Egress => TcAttachType::Egress,
    }
}

fn filter(device: &str, hook: Hook) -> io::Result<SchedClassifierLink> {
    SchedClassifierLink::attached(device, attach_type(hook), PRIORITY, HANDLE, None)
}

fn remove_filter(device: &str, hook: Hook) {
    // Dropping the link detaches the filter, if there is one of Shunt's.
    if let Ok(link) = filter(device, hook) {
        drop(link);
    }
}
