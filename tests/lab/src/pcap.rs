// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes captures for tcpdump and Wireshark.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::capture::Seen;
use crate::error::{Doing, Result};

/// Writes all packets, whatever device saw them, into one file.
pub fn write(path: &Path, seen: &[Seen]) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let mut file = BufWriter::new(File::create(path).doing(doing)?);
    file.write_all(&header()).doing(doing)?;
    seen.iter()
        .try_for_each(|packet| file.write_all(&record(packet)))
        .doing(doing)?;
    file.flush().doing(doing)
}

/// Magic for nanoseconds, version 2.4, no zone, no accuracy, whole packets, Ethernet.
fn header() -> Vec<u8> {
    let mut header = Vec::with_capacity(24);
    header.extend(0xa1b2_3c4d_u32.to_ne_bytes());
    header.extend(2_u16.to_ne_bytes());
    header.extend(4_u16.to_ne_bytes());
    for field in [0, 0, u32::from(u16::MAX), 1_u32] {
        header.extend(field.to_ne_bytes());
    }
    header
}

fn record(packet: &Seen) -> Vec<u8> {
    let seconds = u32::try_from(packet.at.as_secs()).unwrap_or_default();
    let length = u32::try_from(packet.frame.len()).unwrap_or_default();
    let mut record: Vec<u8> = [seconds, packet.at.subsec_nanos(), length, length]
        .iter()
        .flat_map(|field| field.to_ne_bytes())
        .collect();
    record.extend(&packet.frame);
    record
}
