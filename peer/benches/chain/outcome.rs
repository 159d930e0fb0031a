//! What came of a trial, and the far end's bookkeeping that leads to it.

use std::time::Duration;

use hdrhistogram::Histogram;
use wire::Bitrate;

use crate::meter::Cost;
use crate::pattern::Pattern;

/// A stream that is later than this at its end is not live any more, whether or not a byte is missing.
const LIVE: Duration = Duration::from_secs(1);

/// Longer lags count as this one.
const MAX_LAG_US: u64 = 60_000_000;

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) duplicate: u64,
    pub(crate) wrong: u64,
    pub(crate) lag: Lag,
    pub(crate) cost: Cost,
    /// Anything else that went wrong: then the trial does not count as lossless.
    pub(crate) faults: Vec<String>,
    /// What is worth telling.
    pub(crate) notes: Vec<String>,
}

impl Outcome {
    pub(crate) const HEADINGS: &str = "chain       Mbit/s    at the end    lost B   twice B   wrong B    lag p50       p99       max   CPU-s/Gbit   cores  others";

    /// Nothing was carried at all.
    pub(crate) fn failed(fault: String, cost: Cost) -> Self {
        Outcome {
            received: 0,
            lost: 0,
            duplicate: 0,
            wrong: 0,
            lag: Lag::default(),
            cost,
            faults: vec![fault],
            notes: Vec::new(),
        }
    }

    pub(crate) fn is_lossless(&self) -> bool {
        self.lost == 0
            && self.wrong == 0
            && self.duplicate == 0
            && self.received > 0
            && self.lag.p99 <= LIVE
            && self.faults.is_empty()
    }

    /// CPU time of all peers together for each Gbit that went through the chain.
    pub(crate) fn cpu_per_gbit(&self) -> f64 {
        self.cost.cpu_seconds / (self.received as f64 * 8.0 / 1e9)
    }

    pub(crate) fn row(&self, name: &str, rate: Bitrate) -> String {
        let ms = |lag: Duration| lag.as_secs_f64() * 1000.0;
        let seconds = self.cost.measured.as_secs_f64();
        let verdict = if self.is_lossless() { "lossless" } else { "LOSSY" };
        let mut row = format!(
            "{name:<11} {:>6.0} {:>13.1} {:>9} {:>9} {:>9} {:>7.1} ms {:>6.1} ms {:>6.1} ms {:>12.2} {:>7.2} {:>7.2}  {verdict}",
            crate::mbit(rate),
            self.received as f64 * 8.0 / seconds / 1e6,
            self.lost,
            self.duplicate,
            self.wrong,
            ms(self.lag.p50),
            ms(self.lag.p99),
            ms(self.lag.max),
            self.cpu_per_gbit(),
            self.cost.cpu_seconds / seconds,
            self.cost.others,
        );
        for fault in &self.faults {
            row.push_str("; ");
            row.push_str(fault);
        }
        row
    }
}

/// From generation to the far end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lag {
    p50: Duration,
    p99: Duration,
    max: Duration,
}

/// The far end: checks each piece's place and content.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Where the stream goes on; `None` before its first piece here.
    next: Option<u64>,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) duplicate: u64,
    pub(crate) wrong: u64,
    lags: Histogram<u64>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Ledger {
            next: None,
            received: 0,
            lost: 0,
            duplicate: 0,
            wrong: 0,
            lags: Histogram::new_with_bounds(1, MAX_LAG_US, 3)
                .expect("1 µs to a minute with three digits are bounds that the histogram accepts"),
        }
    }

    /// From now on everything counts; what came before only says where the stream is.
    pub(crate) fn begin(&mut self) {
        let next = self.next;
        *self = Ledger {
            next,
            ..Ledger::new()
        };
    }

    pub(crate) fn take(&mut self, pattern: &Pattern, offset: u64, bytes: &[u8], lag: Duration) {
        let len = bytes.len() as u64;
        let next = self.next.unwrap_or(offset);
        if offset < next {
            // Not in order, or a second time: either way not what a pipe would give.
            self.duplicate += len;
            return;
        }
        self.lost += offset - next;
        self.next = Some(offset + len);
        self.received += len;
        if !pattern.matches(offset, bytes) {
            self.wrong += len;
        }
        self.lags.saturating_record(lag.as_micros() as u64);
    }

    /// The stream has ended at `offset`.
    pub(crate) fn finish(&mut self, offset: u64) {
        self.lost += offset.saturating_sub(self.next.unwrap_or(0));
    }

    pub(crate) fn lag(&self) -> Lag {
        let at = |quantile| Duration::from_micros(self.lags.value_at_quantile(quantile));
        Lag {
            p50: at(0.5),
            p99: at(0.99),
            max: Duration::from_micros(self.lags.max()),
        }
    }
}
