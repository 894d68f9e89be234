// SPDX-License-Identifier: MIT OR Apache-2.0
//! The programs: loaded once per agent start, and once more where they change their place on a device.

use aya::programs::{ProgramError, SchedClassifier};
use aya::{Ebpf, EbpfError, EbpfLoader};
use dataplane_common::Hook;

use super::chain::End;
use super::features::{chooses_errors, has_tcx, tells_sources};
use super::netns::node_mark;
use super::pins::{Pins, PinsError};
use super::sizes::Sizes;
use crate::causes::Causes;

pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/shunt.bpf.o"));

/// The loaded programs.
pub struct Programs {
    ebpf: Ebpf,
    /// The same once more, loaded when it is needed: the kernel takes one program only once on a device's hook, and to
    /// move it there without a gap takes two.
    second: Option<Ebpf>,
    sizes: Sizes,
    pins: Pins,
    pub(super) tcx: bool,
    pub(super) at_egress: End,
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

impl Programs {
    /// Loads the object; maps that are pinned already are used as they are.
    pub fn load(pins: &Pins, sizes: &Sizes) -> Result<Self, LoadError> {
        if OBJECT.is_empty() {
            return Err(LoadError::NoObject);
        }
        pins.prepare()?;
        let mut programs = Self {
            ebpf: load(pins, sizes)?,
            second: None,
            sizes: *sizes,
            pins: pins.clone(),
            tcx: has_tcx(),
            at_egress: End::default(),
        };
        // Programs for devices without Ethernet headers are loaded on first use: the verifier takes long.
        for hook in Hook::ALL {
            programs.loaded(hook, true)?;
        }
        Ok(programs)
    }

    /// With another place at egress than the last.
    #[must_use]
    pub fn at_egress(self, at_egress: End) -> Self {
        Self { at_egress, ..self }
    }

    /// The program for a hook, loaded.
    pub(super) fn loaded(&mut self, hook: Hook, ethernet: bool) -> Result<&mut SchedClassifier, LoadError> {
        load_program(&mut self.ebpf, program_name(hook, ethernet))
    }

    /// The other one of its kind, loaded.
    pub(super) fn second(&mut self, hook: Hook, ethernet: bool) -> Result<&mut SchedClassifier, LoadError> {
        let second = match self.second.take() {
            Some(second) => second,
            None => load(&self.pins, &self.sizes)?,
        };
        load_program(self.second.insert(second), program_name(hook, ethernet))
    }

    /// The kernel's numbers of the programs for a hook: the one, and the other if it is loaded.
    pub(super) fn ids(&mut self, hook: Hook, ethernet: bool) -> [Option<u32>; 2] {
        let name = program_name(hook, ethernet);
        let id = |ebpf: &mut Ebpf| Some(classifier(ebpf, name)?.info().ok()?.id());
        [id(&mut self.ebpf), self.second.as_mut().and_then(id)]
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
}

/// Loads the object; maps that are pinned already are used as they are.
fn load(pins: &Pins, sizes: &Sizes) -> Result<Ebpf, EbpfError> {
    let can_choose_error = u8::from(chooses_errors());
    let can_ask_source = u8::from(tells_sources());
    let node_mark = node_mark();
    let mut loader = EbpfLoader::new();
    loader
        .default_map_pin_directory(pins.maps())
        .map_pin_path("peers", pins.map("peers"))
        .override_global("CAN_CHOOSE_ERROR", &can_choose_error, true)
        .override_global("CAN_ASK_SOURCE", &can_ask_source, true)
        .override_global("NODE_MARK", &node_mark, true)
        .map_max_entries("sets", sizes.sets())
        .map_max_entries("fragments4", Sizes::small())
        .map_max_entries("fragments6", Sizes::small())
        .map_max_entries("connected", Sizes::small())
        .map_max_entries("services", sizes.max_services)
        .map_max_entries("traffic", sizes.max_services);
    for ((flows, max_flows), opening, addresses, frontends, backends, affinity, ranges) in [
        (
            ("flows4", sizes.max_flows4),
            "opening4",
            "addresses4",
            "frontends4",
            "backends4",
            "affinity4",
            "ranges4",
        ),
        (
            ("flows6", sizes.max_flows6),
            "opening6",
            "addresses6",
            "frontends6",
            "backends6",
            "affinity6",
            "ranges6",
        ),
    ] {
        loader
            .map_max_entries(flows, max_flows)
            .map_max_entries(opening, Sizes::opening(max_flows))
            .map_max_entries(addresses, sizes.max_frontends)
            .map_max_entries(frontends, sizes.max_frontends)
            .map_max_entries(backends, sizes.max_backends)
            .map_max_entries(affinity, sizes.max_affinity)
            .map_max_entries(ranges, sizes.max_ranges);
    }
    loader.load(OBJECT)
}

fn load_program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut SchedClassifier, LoadError> {
    let program = classifier(ebpf, name).ok_or(LoadError::Missing { name })?;
    match program.load() {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(program),
        Err(source) => Err(LoadError::Program { name, source }),
    }
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
