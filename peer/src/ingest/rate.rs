//! The media rate as measured.

use std::time::Duration;

use wire::{Bitrate, Time};

/// What is measured at a time. Video comes in groups of pictures; a second holds one or two of them.
const WINDOW: Duration = Duration::from_secs(1);

/// The weight of the newest window: after six of them a change of the rate is nine tenths taken over.
const WEIGHT: f64 = 0.3;

/// A change that is worth telling.
const CHANGE: f64 = 0.1;

/// Told at most this often.
const TELL_AFTER: Duration = Duration::from_secs(2);

/// At the beginning, bytes count as if they had come over at least this time: an encoder's first burst is no rate.
const BURST: Duration = Duration::from_millis(250);

/// Measures a rate and says when to tell a new one.
#[derive(Debug)]
pub(super) struct RateMeter {
    window: Option<(Time, u64)>,
    smoothed: Option<f64>,
    told: Option<(f64, Time)>,
}

impl RateMeter {
    /// Nothing measured yet.
    pub(super) fn new() -> Self {
        RateMeter {
            window: None,
            smoothed: None,
            told: None,
        }
    }

    /// Counts bytes read at `now`; returns a rate if it is time to tell a new one.
    pub(super) fn count(&mut self, now: Time, bytes: usize) -> Option<Bitrate> {
        let (since, before) = *self.window.get_or_insert((now, 0));
        let elapsed = now.since(since);
        if elapsed < WINDOW {
            self.window = Some((since, before + bytes as u64));
            return None;
        }
        // These bytes begin the next window.
        self.window = Some((now, bytes as u64));
        if elapsed > 2 * WINDOW {
            // The encoder paused: that says nothing about its rate.
            return None;
        }
        let measured = before as f64 * 8.0 / elapsed.as_secs_f64();
        let smoothed = match self.smoothed {
            Some(old) => old + WEIGHT * (measured - old),
            None => measured,
        };
        self.smoothed = Some(smoothed);
        let worth_telling = self
            .told
            .is_none_or(|(told, at)| (smoothed - told).abs() > CHANGE * told && now.since(at) >= TELL_AFTER);
        worth_telling.then(|| {
            self.told = Some((smoothed, now));
            Bitrate::from_bps(smoothed as u64)
        })
    }

    /// The rate to expect at `now`: measured, or at the beginning what came so far and at least `assumed`.
    pub(super) fn expected(&self, now: Time, assumed: Bitrate) -> Bitrate {
        match (self.smoothed, self.window) {
            (Some(smoothed), _) => Bitrate::from_bps(smoothed as u64),
            (None, Some((since, bytes))) => {
                let so_far = bytes as f64 * 8.0 / now.since(since).max(BURST).as_secs_f64();
                assumed.max(Bitrate::from_bps(so_far as u64))
            }
            (None, None) => assumed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts `rates` (bits a second), each for five seconds, and returns what was told and when (ms).
    fn told(rates: &[u64]) -> Vec<(u64, u64)> {
        let mut meter = RateMeter::new();
        let mut all = Vec::new();
        let mut ms = 0;
        for rate in rates {
            for _ in 0..500 {
                if let Some(rate) = meter.count(Time::from_millis(ms), (rate / 800) as usize) {
                    all.push((ms, rate.as_bps()));
                }
                ms += 10;
            }
        }
        all
    }

    #[test]
    fn a_steady_rate_is_told_once() {
        assert_eq!(told(&[4_000_000, 4_000_000]), [(1000, 4_000_000)]);
    }

    #[test]
    fn a_small_change_is_not_told() {
        assert_eq!(told(&[4_000_000, 4_300_000]).len(), 1);
    }

    #[test]
    fn a_large_change_is_told_within_bounds() {
        let told = told(&[4_000_000, 8_000_000, 8_000_000]);
        assert!(told.len() > 2, "{told:?}");
        assert!(
            told.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 2000),
            "{told:?}"
        );
        let last = told.last().unwrap().1;
        assert!((6_500_000..=8_000_000).contains(&last), "{told:?}");
    }

    #[test]
    fn a_rate_is_expected_from_the_beginning() {
        let mut meter = RateMeter::new();
        let assumed = Bitrate::from_kbps(4000);
        assert_eq!(meter.expected(Time::ZERO, assumed), assumed);
        let mut expected = Bitrate::ZERO;
        for ms in 0..2000 {
            meter.count(Time::from_millis(ms), 25_000);
            let now = meter.expected(Time::from_millis(ms), assumed);
            // The bytes of this very moment come on top until they are a window's first.
            assert!(now >= expected.scaled(0.99), "at {ms} ms");
            expected = now;
        }
        let mbps = expected.as_bps() / 1_000_000;
        assert!((199..=201).contains(&mbps), "{mbps}");
    }

    #[test]
    fn a_pause_is_no_rate() {
        let mut meter = RateMeter::new();
        for ms in (0..1500).step_by(10) {
            meter.count(Time::from_millis(ms), 5000);
        }
        let before = meter.smoothed;
        assert_eq!(meter.count(Time::from_millis(60_000), 5000), None);
        assert_eq!(meter.smoothed, before);
    }
}
