//! How a measure is distributed: pure.

use sensors::Answer;

use super::Measure;

/// Values in order; none is infinite or no number.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cdf(Vec<f64>);

impl Cdf {
    /// The distribution of these values.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The distribution of a measure over inputs.
    #[must_use]
    pub fn of(measure: Measure, answers: &[Answer]) -> Self {
        Self::new(answers.iter().filter_map(|answer| measure.of(answer)))
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The least value that at least this share of all is not above.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the length")]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = (share.clamp(0.0, 1.0) * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied()
    }

    /// The share of values that are at least `least`.
    #[must_use]
    pub fn share_from(&self, least: f64) -> Option<f64> {
        let below = self.0.partition_point(|value| *value < least);
        (!self.0.is_empty()).then(|| (self.0.len() - below) as f64 / self.0.len() as f64)
    }

    /// Each value once, with the share of all that is not above it.
    pub fn points(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let all = self.0.len() as f64;
        let last = |at: &usize| self.0.get(at + 1) != self.0.get(*at);
        (0..self.0.len()).filter(last).filter_map(move |at| Some((*self.0.get(at)?, (at + 1) as f64 / all)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_quantiles_are_of_the_values() {
        let cdf = Cdf::new([30.0, 10.0, 20.0, 20.0, f64::NAN]);
        assert_eq!(cdf.points().collect::<Vec<_>>(), [(10.0, 0.25), (20.0, 0.75), (30.0, 1.0)]);
        assert_eq!(
            [0.0, 0.5, 0.76, 1.0].map(|share| cdf.quantile(share)),
            [10.0, 20.0, 30.0, 30.0].map(Some)
        );
        assert_eq!([5.0, 20.0, 21.0, 31.0].map(|at| cdf.share_from(at)), [1.0, 0.75, 0.25, 0.0].map(Some));
    }

    #[test]
    fn of_nothing_nothing_is_said() {
        let none = Cdf::new([]);
        assert_eq!((none.quantile(0.5), none.share_from(1.0), none.points().count()), (None, None, 0));
    }
}
