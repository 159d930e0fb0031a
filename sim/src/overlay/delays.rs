//! Where members are: the round trips between them, and their coordinates.

use coords::coord::distance_ms;
use coords::{Coord, Estimator, Vivaldi};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::coordinates::{self, Matrix};
use super::plan::{CoordsPlan, RingSpace};

/// Half the side of the square, in milliseconds.
const HALF_SIDE_MS: f64 = 150.0;

/// Groups in the clustered space, and how far their members are spread on each axis, in milliseconds.
const CLUSTERS: usize = 32;
const SPREAD_MS: f64 = 8.0;

/// Each member's access line, as a coordinate's height, in milliseconds.
const ACCESS_MS: f64 = 1.0;

/// The members' places. A number is given once and never again.
pub(super) struct Delays {
    kind: Kind,
    coords: Vec<Coord>,
}

enum Kind {
    Plane {
        centres: Vec<(f64, f64)>,
    },
    Measured {
        matrix: Matrix,
        settled: Vec<Vivaldi>,
        nodes: Vec<usize>,
    },
}

impl Delays {
    pub(super) fn new(space: RingSpace, rng: &mut ChaCha8Rng) -> Self {
        let mut within = |side: f64| rng.random_range(-side..side);
        let kind = match space {
            RingSpace::Uniform => Kind::Plane { centres: Vec::new() },
            RingSpace::Clustered => Kind::Plane {
                centres: (0..CLUSTERS)
                    .map(|_| (within(HALF_SIDE_MS), within(HALF_SIDE_MS)))
                    .collect(),
            },
            RingSpace::PlanetLab => {
                let matrix = Matrix::planetlab();
                let settled = coordinates::settle(&CoordsPlan::default(), &matrix, rng);
                Kind::Measured {
                    matrix,
                    settled,
                    nodes: Vec::new(),
                }
            }
        };
        Delays {
            kind,
            coords: Vec::new(),
        }
    }

    /// One more member, and where it believes to be.
    pub(super) fn add(&mut self, rng: &mut ChaCha8Rng) -> Coord {
        let coord = match &mut self.kind {
            Kind::Plane { centres } => {
                let (centre, spread) = match centres.len() {
                    0 => ((0.0, 0.0), HALF_SIDE_MS),
                    count => (centres[rng.random_range(0..count)], SPREAD_MS),
                };
                let mut at = |centre: f64| centre + rng.random_range(-spread..spread);
                Coord {
                    x_ms: at(centre.0),
                    y_ms: at(centre.1),
                    height_ms: ACCESS_MS,
                }
            }
            Kind::Measured {
                matrix,
                settled,
                nodes,
            } => {
                // Each node once, and then, where members come and go, any.
                let node = match nodes.len() {
                    taken if taken < matrix.len() => taken,
                    _ => rng.random_range(0..matrix.len()),
                };
                nodes.push(node);
                settled[node].coord()
            }
        };
        self.coords.push(coord);
        coord
    }

    /// Says how the newest member tells others where it is: rounded to what a message holds.
    pub(super) fn believe(&mut self, coord: Coord) {
        if let Some(newest) = self.coords.last_mut() {
            *newest = coord;
        }
    }

    /// Where a member believes to be.
    pub(super) fn coord(&self, member: u32) -> &Coord {
        &self.coords[member as usize]
    }

    /// What a member guesses round trips with.
    pub(super) fn estimator(&self, member: u32) -> Estimator {
        match &self.kind {
            Kind::Plane { .. } => Estimator::new(*self.coord(member), 0.0),
            Kind::Measured { settled, nodes, .. } => settled[nodes[member as usize]].estimator(),
        }
    }

    /// The round trip, in milliseconds.
    pub(super) fn rtt_ms(&self, a: u32, b: u32) -> f64 {
        match &self.kind {
            Kind::Plane { .. } => distance_ms(self.coord(a), self.coord(b)),
            Kind::Measured { matrix, nodes, .. } => matrix.rtt_ms(nodes[a as usize], nodes[b as usize]),
        }
    }
}
