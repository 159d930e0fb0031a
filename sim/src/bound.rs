//! The physical lower bound of the lag: what no store-and-forward schedule can beat.
//!
//! 1. Triangle inequality: propagation along any path to a peer is at least the peer's shortest distance `d` from the
//!    source (over relays, where measured delays break the inequality).
//! 2. With all distances zero, at most `snow(t)` peers can hold a chunk by `t`: the greedy snowball, in which every
//!    holder sends copies back to back at its full uplink and the best uplinks are served first.
//!
//! So the mean lag is at least `mean(d) + mean(e)`, `e` being the snowball's ascending emission times, and the greatest
//! at least `max_i (d[n-1-i] + e[i])`. One more chunk duration is added by the caller where lag counts from the first
//! byte of the chunk: the last byte is read that much later.

mod start;

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

pub use start::{Joiner, Soonest, soonest_starts};

/// A lower bound in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// Of the mean lag over all peers.
    pub mean_ms: f64,
    /// Of the greatest.
    pub max_ms: f64,
    /// When the last peer could have its copy if there were no distances.
    pub last_ms: f64,
}

/// Milliseconds, ordered; made from finite numbers only.
struct Ordered(f64);
impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Ordered {}

/// When each of the first `needed` copies can exist at the earliest, ascending, in milliseconds. `bits` is the size of
/// the smallest unit that is forwarded, rates are in bits a millisecond, `uplinks` those of viewers and helpers alike.
fn snowball(bits: f64, source: f64, uplinks: &[f64], needed: usize) -> Vec<f64> {
    let mut best_first: Vec<f64> = uplinks.to_vec();
    best_first.sort_by(|a, b| b.total_cmp(a));
    let mut senders = BinaryHeap::from([Reverse((Ordered(bits / source), Ordered(source)))]);
    let mut copies = Vec::with_capacity(needed);
    let mut next = best_first.into_iter();
    while copies.len() < needed {
        let Some(Reverse((Ordered(at), Ordered(rate)))) = senders.pop() else {
            break;
        };
        copies.push(at);
        senders.push(Reverse((Ordered(at + bits / rate), Ordered(rate))));
        if let Some(uplink) = next.next().filter(|rate| *rate > 0.0) {
            senders.push(Reverse((Ordered(at + bits / uplink), Ordered(uplink))));
        }
    }
    copies
}

/// The bound for viewers at the shortest one-way distances `distance_ms` from the source; units as in the snowball's:
/// bits and bits a millisecond.
///
/// `None` without viewers or with a source that cannot send.
pub fn lower_bound(distance_ms: &[f64], bits: f64, source: f64, uplinks: &[f64]) -> Option<Bound> {
    if distance_ms.is_empty() || source <= 0.0 {
        return None;
    }
    let emitted = snowball(bits, source, uplinks, distance_ms.len());
    let mut ascending = distance_ms.to_vec();
    ascending.sort_by(f64::total_cmp);
    let n = ascending.len() as f64;
    let max_ms = ascending
        .iter()
        .rev()
        .zip(&emitted)
        .map(|(d, e)| d + e)
        .fold(0.0, f64::max);
    Some(Bound {
        mean_ms: ascending.iter().sum::<f64>() / n + emitted.iter().sum::<f64>() / n,
        max_ms,
        last_ms: emitted.last().copied().unwrap_or(0.0),
    })
}

#[cfg(test)]
mod tests;
