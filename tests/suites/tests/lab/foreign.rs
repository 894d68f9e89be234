// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small TC program of another's, that drops the IPv4 packets with some address and passes all others on.

use std::ffi::CString;
use std::io;
use std::mem::size_of;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya::programs::tc::{NlOptions, SchedClassifierLinkId, TcAttachOptions, TcHandle, qdisc_add_clsact};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use lab::Node;
use nix::libc;

/// Which address of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Source,
    Destination,
}

/// Where it stands among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Among TCX links.
    First,
    Last,
    /// As a clsact filter of this priority.
    Filter(u16),
}

/// A program on a device, as long as it lives.
pub(crate) struct Foreign {
    program: SchedClassifier,
    link: Option<SchedClassifierLinkId>,
    node: Node,
}

impl Foreign {
    /// Drops packets with this address.
    pub(crate) fn drop_at(
        node: &Node,
        device: &str,
        hook: TcAttachType,
        place: Place,
        of: Of,
        addr: Ipv4Addr,
    ) -> Self {
        let path = node.bpf_root().join(format!("foreign-{device}-{hook:?}"));
        pin_program(&path, of, addr).unwrap();
        let mut program = SchedClassifier::from_pin(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let options = match place {
            Place::First => TcAttachOptions::TcxOrder(LinkOrder::first()),
            Place::Last => TcAttachOptions::TcxOrder(LinkOrder::last()),
            Place::Filter(priority) => TcAttachOptions::Netlink(NlOptions {
                priority,
                handle: TcHandle::AUTO_ASSIGN,
                classid: None,
            }),
        };
        let device = device.to_owned();
        let (program, link) = node
            .netns()
            .run(move || {
                // Only a filter needs it, and it may be there.
                if matches!(options, TcAttachOptions::Netlink(_)) {
                    let _ = qdisc_add_clsact(&device);
                }
                let link = program.attach_with_options(&device, hook, options).unwrap();
                (program, link)
            })
            .unwrap();
        Self {
            program,
            link: Some(link),
            node: node.clone(),
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let (program, link) = (&mut self.program, self.link.take());
        let _ = self
            .node
            .netns()
            .run(move || link.map(|link| program.detach(link)));
    }
}

/// One instruction: code, registers, offset, constant.
fn instruction(code: u8, registers: u8, offset: i16, constant: u32) -> [u8; 8] {
    let [o0, o1] = offset.to_ne_bytes();
    let [c0, c1, c2, c3] = constant.to_ne_bytes();
    [code, registers, o0, o1, c0, c1, c2, c3]
}

/// Of `union bpf_attr`, for `BPF_PROG_LOAD`.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    version: u32,
    flags: u32,
}

/// The same, for `BPF_OBJ_PIN`.
#[repr(C)]
struct Pin {
    path: u64,
    fd: u32,
    flags: u32,
}

fn pin_program(path: &Path, of: Of, addr: Ipv4Addr) -> io::Result<()> {
    // Behind 14 bytes of Ethernet header.
    let offset = match of {
        Of::Source => 26,
        Of::Destination => 30,
    };
    let program: Vec<u8> = [
        // r6 = r1, which the next kind of instruction reads the packet by
        instruction(0xbf, 0x16, 0, 0),
        // r0 = the address, in host byte order
        instruction(0x20, 0, 0, offset),
        // r1 = addr
        instruction(0xb4, 0x01, 0, addr.to_bits()),
        // r0 = what to do: drop, if they are the same
        instruction(0x5d, 0x10, 2, 0),
        instruction(0xb4, 0x00, 0, 2),
        instruction(0x95, 0, 0, 0),
        // else whatever comes next
        instruction(0xb4, 0x00, 0, u32::MAX),
        instruction(0x95, 0, 0, 0),
    ]
    .concat();
    let load = Load {
        kind: 3,
        count: (program.len() / 8) as u32,
        instructions: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        version: 0,
        flags: 0,
    };
    // SAFETY: a valid `bpf_attr` for this command; what it points to outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, 5, &raw const load, size_of::<Load>()) };
    let fd = i32::try_from(fd)
        .ok()
        .filter(|fd| *fd >= 0)
        .ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let path = CString::new(path.as_os_str().as_bytes())?;
    let pin = Pin {
        path: path.as_ptr() as u64,
        fd: fd.as_raw_fd().cast_unsigned(),
        flags: 0,
    };
    // SAFETY: as above.
    match unsafe { libc::syscall(libc::SYS_bpf, 6, &raw const pin, size_of::<Pin>()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
