//! Vivaldi: every peer finds its own coordinate from the round trips it measures, one neighbour at a time.
//!
//! # The question it answers
//! "How far am I from a peer that I have never talked to?" Each measured round trip is a spring of that
//! length between two coordinates; a peer moves a little along each spring's force, the more the less sure it
//! is of its own place and the surer the other one is of its.
//!
//! ```text
//! dist = |xi - xj| + hi + hj;   w = ei / (ei + ej);   es = |dist - rtt| / rtt
//! ei   = es*ce*w + ei*(1 - ce*w);   F = cc*w*(rtt - dist)
//! [x, h] += F * [xi - xj, hi + hj] / (|xi - xj| + hi + hj)
//! ```
//!
//! # References
//! 1. Dabek, Cox, Kaashoek, Morris, "Vivaldi: a decentralized network coordinate system", SIGCOMM 2004.
//! 2. Ledlie, Gardner, Seltzer, "Network coordinates in the wild", NSDI 2007: filtering round trips, and
//!    keeping apart the coordinate a peer computes with and the one its applications see.
//! 3. Kaafar, Mathy, Turletti, Dabbous, "Real attacks on virtual networks: Vivaldi out of tune", LSAD 2006:
//!    what liars do.

pub(crate) mod join;
mod neighbours;
mod publish;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::coord::{Coord, distance_ms, planar_distance_ms};
use crate::estimate::{self, Estimator};
pub use join::{JOIN_PROBES_MAX, Probe};
use neighbours::Neighbours;
pub use publish::PublishedCoord;

/// The longest round trip that is taken for a measurement, milliseconds. The bound of serf's
/// `coordinate/client.go`: what takes longer says something about a queue or a clock, nothing about distance.
pub const RTT_MAX_MS: f64 = 10_000.0;

/// The shortest round trip that a relative error is taken of, milliseconds. Below it the scheduling of either
/// machine is the larger part of what is measured, and nobody places anything by it; without it two peers of
/// one host would report an error of many hundred per cent for a miss of 0.1 ms. Our judgement.
pub const RTT_RESOLUTION_MS: f64 = 1.0;

/// The relative error of a peer that knows nothing, and the largest there is. Reference 1 starts at 1.
pub const ERROR_MAX: f64 = 1.0;

/// Planar distance below which two coordinates count as one point, milliseconds: 100 m of fibre.
const COINCIDENT_MS: f64 = 0.001;

/// The constants of the algorithm. [`Config::default`] is what headwater runs with; figures were measured on
/// the PlanetLab delays of `sim/data`. They are the program's own, never a peer's, so nothing checks them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// cc while unsettled: share of the spring's excess that one sample moves. Reference 1 finds 0.25
    /// converges fast without oscillating.
    pub timestep: f64,
    /// cc once settled: smaller steps, so that a coordinate stays put under jitter.
    pub timestep_settled: f64,
    /// A peer is settled when its own error is below this share. Twice the median error of a converged
    /// system.
    pub settled_error: f64,
    /// ce: weight of one sample in the own error's moving average, from reference 1.
    pub error_gain: f64,
    /// The least own height, milliseconds. Above zero, because two peers at height zero never push each other up.
    pub height_min_ms: f64,
    /// The most one sample moves a coordinate, milliseconds. A liar's claim of any size costs no more than
    /// this; an honest sample of a settled peer stays far below.
    pub force_max_ms: f64,
    /// The least error that a peer is believed to have when a sample is weighed. Another one: a liar claims
    /// certainty, to pull with all its weight. And this one: after long calm its error nears zero, and it
    /// would no longer follow when its route changes.
    pub error_min: f64,
    /// A neighbour is ignored while its residual average exceeds this many times the median of all
    /// neighbours'...
    ///
    /// The residual that judges honesty is the miss relative to the shorter of the measured and the predicted
    /// round trip, but at least to the median round trip of all neighbours. The shorter, because who answers
    /// late misses by no more than 100 % of what was measured. At least the median, because a coordinate that
    /// is off by 10 ms misses a peer 5 ms away by 200 %: that peer is near, not a liar, and its pull is worth
    /// most. With 10 % liars who answer late the median error is 9.4 %; with the miss relative to the
    /// measured round trip, 6 medians and 1.0 it was 18 %. With liars who claim random places, 9.5 % instead
    /// of 10.6 %.
    pub liar_median_factor: f64,
    /// ...and also this share, so that nobody is ignored in a system that fits well.
    pub liar_residual_min: f64,
    /// ρ of the pull toward the origin, milliseconds: each sample moves a coordinate at |x| by (|x|/ρ)² ms.
    /// Reference 2: nothing else holds the swarm as a whole in place, so it would drift, move all ring
    /// positions and press against the edge of the space in the end. It must stay weak, as it also trades
    /// planar distance for height in a peer whose neighbours are all on one side: with 1024 by some 8 %, with
    /// 512 by a quarter. PlanetLab's median error is the same with and without.
    pub gravity_rho_ms: f64,
    /// The most neighbours whose samples are remembered; a new one replaces the one not heard for longest. At
    /// about 120 bytes each. A peer measures a dozen suppliers and a few probes.
    pub neighbours_max: usize,
    /// Weight of the newest coordinate in the moving average that is published. Conflicting springs make a
    /// settled coordinate tremble around its place; the average of about 20 samples does not, predicts no
    /// worse, and is republished a third as often.
    pub publish_gain: f64,
    /// That average is published when it is further from the published coordinate than this, milliseconds...
    pub publish_min_ms: f64,
    /// ...and than this share of the nearest neighbour's round trip: a republished coordinate moves the peer
    /// on the ring, which costs messages, and is worth them only when it can change who is nearest.
    pub publish_share: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timestep: 0.25,
            timestep_settled: 0.1,
            settled_error: 0.2,
            error_gain: 0.25,
            height_min_ms: 0.1,
            force_max_ms: 25.0,
            error_min: 0.05,
            liar_median_factor: 4.0,
            liar_residual_min: 0.6,
            gravity_rho_ms: 1024.0,
            neighbours_max: 64,
            publish_gain: 0.05,
            publish_min_ms: 5.0,
            publish_share: 0.15,
        }
    }
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// The coordinate and its error were updated.
    Updated {
        /// How far the coordinate moved, milliseconds: planar distance and change of height.
        moved_ms: f64,
        /// [`Vivaldi::published`] has a new value: tell those who place by it.
        republished: bool,
    },
    /// The sample was remembered but moved nothing: what this neighbour says fits so much worse than what the
    /// others say that it lies or is broken.
    Excluded,
    /// The sample is no measurement; nothing changed.
    Rejected(Rejected),
}

/// Why a sample is no measurement. All are the sender's or the clock's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The remote coordinate has a NaN, lies outside the space or has a negative height.
    #[error("the remote coordinate lies outside the delay space")]
    Coord,
    /// The remote error is NaN, infinite or negative.
    #[error("the remote error is no share of a distance")]
    Error,
    /// The round trip is NaN, negative or longer than [`RTT_MAX_MS`].
    #[error("the round trip is not between 0 and 10 s")]
    Rtt,
}

/// One peer's own coordinate and what it remembers of its neighbours.
///
/// A value: no clock, no I/O; the randomness is its own and comes from the seed.
#[derive(Clone, Debug)]
pub struct Vivaldi {
    config: Config,
    coord: Coord,
    error: f64,
    neighbours: Neighbours,
    published: PublishedCoord,
    rng: Xoshiro256PlusPlus,
}

impl Vivaldi {
    /// A peer that knows nothing yet: at the origin, with [`ERROR_MAX`]. The seed decides nothing but the
    /// direction in which it leaves a point that it shares with another peer.
    pub fn new(config: Config, seed: u64) -> Self {
        let coord = Coord::ORIGIN.clamped(config.height_min_ms);
        Self {
            config,
            coord,
            error: ERROR_MAX,
            neighbours: Neighbours::new(config.neighbours_max),
            published: PublishedCoord::new(coord),
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
        }
    }

    /// The coordinate now. Send this one, with [`Self::error`], to whom measures a round trip to us.
    pub fn coord(&self) -> Coord {
        self.coord
    }

    /// How wrong the coordinate's predictions are, as a share of the distance, 0 to [`ERROR_MAX`].
    pub fn error(&self) -> f64 {
        self.error
    }

    /// The coordinate that the ring and the trackers place this peer by: it follows [`Self::coord`] in few,
    /// large steps, see [`Config::publish_min_ms`].
    pub fn published(&self) -> Coord {
        self.published.coord()
    }

    /// The predicted round trip to a peer at `remote`, milliseconds.
    pub fn predict_ms(&self, remote: &Coord) -> f64 {
        distance_ms(&self.coord, remote)
    }

    /// Guesses round trips with all that was measured so far, better than [`Self::predict_ms`] does: for choosing among a few peers
    /// that were not measured yet. Takes some 50 µs with 64 neighbours. Neighbours that are taken for liars are left out.
    pub fn estimator(&self) -> Estimator {
        let mut estimator = if estimate::is_lost(self.error) {
            Estimator::newcomer()
        } else {
            Estimator::new(self.coord, self.error)
        };
        let typical = self.neighbours.median_residual();
        let honest = self
            .neighbours
            .all()
            .filter(|neighbour| !self.is_liar(neighbour.residual_average(), || typical));
        for (remote, rtt_ms) in honest.filter_map(neighbours::Neighbour::last) {
            estimator.measured(remote, rtt_ms);
        }
        estimator
    }

    /// The filtered round trip to a neighbour, milliseconds: the 25th percentile of its last 8 samples.
    /// `None` when it is not, or no longer, remembered.
    pub fn rtt_ms(&self, neighbour_key: u64) -> Option<f64> {
        self.neighbours.rtt_ms(neighbour_key)
    }

    /// Forgets a neighbour that is gone, so that its old samples neither judge others nor wait for its
    /// return.
    pub fn forget(&mut self, neighbour_key: u64) {
        self.neighbours.forget(neighbour_key);
    }

    /// Takes a measured round trip to a neighbour, with the coordinate and error that it reported of itself.
    ///
    /// `neighbour_key` is any number that is the same for the same neighbour. Whatever the numbers are, this
    /// neither panics nor leaves the coordinate outside the space.
    pub fn observe(&mut self, neighbour_key: u64, remote: Coord, remote_error: f64, rtt_ms: f64) -> Outcome {
        if let Err(why) = check_sample(&remote, remote_error, rtt_ms) {
            return Outcome::Rejected(why);
        }
        let typical_rtt_ms = self.neighbours.typical_rtt_ms();
        let neighbour = self.neighbours.heard(neighbour_key);
        let rtt_ms = neighbour.sample(rtt_ms, remote);
        let predicted_ms = distance_ms(&self.coord, &remote);
        let excess_ms = rtt_ms - predicted_ms;
        if let Some(typical_rtt_ms) = typical_rtt_ms {
            let scale_ms = rtt_ms
                .min(predicted_ms)
                .max(typical_rtt_ms)
                .max(RTT_RESOLUTION_MS);
            let average = neighbour.residual(excess_ms.abs() / scale_ms);
            if self.is_liar(average, || self.neighbours.median_residual()) {
                return Outcome::Excluded;
            }
        }

        let sample_error = relative(excess_ms, rtt_ms);
        let own_error = self.error.max(self.config.error_min);
        let remote_error = remote_error.clamp(self.config.error_min, ERROR_MAX);
        let weight = own_error / (own_error + remote_error);
        let gain = self.config.error_gain * weight;
        self.error = (sample_error * gain + self.error * (1.0 - gain)).min(ERROR_MAX);
        let timestep = if self.error < self.config.settled_error {
            self.config.timestep_settled
        } else {
            self.config.timestep
        };
        let limit_ms = self.config.force_max_ms;
        let force_ms = (timestep * weight * excess_ms).clamp(-limit_ms, limit_ms);
        let before = self.coord;
        self.push(&remote, force_ms);
        self.fall();
        self.coord = self.coord.clamped(self.config.height_min_ms);
        Outcome::Updated {
            moved_ms: moved_ms(&before, &self.coord),
            republished: self.republish(),
        }
    }

    /// Finds a first coordinate in one round trip: from probes sent in parallel to peers that have settled,
    /// it computes the place that fits them all best, instead of walking there sample by sample.
    ///
    /// Uses the first [`JOIN_PROBES_MAX`] probes that are measurements; a minority of liars among five or
    /// more moves the result little. With three or fewer the place is ambiguous, which the resulting error
    /// says. What earlier samples said of neighbours' honesty is forgotten, as it was judged from another
    /// place. Returns whether anything changed: false when no probe is a measurement.
    pub fn join(&mut self, probes: &[Probe]) -> bool {
        let Some(fit) = join::fit(&self.config, probes) else {
            return false;
        };
        self.coord = fit.coord;
        self.error = fit.error;
        self.neighbours.forget_residuals();
        self.published = PublishedCoord::new(fit.coord);
        true
    }

    /// Whether a neighbour's residual average is so much worse than the others' that it lies or is broken.
    fn is_liar(&self, average: f64, median: impl FnOnce() -> f64) -> bool {
        average > self.config.liar_residual_min && average > self.config.liar_median_factor * median()
    }

    /// Moves along the force between here and `remote`, away from it when positive.
    fn push(&mut self, remote: &Coord, force_ms: f64) {
        let planar_ms = planar_distance_ms(&self.coord, remote);
        let heights_ms = self.coord.height_ms + remote.height_ms;
        if planar_ms < COINCIDENT_MS && force_ms > 0.0 {
            // No direction leads away from one's own place; without a random one, peers that start at one
            // point would stay there and blame their heights.
            let (x, y) = self.random_direction();
            self.coord.x_ms += force_ms * x;
            self.coord.y_ms += force_ms * y;
        } else {
            let step = force_ms / (planar_ms + heights_ms).max(COINCIDENT_MS);
            self.coord.x_ms += step * (self.coord.x_ms - remote.x_ms);
            self.coord.y_ms += step * (self.coord.y_ms - remote.y_ms);
            self.coord.height_ms += step * heights_ms;
        }
    }

    /// Moves toward the origin by gravity.
    fn fall(&mut self) {
        let rho_ms = self.config.gravity_rho_ms;
        let share = planar_distance_ms(&self.coord, &Coord::ORIGIN) / (rho_ms * rho_ms);
        self.coord.x_ms -= share * self.coord.x_ms;
        self.coord.y_ms -= share * self.coord.y_ms;
    }

    fn republish(&mut self) -> bool {
        let (config, neighbours) = (&self.config, &self.neighbours);
        self.published
            .follow(config, &self.coord, || neighbours.nearest_rtt_ms())
    }

    /// A unit vector, all directions alike. Draws points of the square until one is in the disc: no sine,
    /// whose last bit differs between platforms.
    fn random_direction(&mut self) -> (f64, f64) {
        loop {
            let (x, y) = (
                self.rng.random_range(-1.0..1.0f64),
                self.rng.random_range(-1.0..1.0f64),
            );
            let length = (x * x + y * y).sqrt();
            if (0.1..1.0).contains(&length) {
                return (x / length, y / length);
            }
        }
    }
}

/// How far apart two coordinates of one peer are: by how much its predicted distance to anyone can differ.
fn moved_ms(from: &Coord, to: &Coord) -> f64 {
    planar_distance_ms(from, to) + (from.height_ms - to.height_ms).abs()
}

/// A miss as a share of what was measured.
fn relative(miss_ms: f64, rtt_ms: f64) -> f64 {
    miss_ms.abs() / rtt_ms.max(RTT_RESOLUTION_MS)
}

pub(crate) fn check_sample(remote: &Coord, remote_error: f64, rtt_ms: f64) -> Result<(), Rejected> {
    if !remote.is_valid() {
        return Err(Rejected::Coord);
    }
    if !(remote_error.is_finite() && remote_error >= 0.0) {
        return Err(Rejected::Error);
    }
    if !(0.0..=RTT_MAX_MS).contains(&rtt_ms) {
        return Err(Rejected::Rtt);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
