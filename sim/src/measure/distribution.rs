//! Distributions: pooled in a histogram where there are millions of values, exact where there are thousands.

use serde::{Deserialize, Serialize};

/// The usual figures of a distribution, in milliseconds. All zero when there is no value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Greatest.
    pub max: f64,
}

impl Distribution {
    /// Of these values, exactly (nearest rank).
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (Some(last), n) = (values.last(), values.len()) else {
            return Distribution::default();
        };
        let at = |p: f64| values[rank(p, n as u64) as usize - 1];
        Distribution {
            mean: values.iter().sum::<f64>() / n as f64,
            p50: at(0.50),
            p90: at(0.90),
            p95: at(0.95),
            p99: at(0.99),
            max: *last,
        }
    }
}

/// Nearest rank of a percentile, 1 to `n`.
pub(crate) fn rank(p: f64, n: u64) -> u64 {
    ((p * n as f64).ceil() as u64).clamp(1, n)
}

/// Counts in bins of a quarter of a millisecond, up to 16 s; what is beyond counts in the last. Mean and greatest are
/// exact.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    bins: Vec<u64>,
    count: u64,
    sum_ms: f64,
    max_ms: f64,
}

/// Bins in a millisecond.
const BINS_PER_MS: f64 = 4.0;
const BINS: usize = 64_000;

impl Histogram {
    pub(crate) fn new() -> Self {
        Histogram {
            bins: vec![0; BINS],
            count: 0,
            sum_ms: 0.0,
            max_ms: 0.0,
        }
    }

    pub(crate) fn add(&mut self, value_ms: f64) {
        let bin = ((value_ms * BINS_PER_MS) as usize).min(BINS - 1);
        self.bins[bin] += 1;
        self.count += 1;
        self.sum_ms += value_ms;
        self.max_ms = self.max_ms.max(value_ms);
    }

    pub(crate) fn distribution(&self) -> Distribution {
        if self.count == 0 {
            return Distribution::default();
        }
        Distribution {
            mean: self.sum_ms / self.count as f64,
            p50: self.percentile(0.50),
            p90: self.percentile(0.90),
            p95: self.percentile(0.95),
            p99: self.percentile(0.99),
            max: self.max_ms,
        }
    }

    /// Upper edge of the bin that holds the percentile, so an error of at most a quarter of a millisecond, upward.
    fn percentile(&self, p: f64) -> f64 {
        let wanted = rank(p, self.count);
        let mut seen = 0;
        for (bin, n) in self.bins[..BINS - 1].iter().enumerate() {
            seen += n;
            if seen >= wanted {
                return ((bin + 1) as f64 / BINS_PER_MS).min(self.max_ms);
            }
        }
        self.max_ms
    }

    /// The cumulative distribution as at most `points` pairs of milliseconds and share.
    pub(crate) fn curve(&self, points: usize) -> Vec<(f64, f64)> {
        (0..=points)
            .filter(|_| self.count > 0)
            .map(|i| {
                let p = i as f64 / points as f64;
                (self.percentile(p), p)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_ranks() {
        let d = Distribution::of((1..=100).rev().map(f64::from).collect());
        assert_eq!(
            (d.mean, d.p50, d.p90, d.p95, d.p99, d.max),
            (50.5, 50.0, 90.0, 95.0, 99.0, 100.0)
        );
        assert_eq!(Distribution::of(vec![7.0]).p99, 7.0);
        assert_eq!(Distribution::of(Vec::new()), Distribution::default());
    }

    #[test]
    fn the_histogram_agrees_within_a_bin() {
        let values: Vec<f64> = (0..10_000).map(|n| (f64::from(n) * 0.377) % 901.0).collect();
        let mut histogram = Histogram::new();
        values.iter().for_each(|v| histogram.add(*v));
        let (binned, exact) = (histogram.distribution(), Distribution::of(values));
        assert!((binned.mean - exact.mean).abs() < 1e-9);
        assert_eq!(binned.max, exact.max);
        for (b, e) in [
            (binned.p50, exact.p50),
            (binned.p90, exact.p90),
            (binned.p99, exact.p99),
        ] {
            assert!((0.0..=0.25).contains(&(b - e)), "{b} {e}");
        }
        let curve = histogram.curve(100);
        assert!(curve.windows(2).all(|w| w[0].0 <= w[1].0 && w[0].1 < w[1].1));
    }

    #[test]
    fn what_is_beyond_the_bins_counts_at_its_value() {
        let mut histogram = Histogram::new();
        histogram.add(1.0);
        histogram.add(99_000.0);
        let d = histogram.distribution();
        assert_eq!((d.p50, d.p99, d.max), (1.25, 99_000.0, 99_000.0));
    }
}
