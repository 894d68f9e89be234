// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! A process of the node calls a Service: the socket is given a backend before anything is routed.
//!
//! A node's own packets are routed before they reach a device's hooks, so a destination changed there
//! would be too late. What a process names is changed at the call instead:
//!
//! ```text
//! connect(VIP)            the socket gets the backend's address, and remembers the VIP
//! sendto(VIP)             the datagram goes to the backend, each time the same while it lasts
//! recvfrom, getpeername   the backend's address is shown as the VIP
//! ```
//!
//! Which Service and which backend is chosen where packets are (`lb/select.rs`). No packet is touched.
//!
//! These calls run in a process, which may be interrupted by packets of the same CPU, and
//! preempted: nothing here uses a CPU's own memory ([`crate::Work`]).

use crate::lb::affinity;
use crate::lb::select::{ClientScope, backend, frontend};
use crate::maps::addresses::AddressFlags;
use crate::maps::config::Config;
use crate::maps::flows::{FlowKey, FlowValue};
use crate::maps::peers::{Peer, Peers};
use crate::outcome::Outcome;
use crate::tables::Tables;
use crate::value::family::Family;
use crate::value::hook::Hook;
use crate::value::protocol::Protocol;
use crate::value::wire::Port;

/// A socket in one of these calls.
pub trait Socket {
    /// Its transport.
    fn protocol(&self) -> Protocol;

    /// The cookie of its network namespace (`SO_NETNS_COOKIE`).
    fn namespace(&self) -> u64;

    /// A number that no other socket has.
    fn cookie(&self) -> u64;

    /// Whether it is connected (UDP: has one peer).
    fn is_connected(&self) -> bool;

    /// What it remembers.
    #[expect(
        clippy::mut_from_ref,
        reason = "the memory is the kernel's, not in this value"
    )]
    fn peers(&self) -> Option<&mut Peers>;

    /// What it remembers, nothing at first; `None` if there is no memory for it.
    #[expect(clippy::mut_from_ref, reason = "as above")]
    fn peers_or_new(&self) -> Option<&mut Peers>;

    /// Records for the agent that this UDP socket is being connected to a backend: if the backend goes,
    /// only the agent can make the process notice.
    fn track_connected(&self, peer: &Peer);
}

/// The address in such a call, of one family. A socket may have both.
pub trait Remote<F: Family>: Socket {
    /// The other side's address: to go to, or that a datagram came from.
    fn remote(&self) -> (F::Addr, Port);

    /// Puts another in its place, for this call.
    fn set_remote(&mut self, addr: F::Addr, port: Port);
}

/// How often a choice is made again because its set or backend went between two reads: the agent may
/// have replaced both, and the process may have been preempted meanwhile.
const TRIES: u32 = 3;

/// A socket connects.
#[inline(always)]
pub fn connect<F: Family, S: Remote<F>, T: Tables<F>>(socket: &mut S, tables: &T) -> Outcome {
    if is_answer::<F, _, _>(socket, tables) {
        return Outcome::AnswerPassed;
    }
    match assign(socket, tables) {
        Ok(peer) => {
            if socket.protocol() == Protocol::UDP {
                socket.track_connected(&peer);
            }
            Outcome::NewFlow
        }
        // Connecting a UDP socket sends nothing. Many do it to learn which of the host's addresses they would have.
        Err(outcome) if socket.protocol() == Protocol::UDP && outcome.errno().is_some() => {
            Outcome::ConnectPassed
        }
        Err(outcome) => outcome,
    }
}

/// A datagram is sent to an address: it goes to the backend of the last one, if that still serves.
#[inline(always)]
pub fn send<F: Family, S: Remote<F>, T: Tables<F>>(socket: &mut S, tables: &T) -> Outcome {
    let (addr, port) = socket.remote();
    if is_answer::<F, _, _>(socket, tables) {
        return Outcome::AnswerPassed;
    }
    let known = socket
        .peers()
        .and_then(|peers| peers.with_vip(&F::widen(addr), port).copied());
    let gone = match known {
        Some(peer) if serves(tables, &peer) => {
            socket.set_remote(F::narrow(peer.addr), peer.port);
            return Outcome::Translated;
        }
        Some(_) => true,
        None => false,
    };
    match assign(socket, tables) {
        Ok(_) if gone => Outcome::Resteered,
        Ok(_) => Outcome::NewFlow,
        Err(outcome) => outcome,
    }
}

/// The other side's address is shown: a backend's as the VIP that the process had named.
#[inline(always)]
pub fn reverse<F: Family, S: Remote<F>>(socket: &mut S) -> Outcome {
    let (addr, port) = socket.remote();
    let vip = match socket.peers() {
        Some(peers) => peers
            .with_backend(&F::widen(addr), port)
            .map(|peer| (peer.vip, peer.vip_port)),
        None => None,
    };
    match vip {
        Some((vip, port)) => {
            socket.set_remote(F::narrow(vip), port);
            Outcome::Translated
        }
        None => Outcome::NotOurs,
    }
}

/// A datagram has come, and its sender is shown: see [`reverse`]. A sender at an address and port that a Service has,
/// too, is remembered, so that the answer goes to it and not to a backend.
#[inline(always)]
pub fn receive<F: Family, S: Remote<F>, T: Tables<F>>(socket: &mut S, tables: &T) -> Outcome {
    let outcome = reverse(socket);
    if outcome == Outcome::NotOurs && !socket.is_connected() && is_from_frontend(socket, tables) {
        let (addr, port) = socket.remote();
        // Without memory for it, the answer goes to a backend.
        if let Some(peers) = socket.peers_or_new() {
            peers.put_asker(&F::widen(addr), port, tables.now());
        }
    }
    outcome
}

/// Whether what this call names has asked the socket something.
#[inline(always)]
fn is_answer<F: Family, S: Remote<F>, T: Tables<F>>(socket: &S, tables: &T) -> bool {
    let (addr, port) = socket.remote();
    socket
        .peers()
        .is_some_and(|peers| peers.has_asker(&F::widen(addr), port, tables.now()))
}

/// Whether a process that sent to the shown address would be given a backend.
#[inline(always)]
fn is_from_frontend<F: Family, S: Remote<F>, T: Tables<F>>(socket: &S, tables: &T) -> bool {
    let protocol = socket.protocol();
    let Ok(client) = client(socket, tables, protocol) else {
        return false;
    };
    let end = socket.remote();
    let key = FlowKey::new(Hook::Ingress, protocol, end, end);
    frontend(tables, &key, flags(tables, &key, client)).is_ok()
}

/// Assigns a socket one of the backends of the Service that it names, and remembers it.
#[inline(always)]
fn assign<F: Family, S: Remote<F>, T: Tables<F>>(socket: &mut S, tables: &T) -> Result<Peer, Outcome> {
    let protocol = socket.protocol();
    let client = client(socket, tables, protocol)?;
    let (addr, port) = socket.remote();
    // The source is not known yet: it will be an address of the node's. The cookie spreads a node's
    // connections as a port would.
    let node = tables
        .networks()
        .map(|networks| networks.node)
        .unwrap_or_default();
    let sport = Port::new(socket.cookie() as u16);
    let key = FlowKey::new(Hook::Ingress, protocol, (node, sport), (addr, port));
    let mut value = FlowValue::default();
    // The process names this address itself, so from now on it is shown as it is. A connected socket for both
    // families sends to an IPv4 peer by naming it (udpv6_sendmsg), so there it means nothing.
    if !socket.is_connected()
        && let Some(peers) = socket.peers()
    {
        peers.forget(&F::widen(addr), port);
    }
    choose(tables, &key, client, &mut value)?;
    let peer = Peer::new::<F>((addr, port), &value);
    socket.peers_or_new().ok_or(Outcome::NoMemory)?.put(&peer);
    socket.set_remote(value.addr, value.port);
    tables.count_flow(value.service);
    Ok(peer)
}

/// Whose process it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    Node,
    Pod,
}

/// The caller, if its calls are translated.
#[inline(always)]
fn client<F: Family, S: Remote<F>, T: Tables<F>>(
    socket: &S,
    tables: &T,
    protocol: Protocol,
) -> Result<Client, Outcome> {
    let config = tables.config();
    let of_node = socket.namespace() == config.netns;
    if !of_node && (config.netns == 0 || config.flags & Config::POD_SOCKETS == 0) {
        return Err(Outcome::OtherNamespace);
    }
    match protocol {
        Protocol::TCP if of_node => Ok(Client::Node),
        Protocol::TCP => Ok(Client::Pod),
        Protocol::UDP if of_node => Ok(Client::Node),
        // A pod's datagrams are better off on its device, where they follow changes of endpoints.
        Protocol::UDP => Err(Outcome::LeftToPackets),
        _ => Err(Outcome::NotOurs),
    }
}

#[inline(always)]
fn choose<F: Family, T: Tables<F>>(
    tables: &T,
    key: &FlowKey<F>,
    client: Client,
    value: &mut FlowValue<F>,
) -> Result<(), Outcome> {
    let flags = flags(tables, key, client);
    for _ in 0..TRIES {
        let frontend = frontend(tables, key, flags)?;
        // Both want the client's address, which will be the pod's and not the node's.
        if client == Client::Pod && (frontend.has_ranges() || frontend.affinity_seconds != 0) {
            return Err(Outcome::LeftToPackets);
        }
        match backend(tables, key, &frontend, ClientScope::Internal, value) {
            Ok(_) => {
                if frontend.affinity_seconds != 0 {
                    affinity::remember(tables, &key.src, value);
                }
                return Ok(());
            }
            Err(Outcome::BackendMissing) => {}
            Err(outcome) => return Err(outcome),
        }
    }
    Err(Outcome::BackendMissing)
}

/// What is known of the address that `client` names.
#[inline(always)]
fn flags<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F>, client: Client) -> AddressFlags {
    match client {
        // NodePorts are served there to the node's own processes alone.
        Client::Node if F::is_loopback(&key.dst) => AddressFlags::NODE.with(AddressFlags::NODE_PORTS),
        Client::Node | Client::Pod => tables.address(&key.dst).unwrap_or_default(),
    }
}

#[inline(always)]
fn serves<F: Family, T: Tables<F>>(tables: &T, peer: &Peer) -> bool {
    match tables.backend(peer.backend) {
        Some(backend) => backend.serves(peer.service, &F::narrow(peer.addr), peer.port),
        None => false,
    }
}
