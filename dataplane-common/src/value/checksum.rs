// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//! The Internet checksum's arithmetic (RFC 1071), by difference (RFC 1624).
//!
//! Sums are kept in native byte order over memory words: one's complement addition commutes with
//! byte swapping, so nothing is ever swapped (RFC 1071, section 2 B).

/// A one's complement sum that has not been folded to 16 bits yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Checksum(pub u32);

impl Checksum {
    /// The sum with a 32-bit word of memory added.
    #[inline(always)]
    pub fn plus(self, word: u32) -> Self {
        let (sum, carry) = self.0.overflowing_add(word);
        Self(sum + carry as u32)
    }

    /// The sum with a 32-bit word of memory taken away.
    #[inline(always)]
    pub fn minus(self, word: u32) -> Self {
        self.plus(!word)
    }

    /// Both sums together.
    #[inline(always)]
    pub(crate) fn and(self, other: Self) -> Self {
        self.plus(other.0)
    }

    /// The sum with two bytes of memory added.
    #[inline(always)]
    pub fn add16(self, bytes: [u8; 2]) -> Self {
        self.plus(u16::from_ne_bytes(bytes) as u32)
    }

    /// The sum with two bytes of memory taken away.
    ///
    /// The complement is taken in 16 bits: that of the widened word would add 0xffff0000, which
    /// folds to the same sum but is not what the kernel computes on its 32 bits.
    #[inline(always)]
    pub fn sub16(self, bytes: [u8; 2]) -> Self {
        self.plus(!u16::from_ne_bytes(bytes) as u32)
    }

    /// The sum in 16 bits, not complemented.
    #[inline(always)]
    fn folded(self) -> u16 {
        let once = (self.0 & 0xffff) + (self.0 >> 16);
        ((once & 0xffff) + (once >> 16)) as u16
    }

    /// The checksum field's bytes for a header that sums up to this.
    #[inline(always)]
    pub fn finish(self) -> [u8; 2] {
        (!self.folded()).to_ne_bytes()
    }

    /// A checksum field's bytes after the data under it changed by `self`: RFC 1624, equation 3,
    /// `HC' = ~(~HC + ~m + m')`, with the same rounding as the kernel's `csum_replace_by_diff`.
    #[inline(always)]
    pub fn update(self, field: [u8; 2]) -> [u8; 2] {
        let unfolded = !(u16::from_ne_bytes(field) as u32);
        self.plus(unfolded).finish()
    }
}
