//! Bars and whether they are met, and small statistics.

/// What was promised, what was measured.
#[derive(Debug)]
pub(crate) struct Bar {
    what: String,
    measured: f64,
    unit: &'static str,
    bound: f64,
    at_least: bool,
}

impl Bar {
    /// Not less than `bound`.
    pub(crate) fn at_least(what: impl Into<String>, measured: f64, bound: f64) -> Self {
        Self { what: what.into(), measured, unit: "", bound, at_least: true }
    }

    /// Not more than `bound`.
    pub(crate) fn at_most(what: impl Into<String>, measured: f64, unit: &'static str, bound: f64) -> Self {
        Self { what: what.into(), measured, unit, bound, at_least: false }
    }

    /// Whether it is met; what is not a number meets nothing.
    pub(crate) fn met(&self) -> bool {
        if self.at_least { self.measured >= self.bound } else { self.measured <= self.bound }
    }

    /// As a line.
    pub(crate) fn line(&self) -> String {
        let Self { what, measured, unit, bound, at_least } = self;
        let sign = if *at_least { ">=" } else { "<=" };
        let said = if self.met() { "met" } else { "MISSED" };
        format!("{said:6}  {what}: {measured:.2}{unit} (bar {sign} {bound:.2}{unit})")
    }
}

/// Of sorted values the one with so large a part below it; not a number of nothing.
pub(crate) fn part(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * part).round();
    sorted.iter().copied().zip(0..).find(|(_, n)| f64::from(*n) >= at).map_or(f64::NAN, |(value, _)| value)
}

/// The median.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    part(&values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_at_its_bound_and_never_by_nothing() {
        assert!(Bar::at_least("", 0.95, 0.95).met() && !Bar::at_least("", 0.94, 0.95).met());
        assert!(Bar::at_most("", 1.0, "ms", 1.0).met() && !Bar::at_most("", 1.1, "ms", 1.0).met());
        assert!(!Bar::at_most("", median(Vec::new()), "ms", 1.0).met());
    }

    #[test]
    fn parts_are_of_the_sorted_values() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|at| part(&values, at)), [0.0, 50.0, 99.0, 100.0]);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
