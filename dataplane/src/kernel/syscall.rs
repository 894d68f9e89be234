// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bpf() commands that aya 0.14 does not have, or has only for root: reading and writing many slots at once,
//! detaching a link now, asking a link what it is of and giving it another program, and listing a device's programs.

use std::ffi::CString;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aya::Pod;
use aya::maps::MapData;
use nix::libc;

/// Of `enum bpf_cmd` (linux/bpf.h).
const OBJ_GET: libc::c_long = 7;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const PROG_QUERY: libc::c_long = 16;
/// For arrays since Linux 5.6.
const MAP_LOOKUP_BATCH: libc::c_long = 24;
const MAP_UPDATE_BATCH: libc::c_long = 26;
/// Since Linux 5.7, as links to cgroups.
const LINK_UPDATE: libc::c_long = 29;
/// Since Linux 5.9; for TCX links since these exist (6.6).
const LINK_DETACH: libc::c_long = 34;
/// BackendMap per call.
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
        // SAFETY: `keys` has room for `count` keys and `values`, from `read` on, for `count` values of the map's value
        // size, which is `V`'s.
        let at_end = match unsafe { batch(MAP_LOOKUP_BATCH, &mut attr) } {
            Ok(()) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) => return Err(error),
        };
        read += attr.count;
        if at_end || attr.count == 0 {
            break;
        }
    }
    Ok(values)
}

/// Writes slots of an array: how many it wrote, in order, and why not all.
pub(super) fn write_slots<V: Pod>(map: &MapData, slots: &[u32], values: &[V]) -> (usize, io::Result<()>) {
    let mut attr = BatchAttr {
        in_batch: 0,
        out_batch: 0,
        keys: slots.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count: slots.len().min(values.len()) as u32,
        map_fd: map.fd().as_fd().as_raw_fd().cast_unsigned(),
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: there are `count` keys and as many values, of the map's value size, which is `V`'s.
    let result = unsafe { batch(MAP_UPDATE_BATCH, &mut attr) };
    (attr.count as usize, result)
}

/// Works on `attr.count` entries; then that is how many were worked on.
///
/// # Safety
/// The keys and values must be as many, and of the map's sizes, and writable if the command reads.
unsafe fn batch(command: libc::c_long, attr: &mut BatchAttr) -> io::Result<()> {
    // SAFETY: a valid `bpf_attr` for such a command, by the contract of this function.
    succeeded(unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<BatchAttr>()) })
}

/// The members of `union bpf_attr` for `BPF_OBJ_GET`.
#[repr(C)]
struct PathAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

/// Opens a pinned link.
fn open_link(pin: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let get = PathAttr {
        path: path.as_ptr() as u64,
        fd: 0,
        flags: 0,
    };
    // SAFETY: `get` is a valid `bpf_attr` for this command, and its path outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, OBJ_GET, &raw const get, size_of::<PathAttr>()) };
    let fd = i32::try_from(fd)
        .ok()
        .filter(|fd| *fd >= 0)
        .ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn succeeded(result: libc::c_long) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes a pinned link's program off its device or cgroup before this returns; the pin stays.
///
/// Removing the pin alone would do so too, but some time later, when the kernel gets to it.
pub(super) fn detach_link(pin: &Path) -> io::Result<()> {
    let link = open_link(pin)?;
    let detach = link.as_raw_fd();
    // SAFETY: the attribute of this command is the link's descriptor alone.
    succeeded(unsafe { libc::syscall(libc::SYS_bpf, LINK_DETACH, &raw const detach, size_of::<i32>()) })
}

/// The members of `union bpf_attr` for `BPF_LINK_UPDATE`.
#[repr(C)]
struct UpdateAttr {
    link: i32,
    program: i32,
    flags: u32,
    old_program: u32,
}

/// Puts another program in the place of a pinned link's, atomically.
pub(super) fn update_link(pin: &Path, program: BorrowedFd<'_>) -> io::Result<()> {
    let link = open_link(pin)?;
    let update = UpdateAttr {
        link: link.as_raw_fd(),
        program: program.as_raw_fd(),
        flags: 0,
        old_program: 0,
    };
    // SAFETY: `update` is a valid `bpf_attr` for this command; both descriptors are open.
    succeeded(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            LINK_UPDATE,
            &raw const update,
            size_of::<UpdateAttr>(),
        )
    })
}

/// The members of `union bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoAttr {
    fd: i32,
    length: u32,
    info: u64,
}

/// The first members of `struct bpf_link_info`, for a link to a cgroup.
#[repr(C)]
#[derive(Default)]
struct CgroupLinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    pad: u32,
    cgroup: u64,
    attach_type: u32,
    end: u32,
}

/// The id of the cgroup that a pinned link is on: the inode of its folder. 0 when the cgroup is gone.
pub(super) fn link_cgroup(pin: &Path) -> io::Result<u64> {
    let link = open_link(pin)?;
    let mut info = CgroupLinkInfo::default();
    info_of(&link, (&raw mut info) as u64, size_of::<CgroupLinkInfo>())?;
    Ok(info.cgroup)
}

/// The program of a pinned link: the kernel's number.
pub(super) fn link_program(pin: &Path) -> io::Result<u32> {
    let link = open_link(pin)?;
    let mut info = CgroupLinkInfo::default();
    info_of(&link, (&raw mut info) as u64, size_of::<CgroupLinkInfo>())?;
    Ok(info.program)
}

/// Asks a link or program for what it is.
fn info_of(of: &OwnedFd, info: u64, length: usize) -> io::Result<()> {
    let ask = InfoAttr {
        fd: of.as_raw_fd(),
        length: length as u32,
        info,
    };
    // SAFETY: `ask` is a valid `bpf_attr` for this command; callers give memory of `length` bytes, and the kernel writes
    // at most as many.
    succeeded(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            OBJ_GET_INFO_BY_FD,
            &raw const ask,
            size_of::<InfoAttr>(),
        )
    })
}

/// The `query` member of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    pad: u32,
    program_flags: u64,
    links: u64,
    link_flags: u64,
    revision: u64,
}

/// Programs on one hook of a device that are looked at; the kernel allows 64.
const MOST_PROGRAMS: usize = 64;

/// The programs that a device has at a TCX hook (`BPF_TCX_INGRESS` or `BPF_TCX_EGRESS`), in the order they run.
pub(super) fn tcx_programs(ifindex: u32, attach_type: u32) -> io::Result<Vec<u32>> {
    let mut ids = vec![0_u32; MOST_PROGRAMS];
    let mut query = QueryAttr {
        ifindex,
        attach_type,
        programs: ids.as_mut_ptr() as u64,
        count: MOST_PROGRAMS as u32,
        ..QueryAttr::default()
    };
    // SAFETY: `query` is a valid `bpf_attr` for this command, and `ids` has room for `count` numbers.
    let result = succeeded(unsafe {
        libc::syscall(libc::SYS_bpf, PROG_QUERY, &raw mut query, size_of::<QueryAttr>())
    });
    match result {
        Ok(()) => ids.truncate(query.count as usize),
        // A device without any.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => ids.clear(),
        Err(error) => return Err(error),
    }
    Ok(ids)
}

/// The first members of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    lengths: [u32; 2],
    instructions: [u64; 2],
    load_time: u64,
    uid: u32,
    map_count: u32,
    maps: u64,
    name: [u8; 16],
}

/// A program's name, if this process may ask (SYS_ADMIN).
pub(super) fn program_name(id: u32) -> Option<String> {
    // The members of `union bpf_attr` for this command: the number, the next one, flags.
    let get = [id, 0, 0];
    // SAFETY: `get` is a valid `bpf_attr` for this command.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROG_GET_FD_BY_ID,
            &raw const get,
            size_of_val(&get),
        )
    };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the kernel has just made this descriptor for us.
    let program = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut info = ProgramInfo::default();
    info_of(&program, (&raw mut info) as u64, size_of::<ProgramInfo>()).ok()?;
    let end = info.name.iter().position(|byte| *byte == 0)?;
    String::from_utf8(info.name.get(..end)?.to_vec()).ok()
}
