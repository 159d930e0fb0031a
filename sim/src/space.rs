//! Delay spaces: where peers are and how long a packet takes between two of them.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::scenario::{ScenarioError, SourcePlace, Space};
use crate::time::{MS, ms};
use crate::words::plain;

/// The PlanetLab matrix in the box; `data/README.md` has its origin and licence.
pub(crate) const PLANETLAB: &[u8] = include_bytes!("../data/planetlab490.u16");

/// Unit of a matrix file as one-way delay: half of 0.1 ms.
const MATRIX_UNIT_NS: u64 = MS / 20;

/// From here on a matrix entry says "missing" or "too long to say".
const MATRIX_RESERVED: u16 = 65_534;

/// Largest matrix: 20 000 nodes take 800 MB.
const MAX_MATRIX_NODES: usize = 20_000;

/// Least one-way delay between two hosts, for peers drawn at the same spot: two hosts in one building.
const LEAST_NS: u64 = MS / 20;

/// Where one peer is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    /// Coordinates in milliseconds; unused in a matrix.
    x: f64,
    y: f64,
    /// Index into the matrix; unused in a plane.
    node: u32,
    /// Its access line, one way.
    access_ns: u64,
}

#[derive(Debug)]
enum Shape {
    Plane {
        width: f64,
        height: f64,
        /// Empty when places are uniform.
        centres: Vec<(f64, f64)>,
        spread: f64,
    },
    Matrix {
        nodes: usize,
        rtt: Vec<u16>,
        /// The order in which nodes are given to peers; the peercaster's is not in it.
        order: Vec<u32>,
        next: usize,
    },
}

/// The places of all peers of a run; the peercaster is number 0.
#[derive(Debug)]
pub(crate) struct DelaySpace {
    shape: Shape,
    access_ms: f64,
    places: Vec<Place>,
    rng: ChaCha8Rng,
}

impl DelaySpace {
    /// The space with the peercaster in it.
    pub(crate) fn new(space: &Space, mut rng: ChaCha8Rng) -> Result<Self, ScenarioError> {
        let (shape, access_ms, source) = match space {
            Space::Rectangle {
                width_ms,
                height_ms,
                source,
                access_ms,
            } => {
                let shape = Shape::Plane {
                    width: *width_ms,
                    height: *height_ms,
                    centres: Vec::new(),
                    spread: 0.0,
                };
                (shape, *access_ms, *source)
            }
            Space::Clusters {
                width_ms,
                height_ms,
                clusters,
                spread_ms,
                source,
                access_ms,
            } => {
                let mut centre = || (width_ms * rng.random::<f64>(), height_ms * rng.random::<f64>());
                let centres = (0..*clusters).map(|_| centre()).collect();
                let shape = Shape::Plane {
                    width: *width_ms,
                    height: *height_ms,
                    centres,
                    spread: *spread_ms,
                };
                (shape, *access_ms, *source)
            }
            Space::Matrix {
                file,
                source,
                access_ms,
            } => (matrix(file, *source, &mut rng)?, *access_ms, *source),
        };
        let mut space = DelaySpace {
            shape,
            access_ms,
            places: Vec::new(),
            rng,
        };
        space.place_source(source);
        Ok(space)
    }

    fn place_source(&mut self, source: SourcePlace) {
        let place = match &self.shape {
            Shape::Plane { width, height, .. } => match source {
                SourcePlace::Centre => Place {
                    x: width / 2.0,
                    y: height / 2.0,
                    node: 0,
                    access_ns: 0,
                },
                SourcePlace::Random => self.draw(),
            },
            Shape::Matrix { nodes, order, .. } => Place {
                x: 0.0,
                y: 0.0,
                node: (0..*nodes as u32).find(|n| !order.contains(n)).unwrap_or(0),
                access_ns: 0,
            },
        };
        self.places.push(place);
    }

    /// Gives the next peer a place.
    pub(crate) fn add(&mut self) {
        let place = self.draw();
        self.places.push(place);
    }

    /// Gives the next peer the place of a peer that went, where places are few (a matrix), else a new one.
    pub(crate) fn add_instead_of(&mut self, gone: u32) {
        let place = match self.shape {
            Shape::Matrix { .. } => self.places[gone as usize],
            Shape::Plane { .. } => self.draw(),
        };
        self.places.push(place);
    }

    fn draw(&mut self) -> Place {
        let rng = &mut self.rng;
        let access_ns = ms(self.access_ms * rng.random::<f64>());
        let (x, y, node) = match &mut self.shape {
            Shape::Plane {
                width,
                height,
                centres,
                spread,
            } => {
                if centres.is_empty() {
                    (*width * rng.random::<f64>(), *height * rng.random::<f64>(), 0)
                } else {
                    let (cx, cy) = centres[rng.random_range(0..centres.len())];
                    let (dx, dy) = normal_pair(rng);
                    (cx + *spread * dx, cy + *spread * dy, 0)
                }
            }
            Shape::Matrix { order, next, .. } => {
                let node = order.get(*next % order.len().max(1)).copied().unwrap_or(0);
                *next += 1;
                (0.0, 0.0, node)
            }
        };
        Place {
            x,
            y,
            node,
            access_ns,
        }
    }

    /// Where a peer is in the plane, in milliseconds; `None` where there is none.
    pub(crate) fn place_ms(&self, peer: u32) -> Option<(f64, f64)> {
        let place = &self.places[peer as usize];
        matches!(self.shape, Shape::Plane { .. }).then_some((place.x, place.y))
    }

    /// One-way delay between two peers in nanoseconds; the same in both directions.
    pub(crate) fn one_way_ns(&self, a: u32, b: u32) -> u64 {
        let (a, b) = (&self.places[a as usize], &self.places[b as usize]);
        let between = match &self.shape {
            Shape::Plane { .. } => ms((a.x - b.x).hypot(a.y - b.y)),
            Shape::Matrix { nodes, rtt, .. } => {
                u64::from(rtt[a.node as usize * nodes + b.node as usize]) * MATRIX_UNIT_NS
            }
        };
        (between + a.access_ns + b.access_ns).max(LEAST_NS)
    }

    /// The shortest one-way delay from the peercaster to each of `peers`, in milliseconds, if other nodes may relay:
    /// measured delays break the triangle inequality.
    pub(crate) fn shortest_from_source_ms(&self, peers: impl Iterator<Item = u32>) -> Vec<f64> {
        let ns_to_ms = |ns: u64| ns as f64 / MS as f64;
        match &self.shape {
            Shape::Plane { .. } => peers.map(|p| ns_to_ms(self.one_way_ns(0, p))).collect(),
            Shape::Matrix { nodes, rtt, .. } => {
                let source = &self.places[0];
                let shortest = shortest_paths(rtt, *nodes, source.node as usize);
                peers
                    .map(|p| {
                        let place = &self.places[p as usize];
                        let ns = shortest[place.node as usize] * MATRIX_UNIT_NS;
                        ns_to_ms((ns + place.access_ns + source.access_ns).max(LEAST_NS))
                    })
                    .collect()
            }
        }
    }
}

/// Two independent values of the standard normal distribution (Box and Muller).
fn normal_pair(rng: &mut ChaCha8Rng) -> (f64, f64) {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
    (radius * cos, radius * sin)
}

fn matrix(file: &str, source: SourcePlace, rng: &mut ChaCha8Rng) -> Result<Shape, ScenarioError> {
    let invalid = |why: String| ScenarioError::Invalid(format!("key space.file ({file:?})"), why);
    let bytes = if file == "planetlab490" {
        PLANETLAB.to_vec()
    } else {
        let most = (MAX_MATRIX_NODES * MAX_MATRIX_NODES * 2) as u64;
        let size = std::fs::metadata(file).map_err(|e| invalid(plain(&e)))?.len();
        if size > most {
            return Err(invalid(format!("has {size} bytes, but at most {most} are read")));
        }
        std::fs::read(file).map_err(|e| invalid(plain(&e)))?
    };
    let nodes = (bytes.len() / 2).isqrt();
    if nodes < 2 || nodes * nodes * 2 != bytes.len() {
        return Err(invalid(format!("{} bytes are no square of u16", bytes.len())));
    }
    let rtt: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|b| u16::from_le_bytes([b[0], b[1]]))
        .collect();
    if let Some(at) = rtt.iter().position(|v| *v >= MATRIX_RESERVED) {
        return Err(invalid(format!(
            "row {} column {} is missing",
            at / nodes,
            at % nodes
        )));
    }
    let source = match source {
        SourcePlace::Random => rng.random_range(0..nodes),
        SourcePlace::Centre => (0..nodes)
            .min_by_key(|n| {
                rtt[n * nodes..][..nodes]
                    .iter()
                    .map(|v| u64::from(*v))
                    .sum::<u64>()
            })
            .unwrap_or(0),
    };
    let mut order: Vec<u32> = (0..nodes as u32).filter(|n| *n as usize != source).collect();
    order.shuffle(rng);
    Ok(Shape::Matrix {
        nodes,
        rtt,
        order,
        next: 0,
    })
}

/// Shortest paths from `source` to all nodes of a complete graph, by Dijkstra's method without a heap: with all edges
/// present the plain scan is the faster form.
fn shortest_paths(rtt: &[u16], nodes: usize, source: usize) -> Vec<u64> {
    let mut distance = vec![u64::MAX; nodes];
    let mut done = vec![false; nodes];
    distance[source] = 0;
    for _ in 0..nodes {
        let Some(at) = (0..nodes).filter(|n| !done[*n]).min_by_key(|n| distance[*n]) else {
            break;
        };
        done[at] = true;
        for (to, edge) in rtt[at * nodes..][..nodes].iter().enumerate() {
            distance[to] = distance[to].min(distance[at] + u64::from(*edge));
        }
    }
    distance
}

#[cfg(test)]
mod tests;
