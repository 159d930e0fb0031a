//! How an area is split: which half of it goes, and who keeps the tracker there.

use std::time::Duration;

use coords::Coord;
use coords::coord::planar_distance_ms;
use wire::message::{PeerRecord, Role};
use wire::{PeerId, Time};

use crate::Tracker;
use crate::area::LEAST_TO_SPLIT;
use crate::spot::Spot;

/// Rounds of two-means: among points of a plane it has nearly always settled after ten.
const ROUNDS: usize = 16;

/// A half with less than this part of all is an outlier or two, and splitting it off would help nobody.
const LEAST_PART: usize = 6;

/// Who is to keep a tracker has been here for so long at least: most of those who leave soon leave in their first seconds. In a
/// crowd nobody has been here for long, and somebody has to do it.
const HOST_AGE: Duration = Duration::from_secs(3);

/// From this age on a peer counts as stable. Until then each second less counts as [`YOUNG_MS`].
const STABLE_AGE: Duration = Duration::from_secs(60);
const YOUNG_MS: f64 = 0.5;

/// What a whole copy of the stream less of upload counts, in milliseconds of distance: tracking takes some of it.
const SLOTS_MS: f64 = 30.0;

/// Most hosts named for one half: if the first declines or is gone the next is asked.
const HOSTS: usize = 3;

/// A plan to split an area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Who could keep the new tracker, the best first. They are among those who go.
    pub hosts: Vec<PeerId>,
    /// Who goes.
    pub members: Vec<PeerId>,
}

/// A member with its place.
struct Point<'a> {
    spot: &'a Spot,
    record: &'a PeerRecord,
    since: Time,
}

impl Tracker {
    /// Divides the members into two halves by two-means in the delay space. The half whose middle is farther from `home`, where
    /// the host is, is to go. `avoid`: peers that cannot keep a tracker.
    ///
    /// `None` when there are too few whose place is known, or nobody among those who would go can keep a tracker.
    pub fn split(&self, now: Time, home: &Coord, avoid: &[PeerId]) -> Option<Split> {
        let points: Vec<Point<'_>> = self
            .registry
            .own()
            .filter(|(spot, record, _)| spot.is_placed() && record.peer != self.config.host)
            .map(|(spot, record, since)| Point { spot, record, since })
            .collect();
        if points.len() < 2 * LEAST_TO_SPLIT {
            return None;
        }
        let goes = halves(&points);
        let half = |which: bool| points.iter().zip(&goes).filter(move |(_, goes)| **goes == which);
        let middle_of = |which: bool| middle(half(which).map(|(point, _)| &point.record.coord));
        let (first, second) = (middle_of(true), middle_of(false));
        let far = planar_distance_ms(&first, home) >= planar_distance_ms(&second, home);
        let centre = if far { first } else { second };
        let going: Vec<&Point<'_>> = half(far).map(|(point, _)| point).collect();
        let hosts = self.hosts_among(now, going.iter().copied(), &centre, avoid);
        (!hosts.is_empty()).then(|| Split {
            hosts,
            members: going.iter().map(|point| point.record.peer).collect(),
        })
    }

    /// Who could go on in this tracker's place, which is at `home`: the best first.
    pub fn deputies(&self, now: Time, home: &Coord, avoid: &[PeerId]) -> Vec<PeerId> {
        let own = self.registry.own();
        let points: Vec<Point<'_>> = own
            .filter(|(_, record, _)| record.peer != self.config.host)
            .map(|(spot, record, since)| Point { spot, record, since })
            .collect();
        self.hosts_among(now, points.iter(), home, avoid)
    }

    /// Those who could keep a tracker: reachable, with upload to spare, stable, on a short line, and near the middle of
    /// those who would be registered there.
    fn hosts_among<'a>(
        &self,
        now: Time,
        points: impl Iterator<Item = &'a Point<'a>>,
        centre: &Coord,
        avoid: &[PeerId],
    ) -> Vec<PeerId> {
        let copy = f64::from(self.config.substreams.max(1));
        let mut hosts: Vec<(u64, PeerId)> = points
            .filter(|point| {
                let record = point.record;
                let takes_part = matches!(record.role, Role::Consumer | Role::Donor);
                let bears = f64::from(record.slots) * 2.0 >= copy && point.spot.lag_us().is_some();
                let stays = now.since(point.since) >= HOST_AGE;
                takes_part && point.spot.is_nameable() && bears && stays && !avoid.contains(&record.peer)
            })
            .map(|point| {
                let age = now.since(point.since).min(STABLE_AGE);
                let young_ms = (STABLE_AGE - age).as_secs_f64() * YOUNG_MS;
                let thin_ms = SLOTS_MS * copy / f64::from(point.record.slots);
                let coord = &point.record.coord;
                let far_ms = planar_distance_ms(coord, centre) + 2.0 * coord.height_ms;
                (((far_ms + young_ms + thin_ms) * 1000.0) as u64, point.record.peer)
            })
            .collect();
        hosts.sort_unstable();
        hosts.into_iter().take(HOSTS).map(|(_, peer)| peer).collect()
    }
}

/// For each point whether it is in the first of two halves.
fn halves(points: &[Point<'_>]) -> Vec<bool> {
    let coord = |at: usize| &points[at].record.coord;
    let farthest = |from: &Coord| {
        let key = |at: &usize| (square(coord(*at), from), points[*at].record.peer);
        (0..points.len())
            .max_by(|a, b| key(a).0.total_cmp(&key(b).0).then(key(a).1.cmp(&key(b).1)))
            .map_or(Coord::ORIGIN, |at| *coord(at))
    };
    let mut one = farthest(&middle((0..points.len()).map(coord)));
    let mut two = farthest(&one);
    let ends = (one, two);
    let mut first: Vec<bool> = Vec::new();
    for _ in 0..ROUNDS {
        let next: Vec<bool> = (0..points.len())
            .map(|at| square(coord(at), &one) <= square(coord(at), &two))
            .collect();
        if next == first {
            break;
        }
        first = next;
        let half = |which: bool| {
            let of = (0..points.len()).filter(|&at| first[at] == which);
            middle(of.map(coord))
        };
        (one, two) = (half(true), half(false));
    }
    let count = first.iter().filter(|&&first| first).count();
    if count.min(points.len() - count) * LEAST_PART >= points.len() {
        return first;
    }
    // Some lie far from all others, or all in one place: along the line between the farthest two there are halves.
    let along = |at: usize| {
        let c = coord(at);
        c.x_ms * (ends.1.x_ms - ends.0.x_ms) + c.y_ms * (ends.1.y_ms - ends.0.y_ms)
    };
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| {
        let by_place = along(a).total_cmp(&along(b));
        by_place.then(points[a].record.peer.cmp(&points[b].record.peer))
    });
    let mut first = vec![false; points.len()];
    for &at in &order[..points.len() / 2] {
        first[at] = true;
    }
    first
}

/// Squared planar distance.
fn square(a: &Coord, b: &Coord) -> f64 {
    let (x, y) = (a.x_ms - b.x_ms, a.y_ms - b.y_ms);
    x * x + y * y
}

fn middle<'a>(points: impl Iterator<Item = &'a Coord>) -> Coord {
    let (mut x_ms, mut y_ms, mut count) = (0.0, 0.0, 0.0f64);
    for coord in points {
        x_ms += coord.x_ms;
        y_ms += coord.y_ms;
        count += 1.0;
    }
    let count = count.max(1.0);
    Coord {
        x_ms: x_ms / count,
        y_ms: y_ms / count,
        height_ms: 0.0,
    }
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
