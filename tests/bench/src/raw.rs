// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernel programs of a few instructions, written by hand: what Shunt's are compared with, what makes
//! packets, and what swallows them. They are not part of the object that is shipped.

use std::ffi::CString;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use nix::libc;

/// Of `enum bpf_cmd` (linux/bpf.h).
const PROG_LOAD: libc::c_long = 5;
const OBJ_GET: libc::c_long = 7;
const PROG_TEST_RUN: libc::c_long = 10;
const LINK_CREATE: libc::c_long = 28;

/// Where a TC program is run, by its number in `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug)]
pub enum Hook {
    Ingress = 46,
    Egress = 47,
}

/// Frames are real ones, and what the program says is done with them.
const LIVE_FRAMES: u32 = 1 << 1;
/// Frames that are made, run and handed on together, at most.
const BATCH: u32 = 64;

/// `enum bpf_prog_type`.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    SchedClassifier = 3,
    Xdp = 6,
}

/// How much the packets of a source are like each other.
///
/// Its packets come in lists, and where the next packet of a list has the destination and type of service of the one
/// before it, the kernel spares itself the route lookup (`ip_route_use_hint`). Lists are what network cards bring,
/// of 8 packets at most; a pod's veth brings none, unless it was told to (GRO).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Likeness {
    /// Of one flow, and one of eight types of service, by chance: few take the route of the one before.
    Mixed,
    /// All the same.
    Alike,
}

/// `TC_ACT_UNSPEC`: the packet goes on.
const NEXT: i32 = -1;
/// `TC_ACT_SHOT`.
const SHOT: i32 = 2;
/// `XDP_PASS`.
const PASS: i32 = 2;

/// A loaded program.
#[derive(Debug)]
pub struct Program(OwnedFd);

/// A program's hold on a device; it lets go when dropped.
#[derive(Debug)]
pub struct Link(#[expect(dead_code, reason = "held for its drop")] OwnedFd);

impl Program {
    /// A TC program that does nothing.
    pub fn empty() -> io::Result<Self> {
        Self::load(Kind::SchedClassifier, &[returns(NEXT), EXIT])
    }

    /// A TC program that drops all IPv4. Not ARP: who is not found gets no packets.
    pub fn sink() -> io::Result<Self> {
        const PROTOCOL: i16 = 16;
        let ipv4 = i32::from(0x0800_u16.to_be());
        let code = [
            load_word(2, 1, PROTOCOL),
            skip_unless(2, ipv4, 2),
            returns(SHOT),
            EXIT,
            returns(NEXT),
            EXIT,
        ];
        Self::load(Kind::SchedClassifier, &code)
    }

    /// An XDP program that writes `frame`, an IPv4 packet whose type of service is 0, over whatever it is given and
    /// lets the stack have it.
    ///
    /// Frames are used again and again, and come back with what the stack wrote into them: so each is written anew.
    pub fn source(frame: &[u8], likeness: Likeness) -> io::Result<Self> {
        let length = frame.len().next_multiple_of(4);
        let mut writes = Vec::new();
        for (number, bytes) in frame.chunks(4).enumerate() {
            let mut word = [0; 4];
            for (to, from) in word.iter_mut().zip(bytes) {
                *to = *from;
            }
            writes.push(store_word(2, number as i16 * 4, i32::from_le_bytes(word)));
        }
        if likeness == Likeness::Mixed {
            writes.extend(with_type_of_service(frame)?);
        }
        writes.extend([returns(PASS), EXIT]);
        // r0 = a number by chance; r2 = data, r3 = data_end; r4 = data + length; beyond the end: drop.
        let mut code = vec![
            copy(6, 1),
            RANDOM,
            load_word(2, 6, 0),
            load_word(3, 6, 4),
            copy(4, 2),
            add(4, length as i32),
            skip_if_greater(4, 3, writes.len() as i16),
        ];
        code.extend(writes);
        code.extend([returns(1), EXIT]);
        Self::load(Kind::Xdp, &code)
    }

    fn load(kind: Kind, code: &[u64]) -> io::Result<Self> {
        /// The members of `union bpf_attr` for `BPF_PROG_LOAD`.
        #[repr(C)]
        struct Attr {
            kind: u32,
            count: u32,
            code: u64,
            license: u64,
            log_level: u32,
            log_size: u32,
            log: u64,
        }
        let attr = Attr {
            kind: kind as u32,
            count: code.len() as u32,
            code: code.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            log_level: 0,
            log_size: 0,
            log: 0,
        };
        descriptor(bpf(PROG_LOAD, &attr)?).map(Self)
    }

    /// The time of one run on this packet, the mean of `repeat`.
    pub fn test_run(&self, packet: &[u8], repeat: u32) -> io::Result<Duration> {
        let mut attr = TestRun::new(self, packet, repeat);
        bpf(PROG_TEST_RUN, &raw mut attr)?;
        Ok(Duration::from_nanos(attr.duration.into()))
    }

    /// Has frames like `packet` come in on a device of the calling thread's namespace: as if received, and taken by
    /// the stack before this returns, as far as it takes them at once.
    pub fn inject(&self, packet: &[u8], device: u32, count: u32) -> io::Result<()> {
        /// `struct xdp_md`.
        #[repr(C)]
        struct Context {
            data: u32,
            data_end: u32,
            data_meta: u32,
            ingress_ifindex: u32,
            rx_queue_index: u32,
            egress_ifindex: u32,
        }
        let context = Context {
            data: 0,
            data_end: packet.len() as u32,
            data_meta: 0,
            ingress_ifindex: device,
            rx_queue_index: 0,
            egress_ifindex: 0,
        };
        let mut attr = TestRun::new(self, packet, count);
        attr.ctx_in = &raw const context as u64;
        attr.ctx_size_in = size_of::<Context>() as u32;
        attr.flags = LIVE_FRAMES;
        attr.batch_size = BATCH;
        bpf(PROG_TEST_RUN, &raw mut attr).map(|_| ())
    }

    /// Runs it on every packet that passes a device of the calling thread's namespace.
    pub fn attach(&self, device: u32, hook: Hook) -> io::Result<Link> {
        /// The members of `union bpf_attr` for `BPF_LINK_CREATE`.
        #[repr(C)]
        struct Attr {
            program: u32,
            target: u32,
            attach_type: u32,
            flags: u32,
            relative: u32,
            zero: u32,
            expected_revision: u64,
        }
        let attr = Attr {
            program: self.0.as_raw_fd().cast_unsigned(),
            target: device,
            attach_type: hook as u32,
            flags: 0,
            relative: 0,
            zero: 0,
            expected_revision: 0,
        };
        descriptor(bpf(LINK_CREATE, &attr)?).map(Link)
    }
}

/// The `test` member of `union bpf_attr`.
#[repr(C)]
struct TestRun {
    program: u32,
    return_value: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    zero: u32,
}

impl TestRun {
    fn new(program: &Program, packet: &[u8], repeat: u32) -> Self {
        Self {
            program: program.0.as_raw_fd().cast_unsigned(),
            return_value: 0,
            data_size_in: packet.len() as u32,
            data_size_out: 0,
            data_in: packet.as_ptr() as u64,
            data_out: 0,
            repeat,
            duration: 0,
            ctx_size_in: 0,
            ctx_size_out: 0,
            ctx_in: 0,
            ctx_out: 0,
            flags: 0,
            cpu: 0,
            batch_size: 0,
            zero: 0,
        }
    }
}

/// The map, program or link pinned at a path.
pub fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    /// The members of `union bpf_attr` for `BPF_OBJ_GET`.
    #[repr(C)]
    struct Attr {
        path: u64,
        descriptor: u32,
        flags: u32,
    }
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attr = Attr {
        path: path.as_ptr() as u64,
        descriptor: 0,
        flags: 0,
    };
    descriptor(bpf(OBJ_GET, &attr)?)
}

fn bpf<A>(command: libc::c_long, attr: *const A) -> io::Result<libc::c_long> {
    // SAFETY: every caller gives a `bpf_attr` for its command, whose pointers outlive the call.
    match unsafe { libc::syscall(libc::SYS_bpf, command, attr, size_of::<A>()) } {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

fn descriptor(number: libc::c_long) -> io::Result<OwnedFd> {
    let number = i32::try_from(number).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Writes one of eight types of service, by the number in r0, to the IPv4 packet at r2, and the header checksum that
/// goes with it (RFC 1624: one's complement, in the packet's own byte order).
fn with_type_of_service(frame: &[u8]) -> io::Result<[u64; 9]> {
    const TYPE_OF_SERVICE: i16 = 14 + 1;
    const CHECKSUM: i16 = 14 + 10;
    let Some(&[high, low]) = frame.get(CHECKSUM as usize..CHECKSUM as usize + 2) else {
        return Err(io::Error::other("no IPv4 header in the frame"));
    };
    Ok([
        // Its low two bits are ECN's.
        and(0, 0x1c),
        store_byte_of(2, 0, TYPE_OF_SERVICE),
        // 0xffff is 0, and leaves something to take away from.
        set(1, i32::from(u16::from_be_bytes([high, low])) + 0xffff),
        subtract(1, 0),
        copy(3, 1),
        shift_right(3, 16),
        add_register(1, 3),
        to_big_endian_16(1),
        store_half_of(2, 1, CHECKSUM),
    ])
}

/// One instruction: operation, target and source register, offset, immediate (linux/bpf.h, `struct bpf_insn`).
const fn instruction(operation: u8, target: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    operation as u64
        | (target as u64) << 8
        | (source as u64) << 12
        | (offset.cast_unsigned() as u64) << 16
        | (immediate.cast_unsigned() as u64) << 32
}

const EXIT: u64 = instruction(0x95, 0, 0, 0, 0);

/// `bpf_get_prandom_u32()`.
const RANDOM: u64 = instruction(0x85, 0, 0, 0, 7);

fn returns(value: i32) -> u64 {
    set(0, value)
}

fn set(target: u8, value: i32) -> u64 {
    instruction(0xb7, target, 0, 0, value)
}

fn load_word(target: u8, source: u8, offset: i16) -> u64 {
    instruction(0x61, target, source, offset, 0)
}

fn store_word(target: u8, offset: i16, value: i32) -> u64 {
    instruction(0x62, target, 0, offset, value)
}

fn copy(target: u8, source: u8) -> u64 {
    instruction(0xbf, target, source, 0, 0)
}

fn add(target: u8, value: i32) -> u64 {
    instruction(0x07, target, 0, 0, value)
}

fn add_register(target: u8, source: u8) -> u64 {
    instruction(0x0f, target, source, 0, 0)
}

fn subtract(target: u8, source: u8) -> u64 {
    instruction(0x1f, target, source, 0, 0)
}

fn and(target: u8, mask: i32) -> u64 {
    instruction(0x57, target, 0, 0, mask)
}

fn shift_right(target: u8, bits: i32) -> u64 {
    instruction(0x77, target, 0, 0, bits)
}

fn to_big_endian_16(target: u8) -> u64 {
    instruction(0xdc, target, 0, 0, 16)
}

fn store_byte_of(target: u8, source: u8, offset: i16) -> u64 {
    instruction(0x73, target, source, offset, 0)
}

fn store_half_of(target: u8, source: u8, offset: i16) -> u64 {
    instruction(0x6b, target, source, offset, 0)
}

fn skip_if_greater(target: u8, than: u8, count: i16) -> u64 {
    instruction(0x2d, target, than, count, 0)
}

fn skip_unless(target: u8, value: i32, count: i16) -> u64 {
    instruction(0x55, target, 0, count, value)
}
