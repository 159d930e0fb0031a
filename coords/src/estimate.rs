//! Better guesses of round trips for one decision: coordinates, corrected by what they got wrong nearby.
//!
//! # The question it answers
//! "Which of these few peers is the nearest, and which are worth a probe?" Two coordinates predict a round trip; where the
//! network does not fit the plane they do so badly, and always in the same way: who misses one peer in Japan by 40 ms misses
//! the next one there by as much. So what was measured says something about what was not. The misses of all peers that were
//! measured are taken for samples of a field over the delay space, and the field is guessed at other places by kriging: a
//! weighted mean of the misses, the near ones weighing most, and how far off that mean may be.
//!
//! ```text
//! k(a, b) = (1 + d(a, b) / L)^-2,  d = planar distance + |difference of heights|
//! rtt(x)  = distance(me, x) + k(x, .) (K + noise)^-1 misses        spread(x)^2 = s^2 (1 - k(x, .) (K + noise)^-1 k(., x))
//! ```
//!
//! On the PlanetLab delays the nearest by such a guess, of 16 trackers, is 13.5 ms beyond the nearest there is, on average, and the
//! nearest by coordinates alone 21 ms.
//!
//! # References
//! 1. Rasmussen, Williams, "Gaussian processes for machine learning", MIT Press 2006, algorithm 2.1. The kernel is a mixture of
//!    exponentials of all lengths, so it is positive definite, and it needs no exponential function, whose last bit differs between
//!    platforms.
//! 2. Desautels, Krause, Burdick, "Parallelizing exploration-exploitation tradeoffs in Gaussian process bandit optimization",
//!    JMLR 15 (2014): a batch of probes is chosen one by one, each as if those before had measured what is expected
//!    ([`Estimator::suppose`]).

use crate::coord::{Coord, distance_ms, planar_distance_ms};
use crate::vivaldi::join::{self, Fit, UNDETERMINED_ERROR};
use crate::vivaldi::{Config, ERROR_MAX, Probe, check_sample};

/// L, the distance at which a miss says a quarter about another, milliseconds. On PlanetLab 50 to 400 do nearly the same.
const LENGTH_MS: f64 = 200.0;

/// Share of a miss's variance that is its own: jitter, and coordinates that have moved since. On PlanetLab 0.01 to 0.05 do the same.
const NOISE: f64 = 0.02;

/// Measurements held at most: twice the neighbours that [`Config::neighbours_max`] lets a peer remember. Work grows with the square.
const MEASURED_MAX: usize = 128;

/// The own error counts as so many misses when the spread is worked out: few measurements alone say little about it.
const PRIOR_MISSES: f64 = 4.0;

/// A guessed round trip.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// The likeliest, milliseconds; not below zero.
    pub rtt_ms: f64,
    /// How far off that may be, milliseconds: a standard deviation.
    pub spread_ms: f64,
}

impl Estimate {
    /// What it is if it is `by` standard deviations better than expected, milliseconds; not below zero.
    pub fn at_best_ms(&self, by: f64) -> f64 {
        (self.rtt_ms - by * self.spread_ms).max(0.0)
    }
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    remote: Coord,
    rtt_ms: f64,
}

/// Guesses the round trips between one peer and others. Made anew for each decision by [`Vivaldi::estimator`], which
/// knows what that peer has measured so far.
///
/// [`Vivaldi::estimator`]: crate::Vivaldi::estimator
#[derive(Clone, Debug, Default)]
pub struct Estimator {
    /// Own place; `None` as long as it is not known.
    me: Option<Coord>,
    /// Of the own place.
    error: f64,
    /// Whether the own place is made from what is measured here.
    fits: bool,
    measured: Vec<Measured>,
    /// Places of the measurements, and of those that are supposed.
    places: Vec<Coord>,
    /// The lower triangle of the Cholesky factor of K + noise, row by row.
    factor: Vec<f64>,
    /// That factor's solution for the misses.
    solved: Vec<f64>,
    /// s, milliseconds.
    scale_ms: f64,
}

impl Estimator {
    /// For a peer at `me`, whose predictions are wrong by a share of `error`. An error of 0 is believed: predictions are exact then.
    pub fn new(me: Coord, error: f64) -> Self {
        Estimator {
            me: Some(me),
            error: if error.is_finite() {
                error.clamp(0.0, ERROR_MAX)
            } else {
                ERROR_MAX
            },
            ..Estimator::default()
        }
    }

    /// For a peer that does not know where it is. Each measurement gives it a place, the better the more there are; before the first
    /// all peers seem equally far.
    pub fn newcomer() -> Self {
        Estimator {
            fits: true,
            error: ERROR_MAX,
            ..Estimator::default()
        }
    }

    /// Takes a measured round trip to a peer at `remote`. What is no measurement, or one too many, is passed over.
    pub fn measured(&mut self, remote: Coord, rtt_ms: f64) {
        if check_sample(&remote, 0.0, rtt_ms).is_err() || self.measured.len() >= MEASURED_MAX {
            return;
        }
        self.forget_supposed();
        self.measured.push(Measured { remote, rtt_ms });
        self.extend(remote);
        if self.fits {
            self.fit();
        }
        self.solve();
    }

    /// Goes on as if the peer at `remote` had been measured and was as far as expected: what is near it is less uncertain then.
    /// Until the next measurement.
    pub fn suppose(&mut self, remote: Coord) {
        self.extend(remote);
        // A miss that is as expected adds nothing to the solution.
        self.solved.push(0.0);
    }

    /// The guess for a peer at `remote`.
    pub fn estimate(&self, remote: &Coord) -> Estimate {
        let predicted_ms = self.me.map_or(0.0, |me| distance_ms(&me, remote));
        let row = self.row(remote);
        let miss_ms: f64 = row.iter().zip(&self.solved).map(|(a, b)| a * b).sum();
        let known: f64 = row.iter().map(|a| a * a).sum();
        Estimate {
            rtt_ms: (predicted_ms + miss_ms).max(0.0),
            spread_ms: self.scale_ms() * (1.0 - known).max(0.0).sqrt(),
        }
    }

    fn scale_ms(&self) -> f64 {
        /// A round trip halfway around the earth, for who has measured none.
        const ANY_MS: f64 = 200.0;
        if self.measured.is_empty() {
            self.error * ANY_MS
        } else {
            self.scale_ms
        }
    }

    fn forget_supposed(&mut self) {
        let count = self.measured.len();
        self.places.truncate(count);
        self.solved.truncate(count);
        self.factor.truncate(count * (count + 1) / 2);
    }

    /// Adds a place to the factor.
    fn extend(&mut self, remote: Coord) {
        let row = self.row(&remote);
        let known: f64 = row.iter().map(|a| a * a).sum();
        self.factor.extend_from_slice(&row);
        // At least the noise is left, whatever rounding does.
        self.factor.push((1.0 + NOISE - known).max(NOISE / 2.0).sqrt());
        self.places.push(remote);
    }

    /// The factor's solution for the kernel between `remote` and all places.
    fn row(&self, remote: &Coord) -> Vec<f64> {
        let mut row: Vec<f64> = Vec::with_capacity(self.places.len() + 1);
        for (place, (factors, pivot)) in self.places.iter().zip(self.rows()) {
            let known: f64 = factors.iter().zip(&row).map(|(a, b)| a * b).sum();
            row.push((kernel(place, remote) - known) / pivot);
        }
        row
    }

    /// Each row of the factor: what is left of the diagonal, and the diagonal.
    fn rows(&self) -> impl Iterator<Item = (&[f64], f64)> {
        (0..self.places.len()).map(|n| {
            let start = n * (n + 1) / 2;
            (&self.factor[start..start + n], self.factor[start + n])
        })
    }

    /// Works the solution for the misses, and their scale, out anew.
    fn solve(&mut self) {
        let count = self.measured.len() as f64;
        let mut solved: Vec<f64> = Vec::with_capacity(self.places.len());
        let (mut squares, mut sum_ms) = (0.0, 0.0);
        for (measured, (factors, pivot)) in self.measured.iter().zip(self.rows()) {
            let predicted_ms = self.me.map_or(0.0, |me| distance_ms(&me, &measured.remote));
            let miss_ms = measured.rtt_ms - predicted_ms;
            let known: f64 = factors.iter().zip(&solved).map(|(a, b)| a * b).sum();
            solved.push((miss_ms - known) / pivot);
            squares += miss_ms * miss_ms;
            sum_ms += measured.rtt_ms;
        }
        self.solved = solved;
        let prior_ms = self.error * sum_ms / count;
        self.scale_ms = ((PRIOR_MISSES * prior_ms * prior_ms + squares) / (PRIOR_MISSES + count)).sqrt();
    }

    /// Takes the place that fits the measurements best.
    fn fit(&mut self) {
        let probes: Vec<Probe> = self
            .measured
            .iter()
            .map(|measured| Probe {
                remote: measured.remote,
                remote_error: 0.0,
                rtt_ms: measured.rtt_ms,
            })
            .collect();
        if let Some(Fit { coord, error }) = join::fit(&Config::default(), &probes) {
            self.me = Some(coord);
            self.error = error;
        }
    }
}

/// Whether a place with this error says nothing yet, so that one made from a few probes is better.
pub(crate) fn is_lost(error: f64) -> bool {
    error >= UNDETERMINED_ERROR
}

/// How much the miss at one place says of that at another, 0 to 1.
fn kernel(a: &Coord, b: &Coord) -> f64 {
    let apart_ms = planar_distance_ms(a, b) + (a.height_ms - b.height_ms).abs();
    let root = 1.0 / (1.0 + apart_ms / LENGTH_MS);
    root * root
}

#[cfg(test)]
mod tests;
