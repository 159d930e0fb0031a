//! Which of the trackers that a look-up named is taken: few probes, and the nearest by measured round trip.
//!
//! # How the node runs it
//! ```text
//! race = Race::new(vivaldi.estimator())
//! race.offer(node)                      for each tracker that an answer names, and each sibling of it
//! for node in race.choose()               dial it, ask it to join; the first that answers is taken at once
//! race.answered(peer, rtt_ms)           when one answers, then offer() the siblings that its JoinAnswer names
//! race.corrected(peer, rtt_ms)          when that was only supposed, and is known now
//! race.failed(peer)                     when one cannot be reached, refuses, or has not answered in time
//! race.choose() again                     after each of those: empty while answers are awaited, or when nobody promises more
//! race.best()                           whom to be registered with; it may change for the better as long as probes are sent
//! ```
//! Whoever has not answered after twice the round trip of the best so far has lost: `failed`, so that it does not hold up the others. Its
//! answer counts if it comes later.
//!
//! The round trip is the real one, of a ping or a handshake's round, so nobody wins by what it claims. What is claimed costs a probe
//! at most, and there are [`MOST`] of them.
//!
//! # How it chooses
//! At first, three at once: not the three that seem nearest, which often are neighbours of one another, but those that may turn out to be
//! the nearest, each as if those before had been as far as expected. Then, as long as somebody named may be clearly nearer than the best
//! so far, one more after another; where coordinates are exact that is a greedy descent through siblings, which ends at the nearest
//! because [`siblings`](crate::siblings()) leave no direction out.

use coords::Estimator;
use wire::PeerId;
use wire::message::RingNode;

/// Probes sent at once at first (the paper, §4: a few are raced).
pub const AT_ONCE: usize = 3;

/// Probes sent at once later.
const THEN: usize = 1;

/// Probes sent at most. On PlanetLab with 16 trackers 3.4 are sent on average.
pub const MOST: usize = 8;

/// Trackers remembered at most: those of both directions of a look-up, and the siblings of every one probed.
const MAX_NAMED: usize = 2 * 9 + MOST * 8;

/// At first whoever may be so many standard deviations better than expected is given a chance. On PlanetLab 1 and 2 do nearly the same.
const HOPE: f64 = 1.5;

/// Later so many: one more probe costs less than a bad tracker. On PlanetLab with 16 trackers 1.5 left 7.7 ms beyond the nearest, on average
/// after 2.96 probes, 2 left 7.1 after 3.08, 2.5 left 6.6 after 3.25. Where coordinates are exact it makes no difference.
const HOPE_LATER: f64 = 3.0;

/// Worth another probe is what may be less than this share of the best round trip. Not much less: from far away one sibling is nearer
/// than another by little...
const CLEARLY: f64 = 0.97;

/// ...and by this besides, milliseconds: what one host's scheduling adds to a round trip.
const AT_LEAST_MS: f64 = 0.5;

/// How far one tracker has come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Named,
    Probed,
    Answered(f64),
    Failed,
}

#[derive(Clone, Debug)]
struct Runner {
    node: RingNode,
    stage: Stage,
}

/// A race among trackers. See the [module](self) for how to run one.
#[derive(Clone, Debug)]
pub struct Race {
    estimator: Estimator,
    at_once: usize,
    runners: Vec<Runner>,
    probes: usize,
}

impl Race {
    /// A race for a peer whose guesses these are.
    pub fn new(estimator: Estimator) -> Self {
        Race {
            estimator,
            at_once: AT_ONCE,
            runners: Vec::new(),
            probes: 0,
        }
    }

    /// The same with another number of probes at first, at least one.
    pub fn with_at_once(mut self, at_once: usize) -> Self {
        self.at_once = at_once.max(1);
        self
    }

    /// Somebody names a tracker. Who was named before, and one too many, is passed over.
    pub fn offer(&mut self, node: &RingNode) {
        if self.runners.len() < MAX_NAMED && self.runner(node.peer).is_none() {
            self.runners.push(Runner {
                node: node.clone(),
                stage: Stage::Named,
            });
        }
    }

    /// Whom to probe now. Empty while answers are awaited, and when the race is over.
    pub fn choose(&mut self) -> Vec<RingNode> {
        if self.is_awaited() {
            return Vec::new();
        }
        let (best_ms, at_once, by) = match self.best() {
            Some((_, best_ms)) => (best_ms, THEN, HOPE_LATER),
            None => (f64::INFINITY, self.at_once, HOPE),
        };
        let left = MOST.max(self.at_once).saturating_sub(self.probes);
        let mut estimator = self.estimator.clone();
        let mut chosen = Vec::new();
        for _ in 0..at_once.min(left) {
            let hope = |runner: &Runner| estimator.estimate(&runner.node.coord).at_best_ms(by);
            let named = self
                .runners
                .iter_mut()
                .filter(|runner| runner.stage == Stage::Named);
            let next = named
                .map(|runner| (hope(runner), runner))
                .filter(|(hope_ms, _)| *hope_ms < CLEARLY * best_ms - AT_LEAST_MS)
                .min_by(|(a, _), (b, _)| a.total_cmp(b));
            let Some((_, next)) = next else { break };
            next.stage = Stage::Probed;
            estimator.suppose(next.node.coord);
            chosen.push(next.node.clone());
        }
        self.probes += chosen.len();
        chosen
    }

    /// A tracker has answered after `rtt_ms` milliseconds. From who was not probed it is no answer.
    pub fn answered(&mut self, peer: PeerId, rtt_ms: f64) {
        let Some(runner) = self.runner_mut(peer) else {
            return;
        };
        if matches!(runner.stage, Stage::Probed | Stage::Failed) && rtt_ms.is_finite() {
            runner.stage = Stage::Answered(rtt_ms);
            let coord = runner.node.coord;
            self.estimator.measured(coord, rtt_ms);
        }
    }

    /// What was taken for the round trip of one that has answered was not it: it is this.
    pub fn corrected(&mut self, peer: PeerId, rtt_ms: f64) {
        if let Some(runner) = self.runner_mut(peer)
            && matches!(runner.stage, Stage::Answered(_))
            && rtt_ms.is_finite()
        {
            runner.stage = Stage::Answered(rtt_ms);
        }
    }

    /// A tracker that was probed is out of the race: it cannot be reached, takes too long, or has refused, be it after it answered.
    pub fn failed(&mut self, peer: PeerId) {
        if let Some(runner) = self
            .runner_mut(peer)
            .filter(|runner| runner.stage != Stage::Named)
        {
            runner.stage = Stage::Failed;
        }
    }

    /// The nearest of those that have answered, and its round trip in milliseconds.
    pub fn best(&self) -> Option<(&RingNode, f64)> {
        let answered = self.runners.iter().filter_map(|runner| match runner.stage {
            Stage::Answered(rtt_ms) => Some((&runner.node, rtt_ms)),
            _ => None,
        });
        answered.min_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    /// How many have answered and are still in the race.
    pub fn arrived(&self) -> usize {
        let arrived = |runner: &&Runner| matches!(runner.stage, Stage::Answered(_));
        self.runners.iter().filter(arrived).count()
    }

    /// Probes sent so far.
    pub fn probes(&self) -> usize {
        self.probes
    }

    /// Whether the answer to a probe is awaited.
    pub fn is_awaited(&self) -> bool {
        self.runners.iter().any(|runner| runner.stage == Stage::Probed)
    }

    fn runner(&self, peer: PeerId) -> Option<&Runner> {
        self.runners.iter().find(|runner| runner.node.peer == peer)
    }

    fn runner_mut(&mut self, peer: PeerId) -> Option<&mut Runner> {
        self.runners.iter_mut().find(|runner| runner.node.peer == peer)
    }
}

#[cfg(test)]
mod tests;
