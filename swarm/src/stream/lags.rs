//! How late each substream comes, on the peercaster's clock.

use wire::message::NO_LAG;
use wire::{Substream, Time};

use super::Stream;

/// Added to a lag that is only foreseen: whoever has the choice takes a supplier whose chunks flow.
const UNPROVEN_US: f64 = 300_000.0;

/// The lags of all substreams at one moment: what they have in common is reckoned once.
pub(super) struct Lags<'a> {
    stream: &'a Stream,
    now: Time,
    /// At the peercaster that of all.
    own_us: Option<f64>,
    /// The peercaster's clock minus this node's.
    offset_us: Option<i64>,
    /// A substream that is silent no longer than this is as late as it was.
    usual_silence_us: f64,
}

impl Lags<'_> {
    /// Arrival lag of a substream in microseconds, grown by its silence.
    pub(super) fn us(&self, substream: Substream) -> Option<f64> {
        if self.own_us.is_some() {
            return self.own_us;
        }
        let sub = self.stream.sub(substream)?;
        let Some(last) = sub.last_arrival.filter(|_| sub.measured) else {
            let asked = sub.parent.is_some() || sub.pending.is_some();
            return asked.then_some(sub.expected_us + UNPROVEN_US);
        };
        let offset = self.offset_us?;
        let silence = self.now.since(last).as_micros() as f64 - self.usual_silence_us;
        Some((sub.delay_us + offset as f64 + silence.max(0.0)).max(0.0))
    }
}

impl Stream {
    /// The substreams' lags at `now`.
    pub(super) fn lags(&self, now: Time) -> Lags<'_> {
        Lags {
            stream: self,
            now,
            own_us: self
                .source
                .as_ref()
                .map(|_| self.chunk_duration().as_micros() as f64),
            offset_us: self.clock.estimate(now).map(|estimate| estimate.offset_us),
            usual_silence_us: 1.5 * self.period().as_micros() as f64,
        }
    }

    /// Arrival lag of a substream on the peercaster's clock, in microseconds, grown by its silence.
    pub(crate) fn lag_us(&self, substream: Substream, now: Time) -> Option<f64> {
        self.lags(now).us(substream)
    }

    /// Mean arrival lag over the substreams, in milliseconds.
    pub(crate) fn mean_lag_ms(&self, now: Time) -> Option<u16> {
        let lags = self.lags(now);
        let known = (0..self.k()).filter_map(|s| lags.us(Substream(s)));
        let (sum, of) = known.fold((0.0, 0u32), |(sum, of), us| (sum + us, of + 1));
        let mean = sum / f64::from(of) / 1000.0;
        (of > 0).then(|| mean.min(f64::from(NO_LAG - 1)) as u16)
    }
}
