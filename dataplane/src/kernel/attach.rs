// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our programs on a device: first at ingress and last at egress, so that all others see each flow with the addresses
//! of its two ends, on both ways.
//!
//! Kernels from 6.6 on have TCX links, which are pinned and updated atomically. The others have clsact filters with a
//! priority and handle of our own, which the kernel keeps by itself; and so has a device's egress where another
//! program's filter is, because filters run after all links. Whoever comes later, before ours or after, makes
//! ours move: the new one is there before the old one goes. A second run does nothing, a missing one lets packets pass.

use std::fs;
use std::io;
use std::mem;
use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact,
};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use dataplane_common::Hook;
use tracing::debug;

use super::chain::{Chain, End, HANDLES, Means};
use super::pins::Pins;
use super::programs::{LoadError, Programs};
use super::syscall::detach_link;
use crate::causes::Causes;

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

impl Attachment<'_> {
    fn failed(&self, hook: Hook, source: impl Into<ProgramError>) -> AttachError {
        AttachError::Attach {
            device: self.device.to_owned(),
            hook,
            source: source.into(),
        }
    }

    fn not_pinned(&self, hook: Hook, reason: &(dyn std::error::Error + 'static)) -> AttachError {
        AttachError::Pin {
            device: self.device.to_owned(),
            hook,
            reason: Causes(reason).to_string(),
        }
    }
}

impl Programs {
    /// Attaches both programs to a device. What an earlier agent attached is replaced atomically.
    pub fn attach(&mut self, to: &Attachment<'_>) -> Result<(), AttachError> {
        for hook in Hook::ALL {
            match Chain::read(to.ifindex, hook).means(self.end(hook), self.tcx) {
                Means::Link => self.attach_link(to, hook)?,
                Means::Filter => {
                    let attached = self.attach_filter(to, hook);
                    if self.or_by_link(to, hook, attached)? {
                        remove_link(&self.pins().link(to.ifindex, hook))
                            .map_err(|error| to.not_pinned(hook, &error))?;
                    }
                }
            }
        }
        self.put_in_order(to, true)?;
        Ok(())
    }

    /// Where our program is to be at a hook.
    fn end(&self, hook: Hook) -> End {
        match hook {
            Hook::Ingress => End::First,
            Hook::Egress => self.at_egress,
        }
    }

    /// Sees to it that our programs are where they are to be; whether one was not.
    /// `has_filters`: it may have clsact filters.
    pub fn put_in_order(&mut self, to: &Attachment<'_>, has_filters: bool) -> Result<bool, AttachError> {
        let mut moved = false;
        for hook in Hook::ALL {
            let chain = match has_filters {
                true => Chain::read(to.ifindex, hook),
                false => Chain::of_links(to.ifindex, hook),
            };
            let ids: Vec<u32> = self.ids(hook, to.ethernet).into_iter().flatten().collect();
            if chain.is_in_order(self.end(hook), self.tcx, &ids) {
                continue;
            }
            match chain.means(self.end(hook), self.tcx) {
                Means::Link => {
                    self.move_link(to, hook, &chain)?;
                    moved = true;
                    remove_filters(
                        to.device,
                        hook,
                        chain.own_filters().map(|it| (it.priority, it.handle)),
                    );
                }
                Means::Filter => {
                    let attached = self.move_filter(to, hook, &chain);
                    if !self.or_by_link(to, hook, attached)? {
                        continue;
                    }
                    moved = true;
                    remove_link(&self.pins().link(to.ifindex, hook))
                        .map_err(|error| to.not_pinned(hook, &error))?;
                }
            }
        }
        Ok(moved)
    }

    /// A kernel without `cls_bpf`, or with another kind of filter at our priority, takes no filter of ours: where it has
    /// links, ours is the last of those then. Whether the filter is there.
    fn or_by_link(
        &mut self,
        to: &Attachment<'_>,
        hook: Hook,
        filter: Result<(), AttachError>,
    ) -> Result<bool, AttachError> {
        match filter {
            Err(error) if self.tcx => {
                debug!(device = to.device, %error, "no filter behind the others");
                self.attach_link(to, hook).map(|()| false)
            }
            other => other.map(|()| true),
        }
    }

    fn attach_link(&mut self, to: &Attachment<'_>, hook: Hook) -> Result<(), AttachError> {
        let path = self.pins().link(to.ifindex, hook);
        let pinned = PinnedLink::from_pin(&path).ok();
        let end = self.end(hook);
        let program = self.loaded(hook, to.ethernet)?;
        // A link whose device is gone can be updated no more: another device has that number now.
        if let Some(link) = pinned
            && let Ok(link) = SchedClassifierLink::try_from(FdLink::from(link))
            && let Ok(id) = program.attach_to_link(link)
        {
            // The pin keeps the link; ours would keep it alive past the pin's removal.
            drop(program.take_link(id));
            return Ok(());
        }
        let _ = fs::remove_file(&path);
        let link = new_link(program, to, hook, end)?;
        link.pin(&path).map_err(|error| to.not_pinned(hook, &error))?;
        Ok(())
    }

    /// Attaches at the right end, then takes off what is elsewhere.
    fn move_link(&mut self, to: &Attachment<'_>, hook: Hook, chain: &Chain) -> Result<(), AttachError> {
        let ([first, _], end) = (self.ids(hook, to.ethernet), self.end(hook));
        let path = self.pins().link(to.ifindex, hook);
        let beside = self.pins().new_link(to.ifindex, hook);
        let is_there = first.is_some_and(|id| chain.links.contains(&id));
        let program = match is_there {
            true => self.second(hook, to.ethernet)?,
            false => self.loaded(hook, to.ethernet)?,
        };
        let link = new_link(program, to, hook, end)?;
        let _ = fs::remove_file(&beside);
        link.pin(&beside).map_err(|error| to.not_pinned(hook, &error))?;
        let _ = detach_link(&path);
        fs::rename(&beside, &path).map_err(|error| to.not_pinned(hook, &error))
    }

    fn attach_filter(&mut self, to: &Attachment<'_>, hook: Hook) -> Result<(), AttachError> {
        let chain = Chain::read(to.ifindex, hook);
        let priority = self.end(hook).priority();
        let place = chain.own_filters().find(|filter| filter.priority == priority);
        let Some(handle) = place.map(|filter| filter.handle) else {
            return self.move_filter(to, hook, &chain);
        };
        let existing = filter(to.device, hook, (priority, handle))
            .map_err(|error| to.failed(hook, TcError::from(error)))?;
        let program = self.loaded(hook, to.ethernet)?;
        let id = program
            .attach_to_link(existing)
            .map_err(|error| to.failed(hook, error))?;
        keep(program, id).map_err(|error| to.failed(hook, error))
    }

    /// Adds a filter, which the kernel puts before others of its priority, then takes off ours that were there.
    fn move_filter(&mut self, to: &Attachment<'_>, hook: Hook, chain: &Chain) -> Result<(), AttachError> {
        // Netlink's refusal mostly says that there is one already; if not, attaching tells.
        if let Err(error) = qdisc_add_clsact(to.device)
            && !matches!(error, TcError::NetlinkError(_))
        {
            let source = io::Error::other(error);
            return Err(AttachError::Qdisc {
                device: to.device.to_owned(),
                source,
            });
        }
        let priority = self.end(hook).priority();
        let own: Vec<_> = chain.own_filters().map(|it| (it.priority, it.handle)).collect();
        let taken = |handle: &u16| own.contains(&(priority, u32::from(*handle)));
        let [usual, other] = HANDLES;
        let options = NlOptions {
            priority,
            handle: TcHandle::new(0, if taken(&usual) { other } else { usual }),
            classid: None,
        };
        let program = self.loaded(hook, to.ethernet)?;
        let id = program
            .attach_with_options(to.device, attach_type(hook), TcAttachOptions::Netlink(options))
            .map_err(|error| to.failed(hook, error))?;
        keep(program, id).map_err(|error| to.failed(hook, error))?;
        remove_filters(to.device, hook, own.into_iter());
        Ok(())
    }
}

fn new_link(
    program: &mut SchedClassifier,
    to: &Attachment<'_>,
    hook: Hook,
    end: End,
) -> Result<FdLink, AttachError> {
    let order = match end {
        End::First => LinkOrder::first(),
        End::Last => LinkOrder::last(),
    };
    let options = TcAttachOptions::TcxOrder(order);
    let id = program
        .attach_with_options(to.device, attach_type(hook), options)
        .map_err(|error| to.failed(hook, error))?;
    let link = program.take_link(id).map_err(|error| to.failed(hook, error))?;
    FdLink::try_from(link).map_err(|error| to.not_pinned(hook, &error))
}

/// Lets a filter stay when the agent goes: dropping the link would take it away.
fn keep(
    program: &mut SchedClassifier,
    id: aya::programs::tc::SchedClassifierLinkId,
) -> Result<(), ProgramError> {
    mem::forget(program.take_link(id)?);
    Ok(())
}

/// Detaches from a device whatever was attached there.
pub fn detach(pins: &Pins, device: &str, ifindex: u32) -> Result<(), AttachError> {
    let on = Attachment {
        device,
        ifindex,
        ethernet: true,
    };
    for hook in Hook::ALL {
        for pin in [pins.link(ifindex, hook), pins.new_link(ifindex, hook)] {
            remove_link(&pin).map_err(|error| on.not_pinned(hook, &error))?;
        }
        let chain = Chain::read(ifindex, hook);
        remove_filters(
            device,
            hook,
            chain.own_filters().map(|it| (it.priority, it.handle)),
        );
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

fn attach_type(hook: Hook) -> TcAttachType {
    match hook {
        Hook::Ingress => TcAttachType::Ingress,
        Hook::Egress => TcAttachType::Egress,
    }
}

fn filter(device: &str, hook: Hook, (priority, handle): (u16, u32)) -> io::Result<SchedClassifierLink> {
    SchedClassifierLink::attached(device, attach_type(hook), priority, handle.into(), None)
}

/// Takes filters off. One that is gone already is as good.
fn remove_filters(device: &str, hook: Hook, filters: impl Iterator<Item = (u16, u32)>) {
    for place in filters {
        // Dropping the link detaches the filter.
        drop(filter(device, hook, place));
    }
}

/// Detaches a pinned link, if there is one, and removes the pin.
fn remove_link(pin: &Path) -> io::Result<()> {
    if !pin.exists() {
        return Ok(());
    }
    // It fails if the device, and the link with it, is gone already.
    let _ = detach_link(pin);
    fs::remove_file(pin)
}
