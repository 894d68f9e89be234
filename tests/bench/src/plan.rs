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

/// Keeps the calling thread, and what it starts, on the machine's last CPU: the first one has interrupts and the
/// rest of the bench.
pub fn pin_to_last_cpu() -> anyhow::Result<()> {
    pin(last_cpu()?)
}

/// Lets the calling thread run on every CPU but the last, unless there is only one.
pub fn pin_beside_last_cpu() -> anyhow::Result<()> {
    pin(0)
}

/// The last that the process may run on. Asked of its first thread, which nobody pins: of the caller, who may be pinned
/// already, it would be the one that it has.
fn last_cpu() -> anyhow::Result<usize> {
    let allowed = sched_getaffinity(Pid::this()).context("read the CPUs of this process")?;
    (0..CpuSet::count())
        .rev()
        .find(|cpu| allowed.is_set(*cpu).unwrap_or_default())
        .context("this process may run on no CPU")
}

fn pin(cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
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
