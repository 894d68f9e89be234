// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! Time, as coarse as the lifetime of flows needs it.

/// A time: nanoseconds of the monotonic clock divided by 2^30, so about 1.07 s.
///
/// A shift instead of a division per packet; 32 bits last 146 years of uptime.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Tick(pub u32);

impl Tick {
    /// The tick of a monotonic time in nanoseconds.
    #[inline(always)]
    pub fn from_nanoseconds(ns: u64) -> Self {
        Self((ns >> 30) as u32)
    }

    /// Ticks from `earlier` to this one; 0 if `earlier` is in fact later (another CPU's clock).
    #[inline(always)]
    pub fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Seconds as ticks, rounded up.
pub(crate) const fn ticks(seconds: u32) -> u32 {
    ((seconds as u64 * 1_000_000_000) >> 30) as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_of_the_future_counts_as_now() {
        assert_eq!(Tick(5).since(Tick(9)), 0);
        assert_eq!(Tick::from_nanoseconds(3 << 30), Tick(3));
    }
}
