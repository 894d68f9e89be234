// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Service ports and their names: map `services`.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

/// A Service port (one name and protocol of one Service). 0 is none. The agent reuses a freed id only after all others.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ServiceId(pub u32);

/// The name of a Service port: value of the map `services`, so that a restarted agent and the
/// command line can read names from the kernel alone.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceName {
    /// IANA number of the transport.
    pub protocol: u8,
    length: u8,
    bytes: [u8; Self::MAX],
}

impl ServiceName {
    /// `namespace/name:port`: three DNS labels of up to 63 bytes (RFC 1123), two separators, and a
    /// spare byte that makes the struct even.
    pub const MAX: usize = 192;

    /// The name; `None` if it is too long.
    pub fn new(name: &str, protocol: u8) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Self {
            protocol,
            length: u8::try_from(name.len()).ok()?,
            bytes,
        })
    }

    /// The name; `None` if the map holds something that is no name.
    pub fn name(&self) -> Option<&str> {
        core::str::from_utf8(self.bytes.get(..self.length as usize)?).ok()
    }
}

// No padding anywhere: the fields fill the struct.
const _: () = assert!(size_of::<ServiceName>() == 2 + ServiceName::MAX);
