//! What the graphs show: one point a second over the last minutes.

use std::collections::VecDeque;

/// Points kept: five minutes, more than the widest terminal has columns.
const POINTS: usize = 300;

/// One second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Playout lag in milliseconds; `None` when nothing was played.
    pub lag_ms: Option<f64>,
    /// Arrival lag in milliseconds; `None` when nothing arrived.
    pub arrival_ms: Option<f64>,
    /// Chunks handed over in time of those due in this second, 0 to 1; `None` when none was due.
    pub continuity: Option<f64>,
}

/// The last minutes, oldest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    points: VecDeque<Point>,
}

impl History {
    /// Adds the newest second; the oldest goes when there are too many.
    pub fn push(&mut self, point: Point) {
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// The newest `count` points, oldest first.
    pub fn last(&self, count: usize) -> impl DoubleEndedIterator<Item = &Point> + ExactSizeIterator {
        self.points.iter().skip(self.points.len().saturating_sub(count))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_last_minutes() {
        let mut history = History::default();
        assert!(history.is_empty());
        for second in 0..1000 {
            history.push(Point {
                lag_ms: Some(f64::from(second)),
                arrival_ms: None,
                continuity: None,
            });
        }
        assert_eq!(history.len(), POINTS);
        let lags: Vec<_> = history.last(2).map(|point| point.lag_ms).collect();
        assert_eq!(lags, [Some(998.0), Some(999.0)]);
    }
}
