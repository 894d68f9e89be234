// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! A budget of answers, one for each CPU: value of the map `answers`.
//!
//! Pinned: a change of a layout or of a meaning here raises [`MAP_ABI`](crate::MAP_ABI).

/// A budget that refills with time: one for each CPU bounds the answers a flood can cause.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TokenBucket {
    /// When it was last filled up, in units of 2^20 ns (about a millisecond).
    filled: u32,
    used: u32,
}

impl TokenBucket {
    /// Answers in one go after a quiet time, and about as many a second in the long run.
    const BURST: u32 = 1024;

    /// Takes one, at a monotonic time in nanoseconds. One comes back per 2^20 ns.
    #[inline(always)]
    pub fn take(&mut self, ns: u64) -> bool {
        let now = (ns >> 20) as u32;
        self.used = self.used.saturating_sub(now.wrapping_sub(self.filled));
        self.filled = now;
        if self.used >= Self::BURST {
            return false;
        }
        self.used += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_one_a_millisecond() {
        let mut bucket = TokenBucket::default();
        let now = 1 << 40;
        let burst = (0..5000).filter(|_| bucket.take(now)).count();
        assert_eq!(burst, TokenBucket::BURST as usize);
        assert!(bucket.take(now + (1 << 20)));
        assert!(!bucket.take(now + (1 << 20)));
    }
}
