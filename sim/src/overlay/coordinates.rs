//! Vivaldi on measured round trips: how well a swarm that began at the origin predicts them, a newcomer after one round
//! trip, and a swarm with liars in it.

use coords::Vivaldi;
use coords::vivaldi::{Config, Probe};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::outcome::OverlayOutcome;
use super::plan::CoordsPlan;
use crate::driver::Progress;
use crate::space::PLANETLAB;

/// Half the side of the space that liars claim to be anywhere in, in milliseconds: all of it.
const ANYWHERE_MS: f64 = 512.0;

/// Relative errors |predicted - measured| / measured of all pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoordErrors {
    /// Median in a swarm that began at the origin.
    pub median_rel_error: f64,
    /// Its 90th percentile.
    pub p90_rel_error: f64,
    /// Median of newcomers that probed a few settled peers once.
    pub join_rel_error: f64,
    /// Median among the honest, with liars among all.
    pub liars_rel_error: f64,
}

/// Round trips in tenths of a millisecond, row by row.
pub(super) struct Matrix {
    nodes: usize,
    tenths: Vec<u16>,
}

impl Matrix {
    pub(super) fn planetlab() -> Self {
        let words = PLANETLAB.as_chunks::<2>().0;
        let tenths: Vec<u16> = words.iter().map(|word| u16::from_le_bytes(*word)).collect();
        Matrix {
            nodes: tenths.len().isqrt(),
            tenths,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes
    }

    pub(super) fn rtt_ms(&self, a: usize, b: usize) -> f64 {
        f64::from(self.tenths[a * self.nodes + b]) / 10.0
    }
}

/// One peer at each node of the matrix.
struct Swarm<'a> {
    plan: &'a CoordsPlan,
    matrix: &'a Matrix,
    peers: Vec<Vivaldi>,
    liar: Vec<bool>,
    rng: ChaCha8Rng,
}

impl<'a> Swarm<'a> {
    fn new(plan: &'a CoordsPlan, matrix: &'a Matrix, liars: f64, rng: &mut ChaCha8Rng) -> Self {
        let mut rng = ChaCha8Rng::from_rng(rng);
        let count = matrix.len();
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(&mut rng);
        let mut liar = vec![false; count];
        for &node in &order[..(liars * count as f64) as usize] {
            liar[node] = true;
        }
        let peers = (0..count)
            .map(|_| Vivaldi::new(Config::default(), rng.random()))
            .collect();
        Swarm {
            plan,
            matrix,
            peers,
            liar,
            rng,
        }
    }

    fn settle(&mut self) {
        let count = self.peers.len();
        let mut neighbours: Vec<Vec<usize>> = (0..count)
            .map(|node| self.draw(self.plan.neighbours, node))
            .collect();
        for round in 0..self.plan.samples {
            if round == self.plan.samples / 2 {
                // By now it knows about where it is, and has met who is near: on the ring, and in its swarms.
                for (node, neighbours) in neighbours.iter_mut().enumerate() {
                    self.meet_near(node, neighbours);
                }
            }
            for node in (0..count).filter(|&node| !self.liar[node]).collect::<Vec<_>>() {
                let of = neighbours[node][self.rng.random_range(0..neighbours[node].len())];
                let probe = self.probe(node, of);
                self.peers[node].observe(of as u64, probe.remote, probe.remote_error, probe.rtt_ms);
            }
        }
    }

    /// Replaces some neighbours by those that seem nearest.
    fn meet_near(&self, node: usize, neighbours: &mut Vec<usize>) {
        let near = (self.plan.near * neighbours.len() as f64) as usize;
        let away = |other: &usize| self.peers[node].predict_ms(&self.peers[*other].published());
        let mut others: Vec<usize> = (0..self.peers.len()).filter(|&other| other != node).collect();
        others.sort_by(|a, b| away(a).total_cmp(&away(b)));
        neighbours.truncate(neighbours.len() - near);
        others.retain(|other| !neighbours.contains(other));
        neighbours.extend(others.into_iter().take(near));
    }

    /// Different nodes, without `except`.
    fn draw(&mut self, count: usize, except: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.matrix.len()).filter(|&node| node != except).collect();
        all.shuffle(&mut self.rng);
        all.truncate(count);
        all
    }

    fn probe(&mut self, node: usize, of: usize) -> Probe {
        let late = -self.plan.jitter_ms * (1.0 - self.rng.random::<f64>()).ln();
        let mut probe = Probe {
            remote: self.peers[of].coord(),
            remote_error: self.peers[of].error(),
            rtt_ms: self.matrix.rtt_ms(node, of) + late,
        };
        if self.liar[of] {
            probe.remote.x_ms = self.rng.random_range(-ANYWHERE_MS..ANYWHERE_MS);
            probe.remote.y_ms = self.rng.random_range(-ANYWHERE_MS..ANYWHERE_MS);
            probe.remote_error = 0.0;
        }
        probe
    }

    fn honest(&self) -> impl Iterator<Item = usize> {
        (0..self.peers.len()).filter(|&node| !self.liar[node])
    }

    fn errors_of(&self, node: usize, peer: &Vivaldi) -> Vec<f64> {
        let error = |other: usize| {
            let rtt_ms = self.matrix.rtt_ms(node, other);
            (peer.predict_ms(&self.peers[other].coord()) - rtt_ms).abs() / rtt_ms
        };
        self.honest().filter(|&other| other != node).map(error).collect()
    }

    fn errors(&self) -> Vec<f64> {
        sorted(
            self.honest()
                .flat_map(|node| self.errors_of(node, &self.peers[node]))
                .collect(),
        )
    }

    fn join_errors(&mut self) -> Vec<f64> {
        let mut errors = Vec::new();
        for node in self.honest().collect::<Vec<_>>() {
            let probed = self.draw(self.plan.probes, node);
            let probes: Vec<Probe> = probed.into_iter().map(|of| self.probe(node, of)).collect();
            let mut newcomer = Vivaldi::new(Config::default(), self.rng.random());
            if newcomer.join(&probes) {
                errors.extend(self.errors_of(node, &newcomer));
            }
        }
        sorted(errors)
    }
}

/// A swarm that has settled.
pub(super) fn settle(plan: &CoordsPlan, matrix: &Matrix, rng: &mut ChaCha8Rng) -> Vec<Vivaldi> {
    let mut swarm = Swarm::new(plan, matrix, 0.0, rng);
    swarm.settle();
    swarm.peers
}

pub(super) fn run(
    plan: &CoordsPlan,
    seed: u64,
    outcome: &mut OverlayOutcome,
    progress: &mut dyn FnMut(Progress),
) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let matrix = Matrix::planetlab();
    let mut swarm = Swarm::new(plan, &matrix, 0.0, &mut rng);
    swarm.settle();
    progress(Progress {
        done_s: 1.0,
        of_s: 2.0,
        deliveries: 0,
        events: outcome.events,
    });
    let (settled, joined) = (swarm.errors(), swarm.join_errors());
    let mut among_liars = Swarm::new(plan, &matrix, plan.liars, &mut rng);
    among_liars.settle();
    let errors = CoordErrors {
        median_rel_error: quantile(&settled, 0.5),
        p90_rel_error: quantile(&settled, 0.9),
        join_rel_error: quantile(&joined, 0.5),
        liars_rel_error: quantile(&among_liars.errors(), 0.5),
    };
    for peer in swarm.peers.iter().chain(&among_liars.peers) {
        let coord = peer.coord();
        outcome.fold(coord.x_ms.to_bits());
        outcome.fold(coord.y_ms.to_bits());
    }
    outcome.peers = matrix.len();
    outcome.events += 2 * (plan.samples * matrix.len()) as u64;
    outcome.coords = Some(errors);
}

pub(super) fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which this share of them lies; 0 of none.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(0.0)
}
