//! Median, quartiles and geometric mean.

/// The middle of some measurements and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    /// The first quartile.
    pub(crate) lower: f64,
    /// The median.
    pub(crate) median: f64,
    /// The third quartile.
    pub(crate) upper: f64,
}

impl Summary {
    /// Of these values; none of no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            lower: quantile(&sorted, 0.25)?,
            median: quantile(&sorted, 0.5)?,
            upper: quantile(&sorted, 0.75)?,
        })
    }

    /// Half of the width between the quartiles, in percent of the median.
    pub(crate) fn spread(&self) -> f64 {
        (self.upper - self.lower) / 2.0 / self.median * 100.0
    }
}

/// The quantile of sorted values, between two of them in proportion (Hyndman and Fan's type 7).
fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let position = part * sorted.len().checked_sub(1)? as f64;
    let below = *sorted.get(position.floor() as usize)?;
    let above = *sorted.get(position.ceil() as usize)?;
    Some(below + (above - below) * position.fract())
}

/// The median; none of no values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    Summary::of(values).map(|summary| summary.median)
}

/// The geometric mean of positive values; none of no values.
pub(crate) fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logarithms: f64 = values.iter().map(|value| value.ln()).sum();
    (!values.is_empty()).then(|| (logarithms / values.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([7.0]), Some(7.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn quartiles_lie_in_proportion_between_values() {
        let summary = Summary::of([5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!(summary, Summary { lower: 2.0, median: 3.0, upper: 4.0 });
        let summary = Summary::of([1.0, 2.0]).unwrap();
        assert_eq!(summary, Summary { lower: 1.25, median: 1.5, upper: 1.75 });
    }

    #[test]
    fn the_spread_is_half_the_quartiles_width_in_percent() {
        let summary = Summary { lower: 9.0, median: 10.0, upper: 12.0 };
        assert!((summary.spread() - 15.0).abs() < 1e-9);
        assert!(Summary::of([4.0; 5]).unwrap().spread().abs() < 1e-9);
    }

    #[test]
    fn the_geometric_mean_of_a_ratio_and_its_inverse_is_one() {
        assert!((geometric_mean(&[2.0, 0.5]).unwrap() - 1.0).abs() < 1e-9);
        assert!((geometric_mean(&[1.0, 8.0, 1.0]).unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(geometric_mean(&[]), None);
    }
}
