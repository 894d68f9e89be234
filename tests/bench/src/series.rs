// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers that belong together, and what is told of them.

use serde::Serialize;

/// Which part of the bench a number is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    Packet,
    Datapath,
    Control,
}

/// One thing measured of one contender, turn by turn.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    pub section: Section,
    /// What it is told together with.
    pub table: String,
    /// What was measured.
    pub case: String,
    /// On whom.
    pub contender: String,
    pub unit: &'static str,
    /// Whether more is better, or less.
    pub more_is_better: bool,
    pub samples: Samples,
}

/// In the order they were taken: those at one place of two series were taken one right after the other.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Samples(pub Vec<f64>);

/// The middle, and what half of the samples lie between.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Samples {
    /// `None` without samples.
    #[must_use]
    pub fn summary(&self) -> Option<Summary> {
        Some(Summary {
            median: self.quantile(0.5)?,
            low: self.quantile(0.25)?,
            high: self.quantile(0.75)?,
        })
    }

    /// The sample that the given part of them lies below, interpolated between neighbours.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let place = part * (sorted.len().checked_sub(1)? as f64);
        let (below, above) = (
            sorted.get(place.floor() as usize)?,
            sorted.get(place.ceil() as usize)?,
        );
        Some(below + (above - below) * place.fract())
    }

    /// Turn by turn, how many times `base` this is.
    #[must_use]
    pub fn ratio_to(&self, base: &Self) -> Self {
        Self(self.0.iter().zip(&base.0).map(|(own, base)| own / base).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_quartiles() {
        let samples = Samples(vec![5.0, 1.0, 2.0, 4.0, 3.0]);
        let summary = samples.summary().unwrap();
        assert_eq!((summary.low, summary.median, summary.high), (2.0, 3.0, 4.0));
        assert_eq!(Samples(vec![1.0, 2.0]).quantile(0.5), Some(1.5));
        assert_eq!(Samples::default().summary(), None);
    }

    #[test]
    fn a_ratio_is_taken_turn_by_turn() {
        // The machine was twice as slow in the second turn; the ratio does not see it.
        let (own, base) = (Samples(vec![90.0, 45.0]), Samples(vec![100.0, 50.0]));
        assert_eq!(own.ratio_to(&base).0, [0.9, 0.9]);
    }
}
