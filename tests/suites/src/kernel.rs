// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table's second datapath: the programs as the verifier let them in, run by BPF_PROG_TEST_RUN.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use aya::maps::{Map, MapData, PerCpuArray, PerCpuValues};
use aya::programs::TestRun as _;
use aya::util::nr_cpus;
use aya::{Pod, TestRunOptions};
use dataplane::kernel::{Counters, FamilyMaps, HostFamily, KernelMaps, PinnedMaps, Pins, Programs, Sizes};
use dataplane::model::Protocol;
use dataplane::plan::{KernelState, Maps as _, diff};
use dataplane_common::{Device, Hook, Outcome, Tick, TokenBucket, Verdict};
use nix::time::{ClockId, clock_gettime};
use socket2::{Domain, Socket, Type};

use crate::cases::Datapath;
use crate::host::{config, device, flow_key};
use crate::setup::{At, OutcomeCounts, Setup};

/// What the kernel returns for each verdict (`TC_ACT_UNSPEC`, `TC_ACT_SHOT`, `TC_ACT_REDIRECT`).
const ACTIONS: [(Verdict, i32); 3] = [(Verdict::Next, -1), (Verdict::Drop, 2), (Verdict::Answer, 7)];
/// The device that a test run's packets are said to be of: loopback, where nothing is attached.
const LOOPBACK: u32 = 1;

/// Loaded programs and maps of their own, taken away on drop.
pub struct Kernel {
    programs: Programs,
    maps: KernelMaps,
    tables: PinnedMaps,
    state: KernelState,
    sockets: Vec<OwnedFd>,
    device: Option<Device>,
    /// Its devices are ports of a bridge.
    bridged: bool,
    pins: Pins,
    folder: PathBuf,
}

impl Kernel {
    /// Loads everything, with maps as small as the cases need. Needs root.
    pub fn load() -> Self {
        Self::of_size(Sizes {
            max_flows4: 4_096,
            max_flows6: 4_096,
            max_backends: 1_024,
            max_frontends: 1_024,
            max_services: 256,
            max_affinity: 4_096,
            max_ranges: 1_024,
        })
    }

    /// Loads everything, with maps of these sizes. Needs root.
    pub fn of_size(sizes: Sizes) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("shunt-test-{}-{number}", std::process::id()));
        let pins = Pins::new(&folder);
        let programs = Programs::load(&pins, &sizes).unwrap_or_else(|error| panic!("{error:?}"));
        let maps = KernelMaps::new(PinnedMaps::open(&pins).expect("the maps just pinned"), sizes);
        let tables = PinnedMaps::open(&pins).expect("the maps just pinned");
        Self {
            programs,
            maps,
            tables,
            state: KernelState::default(),
            sockets: Vec::new(),
            device: None,
            bridged: false,
            pins,
            folder,
        }
    }

    /// The maps as the agent writes and reads them.
    pub fn maps(&mut self) -> &mut KernelMaps {
        &mut self.maps
    }

    /// The maps, to fill them past the planner and to read the counters.
    pub fn tables(&mut self) -> &mut PinnedMaps {
        &mut self.tables
    }

    /// Loads the programs for socket calls, too.
    pub fn load_sockets(&mut self) {
        self.programs
            .load_sockets()
            .unwrap_or_else(|error| panic!("{error:?}"));
    }

    /// How many instructions the verifier has gone through in each program.
    pub fn verified(&mut self) -> Vec<(&'static str, u32)> {
        self.programs
            .verified()
            .unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Seconds since the machine was started: no flow can be made to look older.
    pub fn uptime(&self) -> u64 {
        clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| time.tv_sec().unsigned_abs())
    }

    /// Forgets all flows and Services.
    pub fn reset(&mut self) {
        self.set(&Setup::default());
        clear(&mut self.tables.v4);
        clear(&mut self.tables.v6);
    }

    /// Gives back the whole budget of "unreachable" answers.
    pub fn refill(&mut self) {
        let pin = self.pins.map("answers");
        let map = Map::from_map_data(MapData::from_pin(pin).expect("the map of answers")).expect("a map");
        let mut answers = PerCpuArray::<_, TokenBucket>::try_from(map).expect("an array of buckets");
        let full = vec![TokenBucket::default(); nr_cpus().expect("a number of CPUs")];
        let full = PerCpuValues::try_from(full).expect("one for each CPU");
        answers.set(0, full, 0).expect("the buckets");
    }

    /// Meets a packet: what the kernel does with it, and what became of it. One system call, most times.
    /// The time as the programs have it.
    pub fn now() -> Tick {
        let time = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).expect("a clock");
        let (seconds, rest) = (time.tv_sec().unsigned_abs(), time.tv_nsec().unsigned_abs());
        Tick::from_nanoseconds(seconds * 1_000_000_000 + rest)
    }

    pub fn verdict(&mut self, at: At, packet: &[u8]) -> (Verdict, Vec<u8>) {
        let (action, out, _) = self.test_run(at, packet, 1);
        let verdict = ACTIONS.iter().find(|(_, number)| *number == action);
        let (verdict, _) = verdict.unwrap_or_else(|| panic!("the action {action}"));
        (*verdict, out)
    }

    pub fn outcomes(&self) -> OutcomeCounts {
        Counters(&self.tables)
            .outcomes()
            .into_iter()
            .map(|count| ((count.hook, count.outcome), count.packets))
            .collect()
    }

    /// Runs a program on a packet; `repeat` times, for the time one run takes.
    pub fn test_run(&mut self, at: At, packet: &[u8], repeat: u32) -> (i32, Vec<u8>, std::time::Duration) {
        let device = device(at, self.bridged);
        if self.device != Some(device) {
            self.tables
                .devices
                .insert(LOOPBACK, device, 0)
                .expect("the device");
            self.device = Some(device);
        }
        let name = match at {
            At::PodIngress | At::UplinkIngress => "ingress",
            At::PodEgress | At::UplinkEgress => "egress",
        };
        let mut out = vec![0; packet.len() + 256];
        let options = TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut out),
            repeat,
            ..TestRunOptions::default()
        };
        let program = self.programs.program(name).expect("a program of the object");
        let result = program
            .test_run(options)
            .unwrap_or_else(|error| panic!("test run: {error:?}"));
        out.truncate(result.data_size_out as usize);
        (result.return_value as i32, out, result.duration)
    }
}

impl Datapath for Kernel {
    fn set(&mut self, setup: &Setup) {
        for op in diff(&setup.state, &self.state) {
            self.maps
                .apply(&op)
                .unwrap_or_else(|error| panic!("{op}: {error}"));
        }
        self.state = setup.state.clone();
        self.bridged = setup.bridged;
        self.sockets = setup
            .sockets
            .iter()
            .flat_map(|(protocol, port)| listen(*protocol, *port))
            .collect();
        self.tables.config.set(0, config(setup), 0).expect("the config");
    }

    /// The clock is the kernel's own: instead of it going on, the flows grow older.
    fn age(&mut self, seconds: u64) {
        age(&mut self.tables.v4, seconds);
        age(&mut self.tables.v6, seconds);
    }

    fn run(&mut self, at: At, packet: &[u8]) -> (Outcome, Vec<u8>) {
        let before = self.outcomes();
        let (action, out, _) = self.test_run(at, packet, 1);
        let after = self.outcomes();
        let counted: Vec<_> = after
            .iter()
            .filter(|(name, count)| before[*name] != **count)
            .collect();
        let [((_, name), _)] = counted[..] else {
            panic!("one packet counted as {counted:?}")
        };
        let outcome = *Outcome::ALL
            .iter()
            .find(|outcome| outcome.as_str() == *name)
            .expect("a known outcome");
        let expected = ACTIONS
            .iter()
            .find(|(verdict, _)| *verdict == outcome.verdict())
            .map(|(_, action)| *action);
        assert_eq!(Some(action), expected, "the action for {outcome:?}");
        (outcome, out)
    }

    fn evict(&mut self, hook: Hook, protocol: Protocol, src: SocketAddr, dst: SocketAddr) {
        evict(&mut self.tables.v4, hook, protocol, src, dst);
        evict(&mut self.tables.v6, hook, protocol, src, dst);
    }

    fn flows(&mut self) -> usize {
        self.tables.v4.flow_count() + self.tables.v6.flow_count()
    }
}

/// Sockets of this machine, of either family, on which nothing will ever arrive.
fn listen(protocol: Protocol, port: u16) -> Vec<OwnedFd> {
    let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    any.iter()
        .map(|addr| {
            let at = SocketAddr::new(*addr, port);
            let (kind, number) = match protocol {
                Protocol::Udp => (Type::DGRAM, socket2::Protocol::UDP),
                Protocol::Tcp | Protocol::Sctp => (Type::STREAM, socket2::Protocol::TCP),
            };
            let socket = Socket::new(Domain::for_address(at), kind, Some(number)).expect("a socket");
            if at.is_ipv6() {
                socket.set_only_v6(true).expect("a socket of IPv6 alone");
            }
            socket
                .bind(&at.into())
                .unwrap_or_else(|error| panic!("{at}: {error}"));
            if kind == Type::STREAM {
                socket.listen(1).expect("a listening socket");
            }
            socket.into()
        })
        .collect()
}

fn evict<F: HostFamily>(
    tables: &mut FamilyMaps<F>,
    hook: Hook,
    protocol: Protocol,
    src: SocketAddr,
    dst: SocketAddr,
) where
    F::Addr: Pod,
{
    if let Some(key) = flow_key::<F>(hook, protocol, src, dst) {
        let kept = tables.flows.remove(&key);
        let opening = tables.opening.remove(&key);
        kept.or(opening).expect("the flow's entry");
    }
}

fn clear<F: HostFamily>(tables: &mut FamilyMaps<F>)
where
    F::Addr: Pod,
{
    for flows in [&mut tables.flows, &mut tables.opening] {
        let keys: Vec<_> = flows.keys().map(|key| key.expect("a flow")).collect();
        for key in keys {
            flows.remove(&key).expect("a flow");
        }
    }
    let keys: Vec<_> = tables
        .fragments
        .keys()
        .map(|key| key.expect("a fragment"))
        .collect();
    for key in keys {
        tables.fragments.remove(&key).expect("a fragment");
    }
    let clients: Vec<_> = tables.affinity.keys().map(|key| key.expect("a client")).collect();
    for key in clients {
        tables.affinity.remove(&key).expect("a client");
    }
}

fn age<F: HostFamily>(tables: &mut FamilyMaps<F>, seconds: u64)
where
    F::Addr: Pod,
{
    let ticks = Tick::from_nanoseconds(seconds * 1_000_000_000).0 + 1;
    for flows in [&mut tables.flows, &mut tables.opening] {
        let entries: Vec<_> = flows.iter().map(|entry| entry.expect("a flow")).collect();
        for (key, mut value) in entries {
            value.last_seen = Tick(value.last_seen.0.saturating_sub(ticks));
            if key.protocol == Protocol::Udp.number() {
                value.candidate = value.candidate.saturating_sub(ticks);
            }
            flows.insert(key, value, 0).expect("a flow");
        }
    }
    let fragments: Vec<_> = tables
        .fragments
        .iter()
        .map(|entry| entry.expect("a fragment"))
        .collect();
    for (key, mut value) in fragments {
        value.seen = Tick(value.seen.0.saturating_sub(ticks));
        tables.fragments.insert(key, value, 0).expect("a fragment");
    }
    let clients: Vec<_> = tables
        .affinity
        .iter()
        .map(|entry| entry.expect("a client"))
        .collect();
    for (key, mut value) in clients {
        value.last_new = Tick(value.last_new.0.saturating_sub(ticks));
        tables.affinity.insert(key, value, 0).expect("a client");
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = self.pins.remove();
        let _ = nix::mount::umount2(&self.folder, nix::mount::MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.folder);
    }
}
