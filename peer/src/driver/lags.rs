//! Lags of many chunks in little memory, shared between the driver, which records, and the statistics, which read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

/// The longest lag told apart, in microseconds: longer ones count as this. A live stream ten minutes behind is broken.
const MAX_LAG_US: u64 = 600_000_000;

/// A distribution of lags, cheap to clone and shared by its clones. Recording costs some nanoseconds; values are kept
/// to 0.8 % (two digits), in about 30 KiB.
#[derive(Clone, Debug)]
pub struct Lags(Arc<Mutex<Histogram<u64>>>);

/// What statistics want to know of a distribution, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LagSummary {
    /// How many lags were recorded; the other fields are zero when none was.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Default for Lags {
    fn default() -> Self {
        Lags::new()
    }
}

impl Lags {
    /// No lag yet.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, MAX_LAG_US, 2)
            .expect("1 to 600 s with two digits are bounds that the histogram accepts");
        Lags(Arc::new(Mutex::new(histogram)))
    }

    /// Counts one lag in microseconds. A negative one (the clock estimate has an error) counts as the shortest.
    pub fn record(&self, lag_us: i64) {
        self.lock().saturating_record(u64::try_from(lag_us).unwrap_or(0));
    }

    /// The distribution so far.
    pub fn summary(&self) -> LagSummary {
        let histogram = self.lock();
        if histogram.is_empty() {
            return LagSummary::default();
        }
        let ms = |us: u64| us as f64 / 1000.0;
        LagSummary {
            count: histogram.len(),
            p50: ms(histogram.value_at_quantile(0.50)),
            p95: ms(histogram.value_at_quantile(0.95)),
            p99: ms(histogram.value_at_quantile(0.99)),
            max: ms(histogram.max()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Histogram<u64>> {
        // A histogram is whole after every call, whatever happened to the thread that made it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_two_digits() {
        let lags = Lags::new();
        assert_eq!(lags.summary(), LagSummary::default());
        for ms in 1..=1000 {
            lags.record(ms * 1000);
        }
        lags.record(-5);
        let summary = lags.summary();
        assert_eq!(summary.count, 1001);
        assert!((summary.p50 - 500.0).abs() < 5.0, "{summary:?}");
        assert!((summary.p99 - 990.0).abs() < 10.0, "{summary:?}");
        assert!((summary.max - 1000.0).abs() < 10.0, "{summary:?}");
    }
}
