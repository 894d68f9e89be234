// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table's second machine: the programs as the verifier let them in, run by BPF_PROG_TEST_RUN.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use aya::programs::TestRun as _;
use aya::{Pod, TestRunOptions};
use dataplane::kernel::{Counters, FamilyTables, HostFamily, KernelMaps, Pins, Programs, Sizes, Tables};
use dataplane::plan::{KernelState, Maps as _, diff};
use dataplane_common::{Outcome, Tick, Verdict};

use crate::cases::Machine;
use crate::host::{config, device};
use crate::world::{At, OutcomeCounts, World};

/// What the kernel returns for each verdict (`TC_ACT_UNSPEC`, `TC_ACT_SHOT`, `TC_ACT_REDIRECT`).
const ACTIONS: [(Verdict, i32); 3] = [(Verdict::Next, -1), (Verdict::Drop, 2), (Verdict::Answer, 7)];
/// The device that a test run's packets are said to be of: loopback, where nothing is attached.
const LOOPBACK: u32 = 1;

/// Loaded programs and maps of their own, taken away on drop.
pub struct Kernel {
    programs: Programs,
    maps: KernelMaps,
    tables: Tables,
    state: KernelState,
    pins: Pins,
    folder: PathBuf,
}

impl Kernel {
    /// Loads everything, with maps as small as the cases need. Needs root.
    pub fn load() -> Self {
        Self::of_size(Sizes {
            max_flows: 4_096,
            max_backends: 1_024,
            max_frontends: 1_024,
            max_services: 256,
        })
    }

    /// Loads everything, with maps of these sizes. Needs root.
    pub fn of_size(sizes: Sizes) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("shunt-test-{}-{number}", std::process::id()));
        let pins = Pins::new(&folder);
        let programs = Programs::load(&pins, &sizes).unwrap_or_else(|error| panic!("{error:?}"));
        let maps = KernelMaps::new(Tables::open(&pins).expect("the maps just pinned"), sizes);
        let tables = Tables::open(&pins).expect("the maps just pinned");
        Self {
            programs,
            maps,
            tables,
            state: KernelState::default(),
            pins,
            folder,
        }
    }

    /// The maps, to fill them past the planner and to read the counters.
    pub fn tables(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// Forgets all flows and Services.
    pub fn reset(&mut self) {
        self.set(&World::default());
        clear(&mut self.tables.v4);
        clear(&mut self.tables.v6);
    }

    fn outcomes(&self) -> OutcomeCounts {
        Counters(&self.tables)
            .outcomes()
            .into_iter()
            .map(|count| ((count.hook, count.outcome), count.packets))
            .collect()
    }

    /// Runs a program on a packet; `repeat` times, for the time one run takes.
    pub fn test_run(&mut self, at: At, packet: &[u8], repeat: u32) -> (i32, Vec<u8>, std::time::Duration) {
        self.tables
            .devices
            .insert(LOOPBACK, device(at), 0)
            .expect("the device");
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

impl Machine for Kernel {
    fn set(&mut self, world: &World) {
        for op in diff(&world.state, &self.state) {
            self.maps
                .apply(&op)
                .unwrap_or_else(|error| panic!("{op}: {error}"));
        }
        self.state = world.state.clone();
        self.tables.config.set(0, config(world), 0).expect("the config");
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

    fn flows(&mut self) -> usize {
        self.tables.v4.flows.keys().count() + self.tables.v6.flows.keys().count()
    }
}

fn clear<F: HostFamily>(tables: &mut FamilyTables<F>)
where
    F::Addr: Pod,
{
    let keys: Vec<_> = tables.flows.keys().map(|key| key.expect("a flow")).collect();
    for key in keys {
        tables.flows.remove(&key).expect("a flow");
    }
}

fn age<F: HostFamily>(tables: &mut FamilyTables<F>, seconds: u64)
where
    F::Addr: Pod,
{
    let ticks = Tick::from_nanoseconds(seconds * 1_000_000_000).0 + 1;
    let flows: Vec<_> = tables.flows.iter().map(|entry| entry.expect("a flow")).collect();
    for (key, mut value) in flows {
        value.last_seen = Tick(value.last_seen.0.saturating_sub(ticks));
        tables.flows.insert(key, value, 0).expect("a flow");
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = self.pins.remove();
        let _ = nix::mount::umount2(&self.folder, nix::mount::MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.folder);
    }
}
