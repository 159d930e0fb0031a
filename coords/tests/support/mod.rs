//! Worlds of known round trips, and a swarm of peers that measures them.

// Every test file compiles its own copy and uses its own part of it.
#![allow(dead_code, unreachable_pub)]
// The seed of a failing test is in its output.
#![allow(clippy::print_stdout)]

use std::path::Path;

use headwater_coords::Vivaldi;
use headwater_coords::vivaldi::{Config, Outcome, Probe};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// The round trip of every pair, milliseconds.
pub struct World {
    rtts_ms: Vec<Vec<f64>>,
}

impl World {
    /// `nodes` nodes, each pair's round trip by this function of their numbers, lower number first.
    pub fn new(nodes: usize, rtt_ms: impl Fn(usize, usize) -> f64) -> Self {
        let entry = |i: usize, j: usize| if i == j { 0.0 } else { rtt_ms(i.min(j), i.max(j)) };
        Self {
            rtts_ms: (0..nodes)
                .map(|i| (0..nodes).map(|j| entry(i, j)).collect())
                .collect(),
        }
    }

    /// Points of the plane, milliseconds.
    pub fn plane(points: &[(f64, f64)]) -> Self {
        Self::new(points.len(), |i, j| {
            let (dx, dy) = (points[i].0 - points[j].0, points[i].1 - points[j].1);
            (dx * dx + dy * dy).sqrt()
        })
    }

    /// The 245 PlanetLab nodes of the simulator's data.
    pub fn planetlab() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/data/planetlab490.u16");
        let bytes = std::fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        let rtts_ms: Vec<f64> = bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|tenths| f64::from(u16::from_le_bytes(*tenths)) / 10.0)
            .collect();
        assert_eq!(rtts_ms.len(), 245 * 245);
        Self {
            rtts_ms: rtts_ms.chunks(245).map(<[f64]>::to_vec).collect(),
        }
    }

    pub fn len(&self) -> usize {
        self.rtts_ms.len()
    }

    pub fn rtt_ms(&self, i: usize, j: usize) -> f64 {
        self.rtts_ms[i][j]
    }
}

/// What a lying peer does to a sample that another takes of it: its own report and the time it takes to answer.
pub type Lie = fn(&mut Xoshiro256PlusPlus, &mut Probe);

/// One peer a node of a world.
pub struct Swarm<'a> {
    world: &'a World,
    pub peers: Vec<Vivaldi>,
    liars: Vec<bool>,
    lie: Lie,
    neighbours: Vec<Vec<usize>>,
    rng: Xoshiro256PlusPlus,
    /// Samples ignored so far: of liars, of honest peers.
    pub excluded: [usize; 2],
}

impl<'a> Swarm<'a> {
    /// A cold swarm: every peer at the origin, with up to 32 random neighbours.
    pub fn new(world: &'a World, seed: u64) -> Self {
        Self::with_liars(world, seed, Config::default(), 0.0, |_, _| ())
    }

    /// The same, of this configuration and with this share of liars.
    pub fn with_liars(world: &'a World, seed: u64, config: Config, share: f64, lie: Lie) -> Self {
        println!("seed {seed}");
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let nodes = world.len();
        let neighbours = (0..nodes).map(|i| draw(&mut rng, nodes, 32, i)).collect();
        let mut liars = vec![false; nodes];
        for i in draw(&mut rng, nodes, (share * nodes as f64) as usize, nodes) {
            liars[i] = true;
        }
        let peers = (0..nodes)
            .map(|i| Vivaldi::new(config, seed * 10_000 + i as u64))
            .collect();
        Self {
            world,
            peers,
            liars,
            lie,
            neighbours,
            rng,
            excluded: [0; 2],
        }
    }

    /// Every honest peer takes `rounds` samples, each of a random neighbour. Returns how often one republished.
    pub fn run(&mut self, rounds: usize) -> usize {
        let mut republished = 0;
        for _ in 0..rounds {
            for i in (0..self.peers.len())
                .filter(|&i| !self.liars[i])
                .collect::<Vec<_>>()
            {
                let j = self.neighbours[i][self.rng.random_range(0..self.neighbours[i].len())];
                let sample = self.sample(i, j);
                let outcome =
                    self.peers[i].observe(j as u64, sample.remote, sample.remote_error, sample.rtt_ms);
                match outcome {
                    Outcome::Updated {
                        republished: told, ..
                    } => republished += usize::from(told),
                    Outcome::Excluded => self.excluded[usize::from(!self.liars[j])] += 1,
                    Outcome::Rejected(why) => panic!("{why}: {sample:?}"),
                }
            }
        }
        republished
    }

    /// What i measures of j.
    fn sample(&mut self, i: usize, j: usize) -> Probe {
        let (peer, rtt_ms) = (&self.peers[j], self.world.rtt_ms(i, j));
        let mut sample = Probe {
            remote: peer.coord(),
            remote_error: peer.error(),
            rtt_ms,
        };
        if self.liars[j] {
            (self.lie)(&mut self.rng, &mut sample);
        }
        sample
    }

    /// Relative errors of what honest peers predict of each other.
    pub fn errors(&self) -> Errors {
        Errors::of(self.honest().flat_map(|i| self.misses(i, &self.peers[i])))
    }

    /// Relative errors of the published coordinates.
    pub fn published_errors(&self) -> Errors {
        Errors::of(self.pairs().map(|(i, j)| {
            let (a, b) = (self.peers[i].published(), self.peers[j].published());
            miss(
                headwater_coords::coord::distance_ms(&a, &b),
                self.world.rtt_ms(i, j),
            )
        }))
    }

    /// Relative errors of newcomers: every honest peer's node anew, from probes of `probes` random peers alone.
    pub fn join_errors(&mut self, probes: usize) -> Errors {
        let mut misses = Vec::new();
        for i in self.honest().collect::<Vec<_>>() {
            let probed = draw(&mut self.rng, self.peers.len(), probes, i);
            let probes: Vec<Probe> = probed.into_iter().map(|j| self.sample(i, j)).collect();
            let mut newcomer = Vivaldi::new(Config::default(), 0);
            assert!(newcomer.join(&probes));
            misses.extend(self.misses(i, &newcomer));
        }
        Errors::of(misses.into_iter())
    }

    fn honest(&self) -> impl Iterator<Item = usize> {
        (0..self.peers.len()).filter(|&i| !self.liars[i])
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.honest()
            .flat_map(|i| self.honest().filter(move |&j| j != i).map(move |j| (i, j)))
    }

    /// What `peer`, at node i, misses of the honest others.
    fn misses(&self, i: usize, peer: &Vivaldi) -> Vec<f64> {
        let others = self.honest().filter(|&j| j != i);
        others
            .map(|j| miss(peer.predict_ms(&self.peers[j].coord()), self.world.rtt_ms(i, j)))
            .collect()
    }
}

/// Relative errors, sorted.
pub struct Errors(Vec<f64>);

impl Errors {
    fn of(misses: impl Iterator<Item = f64>) -> Self {
        let mut misses: Vec<f64> = misses.collect();
        misses.sort_by(f64::total_cmp);
        Self(misses)
    }

    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    pub fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    pub fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

fn miss(predicted_ms: f64, rtt_ms: f64) -> f64 {
    (predicted_ms - rtt_ms).abs() / rtt_ms
}

/// Up to `count` different numbers below `nodes`, without `except`.
fn draw(rng: &mut Xoshiro256PlusPlus, nodes: usize, count: usize, except: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..nodes).filter(|&i| i != except).collect();
    for i in 0..count.min(all.len()) {
        let other = rng.random_range(i..all.len());
        all.swap(i, other);
    }
    all.truncate(count);
    all
}
