// SPDX-License-Identifier: MIT OR Apache-2.0
//! How much is measured, and taking turns.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Fewer sizes and turns: to see that all works, and for a first idea.
    pub quick: bool,
    /// Contenders whose name has none of these words do not take part, but for the baseline. Empty: all take part.
    pub only: Vec<String>,
    /// Cases of traffic whose name has none of these words are left out. Empty: all are measured.
    pub cases: Vec<String>,
    /// A real kube-proxy, to be measured in the place of its rules.
    pub kube_proxy: Option<PathBuf>,
}

impl Plan {
    /// How often each contender has its turn.
    #[must_use]
    pub fn turns(&self) -> usize {
        if self.quick { 3 } else { 5 }
    }

    /// Whether a name has one of the words that were asked for, if any were.
    pub(crate) fn names(words: &[String], name: &str) -> bool {
        words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
    }

    /// How long a turn of traffic takes.
    #[must_use]
    pub fn turn(&self) -> Duration {
        Duration::from_millis(if self.quick { 100 } else { 200 })
    }
}

/// Keeps the calling thread, and what it starts, on the last of the bench's CPUs: the first one has interrupts and the
/// rest of the bench.
pub fn pin_to_last_cpu() -> anyhow::Result<()> {
    move_to_last_cpu(Pid::from_raw(0))
}

/// Keeps a process there.
pub fn move_to_last_cpu(process: Pid) -> anyhow::Result<()> {
    let (_, last) = cpus()?;
    pin(process, last)
}

/// Keeps the calling thread, and what it starts, on the first of the bench's CPUs.
pub fn pin_to_first_cpu() -> anyhow::Result<()> {
    let (first, _) = cpus()?;
    pin(Pid::from_raw(0), first)
}

/// The first and the last CPU that the bench may run on. Asked of its first thread, which nobody pins: of the calling
/// one, which may be pinned already, both would be the one that it has.
fn cpus() -> anyhow::Result<(usize, usize)> {
    let allowed = sched_getaffinity(Pid::this()).context("read the CPUs of this process")?;
    let is_allowed = |cpu: &usize| allowed.is_set(*cpu).unwrap_or_default();
    let mut all = (0..CpuSet::count()).filter(is_allowed);
    let first = all.next().context("this process may run on no CPU")?;
    Ok((first, all.next_back().unwrap_or(first)))
}

fn pin(process: Pid, cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)
        .and_then(|()| sched_setaffinity(process, &set))
        .with_context(|| format!("keep to CPU {cpu}"))
}

/// The CPU time that something took: all of the process's, or the calling thread's.
///
/// What the kernel does for packets in a thread's name is part of it, and what else the machine does meanwhile is not.
pub struct CpuTime(ClockId, Duration);

impl CpuTime {
    #[must_use]
    pub fn of_process() -> Self {
        Self::of(ClockId::CLOCK_PROCESS_CPUTIME_ID)
    }

    #[must_use]
    pub fn of_thread() -> Self {
        Self::of(ClockId::CLOCK_THREAD_CPUTIME_ID)
    }

    /// Seconds since this was made.
    #[must_use]
    pub fn elapsed(&self) -> f64 {
        (read(self.0) - self.1).as_secs_f64()
    }

    fn of(clock: ClockId) -> Self {
        Self(clock, read(clock))
    }
}

fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

/// Says on standard error what is going on: a full run takes a while.
pub fn tell(what: std::fmt::Arguments<'_>) {
    eprintln!("bench: {what}");
}
