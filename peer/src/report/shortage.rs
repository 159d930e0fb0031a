//! Whether the swarm has too little upload for all, as far as this node knows, said once when it begins and once when it is over.

use std::time::Duration;

use swarm::StreamStats;
use tokio::time::Instant;

/// A swarm is not short of capacity before that has lasted so long, nor has enough again: suppliers change all the time, and
/// newcomers look for theirs.
const LASTS: Duration = Duration::from_secs(5);

/// What an area lacks counts from so many per mille on. Below, what viewers can do without (`swarm`, `stream/repair.rs`) makes up for it.
const LACKS: u16 = 20;

/// A change that users are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortageNews {
    /// There is too little.
    Begins,
    /// There is enough again.
    Over,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    lasts: bool,
    /// Since when it has looked otherwise.
    otherwise_since: Option<Instant>,
    news: Option<ShortageNews>,
}

impl Shortage {
    /// Looks at a stream, about once a second.
    pub(super) fn look(&mut self, now: Instant, stream: &StreamStats) {
        let lacks = stream.no_room > 0 || stream.short.is_some_and(|short| short >= LACKS);
        if lacks == self.lasts {
            self.otherwise_since = None;
            return;
        }
        let since = *self.otherwise_since.get_or_insert(now);
        if now.saturating_duration_since(since) < LASTS {
            return;
        }
        self.otherwise_since = None;
        self.lasts = lacks;
        self.news = Some(if lacks {
            ShortageNews::Begins
        } else {
            ShortageNews::Over
        });
    }

    /// Whether there is too little.
    pub(super) fn lasts(&self) -> bool {
        self.lasts
    }

    /// What has changed since the last call.
    pub(super) fn take_news(&mut self) -> Option<ShortageNews> {
        self.news.take()
    }
}

#[cfg(test)]
#[path = "shortage_tests.rs"]
mod tests;
