// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading an array map in a few system calls instead of one per slot (aya 0.14 has no batch calls).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::Pod;
use aya::maps::MapData;
use nix::libc;

/// `BPF_MAP_LOOKUP_BATCH` of `enum bpf_cmd` (linux/bpf.h), for arrays since Linux 5.6.
const LOOKUP_BATCH: libc::c_long = 24;
/// Slots per call.
const CHUNK: u32 = 16_384;

/// The `batch` member of `union bpf_attr`.
#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// All slots of an array of `V` that has `length` of them, in order.
pub(super) fn read_array<V: Pod + Default>(map: &MapData, length: u32) -> io::Result<Vec<V>> {
    let stride = size_of::<V>();
    let mut values = vec![V::default(); length as usize];
    let mut keys = vec![0_u32; CHUNK as usize];
    let mut position = 0_u32;
    let mut read = 0_u32;
    while read < length {
        let mut attr = BatchAttr {
            in_batch: if read == 0 {
                0
            } else {
                (&raw const position) as u64
            },
            out_batch: (&raw mut position) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64 + u64::from(read) * stride as u64,
            count: CHUNK.min(length - read),
            map_fd: map.fd().as_fd().as_raw_fd().cast_unsigned(),
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: `attr` is a valid `bpf_attr` for this command; `keys` has room for `count` keys and
        // `values`, from `read` on, for `count` values of the map's value size, which is `V`'s.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, LOOKUP_BATCH, &raw mut attr, size_of::<BatchAttr>()) };
        let error = io::Error::last_os_error();
        let at_end = result < 0 && error.raw_os_error() == Some(libc::ENOENT);
        if result < 0 && !at_end {
            return Err(error);
        }
        read += attr.count;
        if at_end || attr.count == 0 {
            break;
        }
    }
    Ok(values)
}
