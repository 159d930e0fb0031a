//! A first coordinate from a handful of parallel probes.
//!
//! Minimises the sum of the probes' relative misses. Absolute values, not squares: a lie then costs what a
//! vote costs. For a point of the plane the best height is a weighted median, in closed form; what is left is
//! a search in the plane, which needs no derivative and, on so few springs, no cleverness: a coarse grid,
//! then ever finer steps.

use super::{Config, ERROR_MAX, RTT_RESOLUTION_MS, check_sample, relative};
use crate::coord::{Coord, HALF_SIDE_MS, distance_ms, planar_distance_ms};

/// Probes that a join uses at most. With 8 the median error on PlanetLab is 9.5 %, close to a settled peer's
/// 8.3 % (with 4 it is 14 %), and they fit one flight of packets.
pub const JOIN_PROBES_MAX: usize = 8;

/// One measured round trip to a settled peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// Its coordinate, as it reported it.
    pub remote: Coord,
    /// Its error, as it reported it.
    pub remote_error: f64,
    /// The round trip, milliseconds.
    pub rtt_ms: f64,
}

/// Where the probes say we are.
pub(crate) struct Fit {
    pub(crate) coord: Coord,
    pub(crate) error: f64,
}

/// Intervals of the coarse grid a side: its points are 64 ms apart, finer than the valleys of so few springs
/// are wide.
const GRID: u32 = 16;

/// The fine search ends when its step is below this, milliseconds: well under what a round trip can tell.
const STEP_MIN_MS: f64 = 0.05;

/// Rounds of the fine search at most. It needs about 30; made-up probes must not make it crawl.
const ROUNDS_MAX: usize = 256;

/// The error of a fit that has as many unknowns as probes: it matches whatever it is told, and its mirror
/// image does too.
pub(crate) const UNDETERMINED_ERROR: f64 = 0.5;

/// The coordinate's unknowns: x, y and height.
const UNKNOWNS: usize = 3;

/// The coordinate with the least sum of weighted misses; `None` when no probe is a measurement.
pub(crate) fn fit(config: &Config, probes: &[Probe]) -> Option<Fit> {
    let measured = |probe: &&Probe| check_sample(&probe.remote, probe.remote_error, probe.rtt_ms).is_ok();
    let probes: Vec<Probe> = probes
        .iter()
        .filter(measured)
        .take(JOIN_PROBES_MAX)
        .copied()
        .collect();
    if probes.is_empty() {
        return None;
    }
    let mut search = Search::new(config, &probes);
    let interval_ms = 2.0 * HALF_SIDE_MS / f64::from(GRID);
    let at = |i: u32| f64::from(i) * interval_ms - HALF_SIDE_MS;
    for i in 0..=GRID {
        for j in 0..=GRID {
            search.try_point(at(i), at(j));
        }
    }
    let mut step_ms = interval_ms / 2.0;
    for _ in 0..ROUNDS_MAX {
        if !search.try_around(step_ms) {
            step_ms /= 2.0;
        }
        if step_ms < STEP_MIN_MS {
            break;
        }
    }
    let coord = search.best;
    Some(Fit {
        coord,
        error: fit_error(config, &coord, &probes),
    })
}

/// How wrong the fit is likely to be: the median of the misses, without as many of the least as there are
/// unknowns. A fit by absolute values meets those probes exactly, which says nothing of others.
fn fit_error(config: &Config, coord: &Coord, probes: &[Probe]) -> f64 {
    if probes.len() <= UNKNOWNS {
        return UNDETERMINED_ERROR;
    }
    let miss = |probe: &Probe| relative(probe.rtt_ms - distance_ms(coord, &probe.remote), probe.rtt_ms);
    let mut misses: Vec<f64> = probes.iter().map(miss).collect();
    misses.sort_by(f64::total_cmp);
    misses[(misses.len() + UNKNOWNS) / 2].clamp(config.error_min, ERROR_MAX)
}

/// The search's springs and the best coordinate so far.
struct Search {
    /// The peers probed, the round trips in milliseconds and the springs' weights.
    springs: Vec<(Coord, f64, f64)>,
    height_min_ms: f64,
    best: Coord,
    cost: f64,
    /// What the round trips leave for the height at the point being tried, milliseconds, with the weights.
    left_ms: Vec<(f64, f64)>,
}

impl Search {
    fn new(config: &Config, probes: &[Probe]) -> Self {
        let weight = |probe: &Probe| {
            // Settled peers count alike, whatever certainty they claim: on PlanetLab with 10 % liars, who
            // claim the most, that leaves 15 % error where weights by claimed errors leave 20 %.
            let error = probe.remote_error.clamp(config.settled_error, ERROR_MAX);
            1.0 / (error * probe.rtt_ms.max(RTT_RESOLUTION_MS))
        };
        Self {
            springs: probes
                .iter()
                .map(|probe| (probe.remote, probe.rtt_ms, weight(probe)))
                .collect(),
            height_min_ms: config.height_min_ms,
            best: Coord::ORIGIN.clamped(config.height_min_ms),
            cost: f64::INFINITY,
            left_ms: Vec::with_capacity(probes.len()),
        }
    }

    /// Tries the eight points a step away from the best one; whether one is better.
    fn try_around(&mut self, step_ms: f64) -> bool {
        let (from, cost) = (self.best, self.cost);
        for dx in [-step_ms, 0.0, step_ms] {
            for dy in [-step_ms, 0.0, step_ms] {
                self.try_point(from.x_ms + dx, from.y_ms + dy);
            }
        }
        self.cost < cost
    }

    /// Keeps a point, with its best height, when its misses weigh less than those of the best one so far.
    fn try_point(&mut self, x_ms: f64, y_ms: f64) {
        let mut coord = Coord {
            x_ms,
            y_ms,
            height_ms: 0.0,
        }
        .clamped(0.0);
        self.left_ms.clear();
        for (remote, rtt_ms, weight) in &self.springs {
            let left_ms = rtt_ms - remote.height_ms - planar_distance_ms(&coord, remote);
            self.left_ms.push((left_ms, *weight));
        }
        coord.height_ms = weighted_median(&mut self.left_ms).max(0.0);
        coord = coord.clamped(self.height_min_ms);
        let cost = self
            .left_ms
            .iter()
            .map(|(left_ms, weight)| weight * (left_ms - coord.height_ms).abs())
            .sum();
        if cost < self.cost {
            (self.best, self.cost) = (coord, cost);
        }
    }
}

/// The value with half of the weight on either side, of (value, weight); 0 of none. Sorts them.
fn weighted_median(values: &mut [(f64, f64)]) -> f64 {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut left = values.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    for (value, weight) in values.iter() {
        left -= weight;
        if left <= 0.0 {
            return *value;
        }
    }
    values.last().map_or(0.0, |(value, _)| *value)
}

#[cfg(test)]
mod tests;
