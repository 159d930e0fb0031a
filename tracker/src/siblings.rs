//! The other trackers of the stream, as far as one of them knows them.

use std::collections::BTreeMap;
use std::time::Duration;

use coords::Coord;
use coords::coord::distance_ms;
use wire::message::{MAX_RING_LIST, RingNode};
use wire::{PeerId, Time};

use crate::area::Balance;

/// How often siblings tell each other what there is: the room that they name passes in seconds, and a message takes about a
/// kilobyte and a half.
pub const NEWS_EVERY: Duration = Duration::from_secs(3);

/// Whoever has said nothing for so long is a sibling no more: two messages may be lost or late.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// Siblings kept: those told of, and as many whose own nearest may include this one.
const MAX_SIBLINGS: usize = 2 * MAX_RING_LIST;

/// Trackers only heard of.
const MAX_HEARD: usize = 32;

/// One that was asked to become known is not asked again before.
const ASK_AGAIN: Duration = Duration::from_secs(15);

/// What a tracker says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// Who and where.
    pub node: RingNode,
    /// Peers registered there.
    pub members: u32,
    /// Capacity that its area lacks, in per mille of its demand; 0: none.
    pub short: u16,
}

/// Another tracker of the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Sibling {
    /// What it said last.
    pub news: News,
    /// When.
    pub heard_at: Time,
    /// When it was told something last.
    told_at: Option<Time>,
}

/// The other trackers that one knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Siblings {
    known: BTreeMap<PeerId, Sibling>,
    /// Named by siblings, not met yet, and until when they are left in peace.
    heard: BTreeMap<PeerId, (RingNode, Time)>,
    /// When one was met last that was not known.
    met_at: Time,
}

impl Siblings {
    /// Takes in what a tracker says of itself. `home`: where this one is; `root`: a sibling that is kept however far it is.
    /// False if so many are nearer that it is none.
    pub fn hear(&mut self, now: Time, home: &Coord, root: Option<PeerId>, news: News) -> bool {
        let peer = news.node.peer;
        self.heard.remove(&peer);
        let told_at = self.told_at(peer);
        let sibling = Sibling {
            news,
            heard_at: now,
            told_at,
        };
        let new = self.known.insert(peer, sibling).is_none();
        let mut kept = true;
        if self.known.len() > MAX_SIBLINGS {
            let farthest = self
                .known
                .iter()
                .filter(|(peer, _)| Some(**peer) != root)
                .max_by(|a, b| far(home, a.1).total_cmp(&far(home, b.1)))
                .map(|(peer, _)| *peer);
            if let Some(farthest) = farthest {
                self.known.remove(&farthest);
            }
            kept = farthest != Some(peer);
        }
        if new && kept {
            self.met_at = now;
        }
        kept
    }

    /// When one was met last that was not known: whoever was told of them before has not heard of it.
    pub fn met_at(&self) -> Time {
        self.met_at
    }

    /// Notes trackers that a sibling named.
    pub fn hear_of(&mut self, now: Time, me: PeerId, nodes: &[RingNode]) {
        for node in nodes {
            let full = self.heard.len() >= MAX_HEARD;
            if node.peer != me && !full && !self.known.contains_key(&node.peer) && !node.addrs.is_empty() {
                self.heard.entry(node.peer).or_insert((node.clone(), now));
            }
        }
    }

    /// A tracker worth knowing: nearer than one of those that are told of, or there are few.
    pub fn to_meet(&mut self, now: Time, home: &Coord) -> Option<RingNode> {
        let least = match self.nearest(home).get(MAX_RING_LIST - 1) {
            Some(last) => far(home, last),
            None => f64::INFINITY,
        };
        let near = |node: &RingNode| distance_ms(home, &node.coord);
        let best = self
            .heard
            .values_mut()
            .filter(|(node, at)| *at <= now && near(node) < least)
            .min_by(|a, b| near(&a.0).total_cmp(&near(&b.0)))?;
        best.1 = now + ASK_AGAIN;
        Some(best.0.clone())
    }

    /// Forgets a tracker.
    pub fn remove(&mut self, peer: PeerId) {
        self.known.remove(&peer);
        self.heard.remove(&peer);
    }

    /// Forgets those who have been silent for too long, and returns them.
    pub fn expire(&mut self, now: Time) -> Vec<PeerId> {
        let silent = |sibling: &Sibling| now.since(sibling.heard_at) > SILENT_AFTER;
        let gone: Vec<PeerId> = self
            .known
            .iter()
            .filter(|(_, sibling)| silent(sibling))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in &gone {
            self.remove(*peer);
        }
        gone
    }

    /// Notes that a sibling is told the news.
    pub fn told(&mut self, now: Time, peer: PeerId) {
        if let Some(sibling) = self.known.get_mut(&peer) {
            sibling.told_at = Some(now);
        }
    }

    /// When a sibling was told the news last.
    pub fn told_at(&self, peer: PeerId) -> Option<Time> {
        self.known.get(&peer)?.told_at
    }

    /// Whether a sibling named this tracker, which has not been met.
    pub fn is_heard_of(&self, peer: PeerId) -> bool {
        self.heard.contains_key(&peer)
    }

    /// What is known of a tracker.
    pub fn get(&self, peer: PeerId) -> Option<&Sibling> {
        self.known.get(&peer)
    }

    /// All of them, in the order of their ids.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.known.keys().copied()
    }

    /// Those that are told of: the nearest to `home`, nearest first.
    pub fn nearest(&self, home: &Coord) -> Vec<&Sibling> {
        let mut all: Vec<&Sibling> = self.known.values().collect();
        all.sort_by(|a, b| far(home, a).total_cmp(&far(home, b)));
        all.truncate(MAX_RING_LIST);
        all
    }

    /// Who can take in an area of so many members: the nearest that has room for them.
    pub fn heir(&self, home: &Coord, members: usize, split_above: usize) -> Option<PeerId> {
        let bears = |sibling: &&Sibling| {
            let theirs = usize::try_from(sibling.news.members).unwrap_or(usize::MAX / 8);
            Balance::bears(theirs, members, split_above)
        };
        let fits = self.known.values().filter(bears);
        let nearest = fits.min_by(|a, b| far(home, a).total_cmp(&far(home, b)));
        nearest.map(|sibling| sibling.news.node.peer)
    }
}

fn far(home: &Coord, sibling: &Sibling) -> f64 {
    distance_ms(home, &sibling.news.node.coord)
}

#[cfg(test)]
#[path = "siblings_tests.rs"]
mod tests;
