//! How much faster one is than another, and how sure that is.
//!
//! Peers take turns, so a run of ours has one of theirs beside it. The ratio is that of the medians, or, where runs are parts of one
//! measurement, of what all of them together come to. Its interval is a bootstrap's: as many pairs of runs are drawn, with
//! replacement, again and again, and 95 of 100 such ratios lie in it.

use std::fmt;

/// Ratios drawn; each draw is the same in every run of the program.
const DRAWS: usize = 2000;
const SEED: u64 = 1;

/// A ratio, and those of the draws.
#[derive(Debug, Clone)]
pub(super) struct Ratio {
    middle: f64,
    draws: Vec<f64>,
}

impl Ratio {
    /// Of the medians of runs in pairs.
    pub(super) fn of(ours: &[f64], theirs: &[f64]) -> Ratio {
        Ratio::of_pairs(ours, theirs, |runs| median(runs.to_vec()))
    }

    /// Of what all runs together come to, in pairs: rates of equal work.
    pub(super) fn of_all(ours: &[f64], theirs: &[f64]) -> Ratio {
        Ratio::of_pairs(ours, theirs, all)
    }

    /// Of the means of runs in pairs.
    pub(super) fn of_means(ours: &[f64], theirs: &[f64]) -> Ratio {
        Ratio::of_pairs(ours, theirs, mean)
    }

    fn of_pairs(ours: &[f64], theirs: &[f64], figure: impl Fn(&[f64]) -> f64) -> Ratio {
        let pairs: Vec<(f64, f64)> = ours.iter().copied().zip(theirs.iter().copied()).collect();
        let of = |pairs: &[(f64, f64)]| {
            let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
            figure(&ours) / figure(&theirs).max(f64::MIN_POSITIVE)
        };
        let mut random = fastrand::Rng::with_seed(SEED);
        let mut draw =
            || of(&(0..pairs.len()).map(|_| pairs[random.usize(..pairs.len())]).collect::<Vec<_>>());
        Ratio { draws: (0..DRAWS).map(|_| draw()).collect(), middle: of(&pairs) }
    }

    /// The geometric mean of some.
    pub(super) fn mean(all: &[Ratio]) -> Ratio {
        #[expect(clippy::cast_precision_loss, reason = "a few rows")]
        let mean = |of: &dyn Fn(&Ratio) -> f64| {
            (all.iter().map(|ratio| of(ratio).ln()).sum::<f64>() / all.len().max(1) as f64).exp()
        };
        Ratio {
            middle: mean(&|ratio| ratio.middle),
            draws: (0..DRAWS).map(|draw| mean(&|ratio| ratio.draws[draw])).collect(),
        }
    }

    fn interval(&self) -> (f64, f64) {
        let mut draws = self.draws.clone();
        draws.sort_by(f64::total_cmp);
        let at = |share: usize| draws.get(draws.len() * share / 1000).copied().unwrap_or(self.middle);
        (at(25), at(975))
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.interval();
        f.pad(&format!("{:.2} ({low:.2}-{high:.2})", self.middle))
    }
}

/// The rate of all together, of rates of equal work.
#[expect(clippy::cast_precision_loss, reason = "some runs")]
pub(super) fn all(rates: &[f64]) -> f64 {
    rates.len() as f64 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>()
}

/// The mean.
#[expect(clippy::cast_precision_loss, reason = "some runs")]
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The middle one; between the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or(0.0);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.saturating_sub(1)), at(middle)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_always_differ_alike_leave_no_doubt() {
        let ratio = Ratio::of(&[20.0, 40.0, 60.0], &[10.0, 20.0, 30.0]);
        assert_eq!(ratio.to_string(), "2.00 (2.00-2.00)");
        assert_eq!(Ratio::mean(&[ratio.clone(), Ratio::of(&[1.0], &[2.0])]).to_string(), "1.00 (1.00-1.00)");
    }

    #[test]
    fn the_interval_is_around_the_ratio_and_inside_of_what_was_seen() {
        let ratio = Ratio::of(&[9.0, 10.0, 11.0, 10.5, 12.0], &[10.0; 5]);
        let (low, high) = ratio.interval();
        assert!((0.9..=1.05).contains(&low) && (1.05..=1.2).contains(&high), "{ratio}");
    }

    #[test]
    fn runs_together_have_the_rate_of_their_whole_time() {
        assert!((all(&[10.0, 30.0]) - 15.0).abs() < 1e-9);
        assert_eq!(Ratio::of_all(&[10.0, 30.0], &[5.0, 15.0]).to_string(), "2.00 (2.00-2.00)");
    }

    #[test]
    fn a_ratio_of_means_has_every_run_in_it_and_nothing_beside_nothing_is_nothing() {
        assert!((mean(&[1.0, 5.0]) - 3.0).abs() < 1e-9);
        assert_eq!(Ratio::of_means(&[2.0, 10.0], &[1.0, 5.0]).to_string(), "2.00 (2.00-2.00)");
        assert_eq!(Ratio::of_means(&[0.0], &[0.0]).to_string(), "0.00 (0.00-0.00)");
    }

    #[test]
    fn a_median_of_an_even_number_lies_between_two() {
        assert_eq!(
            (median(vec![4.0, 1.0, 2.0, 3.0]), median(vec![3.0, 1.0, 2.0]), median(vec![])),
            (2.5, 2.0, 0.0)
        );
    }
}
