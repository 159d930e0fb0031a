//! When an area is to be split or merged: both with patience, or it would go back and forth.

use std::time::Duration;

use wire::Time;

/// An area that is too large for so long is split. Shorter than what a crowd takes to come, longer than the renewals that
/// tell of who has gone.
const SPLIT_AFTER: Duration = Duration::from_secs(2);

/// Tracking that takes too much of the uplink for so long is split: newcomers ask much in their first seconds, and that passes.
const BUSY_AFTER: Duration = Duration::from_secs(5);

/// An area that is too small for so long is merged: more than two renewals, so that a lull between two waves of viewers is
/// none.
const MERGE_AFTER: Duration = Duration::from_secs(20);

/// After a split or merge an area stays as it is for so long: until its members have registered where they belong now.
const SETTLED_AFTER: Duration = Duration::from_secs(8);

/// An area is too small below this share of what it splits above. Two such make half of an area, which is far from being
/// split again.
const MERGE_BELOW: usize = 4;

/// A split of fewer members would relieve nobody, however busy the host is.
pub(crate) const LEAST_TO_SPLIT: usize = 8;

/// What an area needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A second tracker.
    Split,
    /// To be taken in by another.
    Merge,
}

/// How the size of an area has been lately.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Balance {
    large_since: Option<Time>,
    busy_since: Option<Time>,
    small_since: Option<Time>,
    settled_at: Time,
}

impl Balance {
    /// Looks at an area of so many members that is split above `split_above` of them, and says what it needs. `busy`: tracking
    /// takes more of the host's uplink than it should. Call it a few times a second.
    pub fn look(&mut self, now: Time, members: usize, split_above: usize, busy: bool) -> Option<Need> {
        let since = |held: &mut Option<Time>, is: bool| {
            *held = if is { Some(held.unwrap_or(now)) } else { None };
            held.map_or(Duration::ZERO, |since| now.since(since))
        };
        let least = (split_above / MERGE_BELOW).max(2 * LEAST_TO_SPLIT);
        let large = since(&mut self.large_since, members > split_above);
        let busy = since(&mut self.busy_since, busy && members > least);
        let small = since(&mut self.small_since, members * MERGE_BELOW < split_above);
        if now < self.settled_at {
            None
        } else if large >= SPLIT_AFTER || busy >= BUSY_AFTER {
            Some(Need::Split)
        } else if small >= MERGE_AFTER {
            Some(Need::Merge)
        } else {
            None
        }
    }

    /// The area has been changed, or should be left alone: what was seen so far does not count.
    pub fn settle(&mut self, now: Time) {
        *self = Balance {
            settled_at: now + SETTLED_AFTER,
            ..Balance::default()
        };
    }

    /// Whether an area of so many members may take in so many more: with room to grow before it is split again.
    pub fn bears(members: usize, more: usize, split_above: usize) -> bool {
        (members + more) * 4 <= split_above * 3
    }
}

#[cfg(test)]
#[path = "area_tests.rs"]
mod tests;
