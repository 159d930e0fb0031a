//! The coordinate that others place a peer by.

use super::{Config, moved_ms};
use crate::coord::Coord;

/// A coordinate that follows another in few, large steps.
///
/// The position on the ring is computed from it, and to move there costs messages at a dozen peers. A
/// coordinate that trembles by a few milliseconds under jitter must not move it. Ledlie, Gardner, Seltzer
/// (NSDI 2007) have the same split ("application-level coordinates"), for the same reason: here a moving
/// average, published when it has left the published place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedCoord {
    published: Coord,
    average: Coord,
}

impl PublishedCoord {
    /// Publishes a first coordinate.
    pub fn new(coord: Coord) -> Self {
        Self {
            published: coord,
            average: coord,
        }
    }

    /// The published coordinate.
    pub fn coord(&self) -> Coord {
        self.published
    }

    /// Takes the peer's current coordinate; publishes its moving average, and says so, when that is more than
    /// max([`Config::publish_min_ms`], [`Config::publish_share`] × nearest) from what is published.
    ///
    /// `nearest_ms` gives the round trip to the nearest neighbour, when there is one; it is asked only when
    /// the answer matters.
    pub fn follow(
        &mut self,
        config: &Config,
        current: &Coord,
        nearest_ms: impl FnOnce() -> Option<f64>,
    ) -> bool {
        let approach = |average: f64, current: f64| average + config.publish_gain * (current - average);
        self.average = Coord {
            x_ms: approach(self.average.x_ms, current.x_ms),
            y_ms: approach(self.average.y_ms, current.y_ms),
            height_ms: approach(self.average.height_ms, current.height_ms),
        };
        let moved_ms = moved_ms(&self.published, &self.average);
        if moved_ms <= config.publish_min_ms
            || nearest_ms().is_some_and(|nearest_ms| moved_ms <= config.publish_share * nearest_ms)
        {
            return false;
        }
        self.published = self.average;
        true
    }
}
