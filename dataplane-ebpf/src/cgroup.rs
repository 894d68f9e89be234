// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Entry points for the socket calls of processes, and the sockets as `dataplane-common` sees them.

use aya_ebpf::bindings::{BPF_ANY, bpf_sock_addr};
use aya_ebpf::helpers::{bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_set_retval};
use aya_ebpf::macros::{cgroup_sock, cgroup_sock_addr};
use aya_ebpf::programs::{SockAddrContext, SockContext};
use dataplane_common::{
    Addr4, Addr6, Call, Outcome, Peer, Peers, Port, Protocol, Remote, Socket, V4, V6, connect, receive,
    reverse, send,
};

use crate::count::count_one;
use crate::maps::{CONFIG, CONNECTED, OUTCOMES, PEERS, Stored};
use crate::tables::KernelTables;

/// Whether this kernel lets a program choose the error of a call it refuses (6.1 and later; it is
/// "operation not permitted" before). Set by the agent, and constant for the verifier.
#[unsafe(no_mangle)]
static CAN_CHOOSE_ERROR: u8 = 0;

/// `TCP_ESTABLISHED`; of a UDP socket, that it is connected.
const ESTABLISHED: u32 = 1;

/// Return value: the call goes on.
const GO_ON: i32 = 1;
/// Return value: the call fails.
const FAIL: i32 = 0;

/// A socket in a call. `MAPPED`: an IPv6 socket that means an IPv4 address.
#[derive(Clone, Copy)]
struct Sock<const MAPPED: bool>(*mut bpf_sock_addr);

type Plain = Sock<false>;
type Mapped = Sock<true>;

#[cgroup_sock_addr(connect4)]
pub(crate) fn connect4(ctx: SockAddrContext) -> i32 {
    decide(Call::Connect, connecting::<V4, _>(Sock::<false>(ctx.sock_addr)))
}

#[cgroup_sock_addr(connect6)]
pub(crate) fn connect6(ctx: SockAddrContext) -> i32 {
    let outcome = match is_mapped(ctx.sock_addr) {
        true => connecting::<V4, _>(Sock::<true>(ctx.sock_addr)),
        false => connecting::<V6, _>(Sock::<false>(ctx.sock_addr)),
    };
    decide(Call::Connect, outcome)
}

#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn sendmsg4(ctx: SockAddrContext) -> i32 {
    decide(Call::Send, sending::<V4, _>(Sock::<false>(ctx.sock_addr)))
}

/// Never about an IPv4 address: for that, the kernel calls the program for IPv4 also on a socket for
/// both families (udpv6_sendmsg).
#[cgroup_sock_addr(sendmsg6)]
pub(crate) fn sendmsg6(ctx: SockAddrContext) -> i32 {
    decide(Call::Send, sending::<V6, _>(Sock::<false>(ctx.sock_addr)))
}

#[cgroup_sock_addr(recvmsg4)]
pub(crate) fn recvmsg4(ctx: SockAddrContext) -> i32 {
    report(Call::Receive, receiving::<V4, _>(Sock::<false>(ctx.sock_addr)))
}

#[cgroup_sock_addr(recvmsg6)]
pub(crate) fn recvmsg6(ctx: SockAddrContext) -> i32 {
    let outcome = match is_mapped(ctx.sock_addr) {
        true => receiving::<V4, _>(Sock::<true>(ctx.sock_addr)),
        false => receiving::<V6, _>(Sock::<false>(ctx.sock_addr)),
    };
    report(Call::Receive, outcome)
}

#[cgroup_sock_addr(getpeername4)]
pub(crate) fn getpeername4(ctx: SockAddrContext) -> i32 {
    report(
        Call::PeerName,
        reverse::<V4, _>(&mut Sock::<false>(ctx.sock_addr)),
    )
}

#[cgroup_sock_addr(getpeername6)]
pub(crate) fn getpeername6(ctx: SockAddrContext) -> i32 {
    report(Call::PeerName, reverse6(ctx.sock_addr))
}

/// A socket is closed.
#[cgroup_sock(sock_release)]
pub(crate) fn sock_release(ctx: SockContext) -> i32 {
    // SAFETY: the program's own context, valid for as long as it runs.
    let socket = unsafe { &*ctx.sock };
    // SAFETY: helpers on the program's own context.
    let (namespace, cookie) = unsafe {
        (
            bpf_get_netns_cookie(ctx.sock.cast()),
            bpf_get_socket_cookie(ctx.sock.cast()),
        )
    };
    let netns = CONFIG.get(0).copied().unwrap_or_default().netns;
    if socket.protocol == Protocol::UDP.0 as u32 && namespace == netns {
        // Most have not been connected, or not to a Service.
        let _ = CONNECTED.remove(cookie);
    }
    GO_ON
}

#[inline(always)]
fn connecting<F: Stored, S: Remote<F>>(mut socket: S) -> Outcome {
    connect(&mut socket, &KernelTables::without_packet())
}

#[inline(always)]
fn sending<F: Stored, S: Remote<F>>(mut socket: S) -> Outcome {
    send(&mut socket, &KernelTables::without_packet())
}

#[inline(always)]
fn receiving<F: Stored, S: Remote<F>>(mut socket: S) -> Outcome {
    receive(&mut socket, &KernelTables::without_packet())
}

#[inline(always)]
fn reverse6(ctx: *mut bpf_sock_addr) -> Outcome {
    match is_mapped(ctx) {
        true => reverse::<V4, _>(&mut Sock::<true>(ctx)),
        false => reverse::<V6, _>(&mut Sock::<false>(ctx)),
    }
}

/// The end of a call that may be refused.
#[inline(always)]
fn decide(call: Call, outcome: Outcome) -> i32 {
    count(call, outcome);
    let Some(errno) = outcome.errno() else {
        return GO_ON;
    };
    // SAFETY: a constant of this object. Volatile: its value here is not what it will be.
    if unsafe { core::ptr::read_volatile(&raw const CAN_CHOOSE_ERROR) } != 0 {
        // SAFETY: a helper without pointers.
        unsafe { bpf_set_retval(-errno) };
    }
    FAIL
}

/// The end of a call that only returns an address: the kernel allows no refusal.
#[inline(always)]
fn report(call: Call, outcome: Outcome) -> i32 {
    count(call, outcome);
    GO_ON
}

#[inline(always)]
fn count(call: Call, outcome: Outcome) {
    if let Some(counter) = OUTCOMES.get_ptr_mut(call as u32 * Outcome::COUNT + outcome as u32) {
        // SAFETY: this CPU's own counter, aligned, valid until the program ends.
        unsafe { count_one(counter) };
    }
}

#[inline(always)]
fn is_mapped(ctx: *mut bpf_sock_addr) -> bool {
    let [a, b, c, _] = Sock::<false>(ctx).get().user_ip6;
    Addr6::from_memory([a, b, c, 0]).as_mapped().is_some()
}

impl<const MAPPED: bool> Sock<MAPPED> {
    #[inline(always)]
    fn get(&self) -> &bpf_sock_addr {
        // SAFETY: the program's own context, valid for as long as it runs.
        unsafe { &*self.0 }
    }

    #[inline(always)]
    fn port(&self) -> Port {
        Port::from_memory(self.get().user_port as u16)
    }

    #[inline(always)]
    fn set_port(&mut self, port: Port) {
        // SAFETY: as above, and this field may be written.
        unsafe { (&raw mut (*self.0).user_port).write_volatile(port.memory() as u32) };
    }
}

impl<const MAPPED: bool> Socket for Sock<MAPPED> {
    #[inline(always)]
    fn protocol(&self) -> Protocol {
        // A multipath TCP socket (262) does not come here itself, but its subflows do, as TCP.
        Protocol(self.get().protocol as u8)
    }

    #[inline(always)]
    fn namespace(&self) -> u64 {
        // SAFETY: a helper on the program's own context.
        unsafe { bpf_get_netns_cookie(self.0.cast()) }
    }

    #[inline(always)]
    fn cookie(&self) -> u64 {
        // SAFETY: a helper on the program's own context.
        unsafe { bpf_get_socket_cookie(self.0.cast()) }
    }

    #[inline(always)]
    fn is_connected(&self) -> bool {
        // SAFETY: the context's own socket, as the verifier knows.
        unsafe { (*self.get().__bindgen_anon_1.sk).state == ESTABLISHED }
    }

    #[inline(always)]
    fn peers(&self) -> Option<&mut Peers> {
        // SAFETY: the context's own socket; the kernel holds its lock, so nothing else accesses it.
        unsafe { PEERS.get_ptr_mut(&SockAddrContext::new(self.0)).as_mut() }
    }

    #[inline(always)]
    fn peers_or_new(&self) -> Option<&mut Peers> {
        // SAFETY: as above. The kernel fills a new value with zeros.
        unsafe {
            PEERS
                .get_or_insert_ptr_mut(&SockAddrContext::new(self.0), None)
                .as_mut()
        }
    }

    #[inline(always)]
    fn track_connected(&self, peer: &Peer) {
        // Without an entry, the socket is left to its owner when its backend goes.
        let _ = CONNECTED.insert(self.cookie(), peer, BPF_ANY as u64);
    }
}

impl Remote<V4> for Plain {
    #[inline(always)]
    fn remote(&self) -> (Addr4, Port) {
        (Addr4::from_memory(self.get().user_ip4), self.port())
    }

    #[inline(always)]
    fn set_remote(&mut self, addr: Addr4, port: Port) {
        // SAFETY: the program's own context; this field may be written.
        unsafe { (&raw mut (*self.0).user_ip4).write_volatile(addr.memory()) };
        self.set_port(port);
    }
}

impl Remote<V4> for Mapped {
    #[inline(always)]
    fn remote(&self) -> (Addr4, Port) {
        // SAFETY: a field of the program's own context. Volatile: see the plain address.
        let word = unsafe { (&raw const (*self.0).user_ip6[3]).read_volatile() };
        (Addr4::from_memory(word), self.port())
    }

    #[inline(always)]
    fn set_remote(&mut self, addr: Addr4, port: Port) {
        // SAFETY: as above.
        unsafe { (&raw mut (*self.0).user_ip6[3]).write_volatile(addr.memory()) };
        self.set_port(port);
    }
}

impl Remote<V6> for Plain {
    #[inline(always)]
    fn remote(&self) -> (Addr6, Port) {
        // Volatile, word by word: the compiler would else keep a pointer to the four, and the verifier lets the context be
        // read at constant places only.
        // SAFETY: as above.
        let words = unsafe {
            [
                (&raw const (*self.0).user_ip6[0]).read_volatile(),
                (&raw const (*self.0).user_ip6[1]).read_volatile(),
                (&raw const (*self.0).user_ip6[2]).read_volatile(),
                (&raw const (*self.0).user_ip6[3]).read_volatile(),
            ]
        };
        (Addr6::from_memory(words), self.port())
    }

    #[inline(always)]
    fn set_remote(&mut self, addr: Addr6, port: Port) {
        let [a, b, c, d] = addr.memory();
        // SAFETY: as above, word by word.
        unsafe {
            (&raw mut (*self.0).user_ip6[0]).write_volatile(a);
            (&raw mut (*self.0).user_ip6[1]).write_volatile(b);
            (&raw mut (*self.0).user_ip6[2]).write_volatile(c);
            (&raw mut (*self.0).user_ip6[3]).write_volatile(d);
        }
        self.set_port(port);
    }
}
