// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The host's stand-in for a packet.

use std::vec::Vec;

use crate::packet::{Addressee, ChecksumField, Fault, Mark, Packet};
use crate::value::checksum::Checksum;
use crate::value::wire::Wire;

/// The device's own link-layer address: loopback's, where a kernel's test run meets its packets.
const ADDRESS: [u8; 6] = [0; 6];

/// An Ethernet frame in memory, its checksums complete.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPacket {
    /// The frame.
    pub bytes: Vec<u8>,
    /// The mark that ingress has left.
    pub mark: Option<Mark>,
}

impl Packet for HostPacket {
    const L3: usize = 14;

    fn length(&self) -> usize {
        self.bytes.len()
    }

    fn segments(&self) -> u64 {
        1
    }

    fn segment_size(&self) -> usize {
        0
    }

    fn is_for_host(&self) -> bool {
        self.addressee() == Addressee::Device
    }

    fn addressee(&self) -> Addressee {
        match self.bytes.first_chunk() {
            Some(&ADDRESS) | None => Addressee::Device,
            Some([first, ..]) if first & 1 != 0 => Addressee::Many,
            Some(_) => Addressee::Other,
        }
    }

    fn vlan(&self) -> u16 {
        0
    }

    fn load<T: Wire>(&self, offset: usize) -> Option<T> {
        let bytes = self.bytes.get(offset..offset.checked_add(size_of::<T>())?)?;
        // SAFETY: `bytes` has the size of `T`, for which every bit pattern is valid.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }

    fn store<T: Wire>(&mut self, offset: usize, value: T) -> Result<(), Fault> {
        let bytes = self.bytes.get_mut(offset..offset + size_of::<T>()).ok_or(Fault)?;
        // SAFETY: `bytes` has the size of `T`, which has no padding.
        unsafe { bytes.as_mut_ptr().cast::<T>().write_unaligned(value) };
        Ok(())
    }

    fn store_unbalanced<T: Wire>(&mut self, offset: usize, value: T) -> Result<(), Fault> {
        self.store(offset, value)
    }

    fn load_far<T: Wire>(&self, offset: usize) -> Option<T> {
        self.load(offset)
    }

    fn store_far<T: Wire>(&mut self, offset: usize, value: T) -> Result<(), Fault> {
        self.store(offset, value)
    }

    fn sum(&self, offset: usize, length: usize) -> Option<Checksum> {
        let bytes = self.bytes.get(offset..offset + length)?;
        Some(
            bytes
                .chunks_exact(2)
                .fold(Checksum::default(), |sum, pair| match pair {
                    [a, b] => sum.add16([*a, *b]),
                    _ => sum,
                }),
        )
    }

    fn opaque(&self, offset: usize) -> usize {
        offset
    }

    fn adjust_checksum(&mut self, field: ChecksumField, difference: Checksum) -> Result<bool, Fault> {
        let old: [u8; 2] = self.load(field.offset).ok_or(Fault)?;
        if field.zero_means_none && old == [0, 0] {
            return Ok(false);
        }
        let new = match difference.update(old) {
            [0, 0] if field.zero_means_none => [0xff, 0xff],
            new => new,
        };
        self.store(field.offset, new)?;
        Ok(true)
    }

    fn mark(&self) -> Option<Mark> {
        self.mark
    }

    fn set_mark(&mut self, mark: Mark) {
        self.mark = Some(mark);
    }

    fn clear_mark(&mut self) {
        self.mark = None;
    }

    fn make_room(&mut self, keep: usize, room: usize) -> Result<(), Fault> {
        let l3 = Self::L3;
        if l3 + keep > self.bytes.len() {
            return Err(Fault);
        }
        self.bytes.truncate(l3 + keep);
        self.bytes.splice(l3..l3, core::iter::repeat_n(0, room));
        Ok(())
    }
}
