//! The local tracker: a registry of a stream's peers in one area, and whom it names to a joiner.
//!
//! # The question it answers
//! "I am here in the delay space and lack suppliers for these substreams: whom should I connect to?" The registry is
//! what the members say of themselves ([`wire::message::PeerRecord`]), renewed every few seconds and forgotten after
//! three missed renewals. The choice is in `pick.rs`.
//!
//! A value without clock, sockets or global randomness: the same calls with the same seed give the same answers.
//!
//! # What it guards against
//! A member may lie about itself, but only so far: records are brought into sane bounds, addresses nobody could dial are
//! dropped, only the host is the peercaster, the number of members is capped, and each peer may ask only so often,
//! also after leaving.

mod pick;
mod registry;

use std::time::Duration;

use coords::Coord;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wire::message::{Join, PeerRecord, RefuseReason, Role};
use wire::{PeerId, SubstreamSet, Time};

use registry::Registry;

/// A registration expires after this many refresh intervals: two renewals may be lost or late.
pub const EXPIRY_REFRESHES: u32 = 3;

/// How a tracker behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackerConfig {
    /// The peer the tracker runs on. It is never listed: whoever asks is connected to it already.
    pub host: PeerId,
    /// Seeds the random part of the answers and the jitter of the renewals.
    pub seed: u64,
    /// K, the stream's number of substreams, 1 to 64.
    pub substreams: u8,
    /// Most members; further peers are refused. At 300 bytes each.
    pub max_members: usize,
    /// How soon a new member renews: its free slots, lag and coordinate change most in the first seconds.
    pub refresh_early: Duration,
    /// How long a member is new.
    pub early: Duration,
    /// How soon every other member renews. Longer makes the free slots named to joiners stale and keeps dead peers in
    /// the list for longer; shorter costs control traffic, 250 bytes a renewal.
    pub refresh: Duration,
    /// One member's joins may come this often on average...
    pub min_interval: Duration,
    /// ...and so many at once: a joiner that finds no supplier asks again a few times in its first second.
    pub burst: u32,
}

impl TrackerConfig {
    /// The defaults, all our judgement, for a stream of `substreams` substreams tracked by `host`.
    pub fn new(host: PeerId, substreams: u8, seed: u64) -> Self {
        TrackerConfig {
            host,
            seed,
            substreams: substreams.clamp(1, wire::MAX_SUBSTREAMS),
            max_members: 20_000,
            refresh_early: Duration::from_millis(1500),
            early: Duration::from_secs(6),
            refresh: Duration::from_secs(8),
            min_interval: Duration::from_millis(250),
            burst: 8,
        }
    }
}

/// What a member is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Whom to connect to, most useful first, and for which of the needed substreams a slot is held there: each for one
    /// peer at most. A promise as far as the tracker knows, which is what the members report.
    pub peers: Vec<(PeerRecord, SubstreamSet)>,
    /// For each substream the free slots of those who pass it on, saturating.
    pub supply: Vec<u16>,
    /// How many peers are registered.
    pub members: u32,
    /// Renew after this time.
    pub refresh: Duration,
}

/// One stream's local tracker.
#[derive(Clone, Debug)]
pub struct Tracker {
    config: TrackerConfig,
    registry: Registry,
    rng: ChaCha8Rng,
}

impl Tracker {
    /// A tracker without members, its source in the middle of the delay space until [`Tracker::set_source`].
    pub fn new(config: TrackerConfig) -> Self {
        Tracker {
            registry: Registry::new(config.substreams),
            rng: ChaCha8Rng::seed_from_u64(config.seed),
            config,
        }
    }

    /// Says where the peercaster is in the delay space now. Walks over all members: call it when the published
    /// coordinate changed, not on every measurement.
    pub fn set_source(&mut self, coord: Coord) {
        self.registry.set_source(coord);
    }

    /// Registers `from`, or renews its registration, and names up to `join.want` peers to it.
    ///
    /// # Errors
    /// [`RefuseReason::Misbehaved`] when it asks too often, is the host or poses as the peercaster;
    /// [`RefuseReason::Full`] when there is no room for a new member. Nothing has changed then.
    pub fn join(&mut self, now: Time, from: PeerId, join: &Join) -> Result<Answer, RefuseReason> {
        if from == self.config.host || join.record.role == Role::Peercaster {
            return Err(RefuseReason::Misbehaved);
        }
        let known = self.registry.joined_at(from);
        if known.is_none() && self.registry.len() >= self.config.max_members {
            return Err(RefuseReason::Full);
        }
        let ready = self
            .admitted(now, self.registry.ready(from))
            .ok_or(RefuseReason::Misbehaved)?;
        let refresh = self.refresh(now, known.unwrap_or(now));
        let expires = now + refresh * EXPIRY_REFRESHES;
        let at = self
            .registry
            .renew(now, from, (&join.record, join.promised), expires, ready);
        let peers = pick::pick(&mut self.registry, &mut self.rng, at, join.want, join.need);
        Ok(Answer {
            peers,
            supply: self.registry.supply(),
            members: u32::try_from(self.registry.len()).unwrap_or(u32::MAX),
            refresh,
        })
    }

    /// Up to `count` peers that a newcomer would be sent to now. Nothing is held for anybody.
    pub fn foresee(&mut self, count: usize) -> Vec<PeerRecord> {
        pick::foresee(&self.registry, &mut self.rng, count)
    }

    /// Forgets a member. Does nothing when it is none.
    pub fn leave(&mut self, now: Time, peer: PeerId) {
        self.registry.leave(now, peer, self.config.max_members);
    }

    /// Forgets the members whose registration has run out, and returns them.
    pub fn handle_deadline(&mut self, now: Time) -> Vec<PeerId> {
        self.registry.expire(now)
    }

    /// When the next registration runs out.
    pub fn next_deadline(&self) -> Option<Time> {
        self.registry.next_expiry()
    }

    /// How many peers are registered.
    pub fn members(&self) -> usize {
        self.registry.len()
    }

    /// For each substream the free slots of those who pass it on, saturating.
    pub fn supply(&self) -> Vec<u16> {
        self.registry.supply()
    }

    /// The registered peers, in no meaningful order, which is the same in every run with the same calls.
    pub fn records(&self) -> impl Iterator<Item = &PeerRecord> {
        self.registry.records()
    }

    /// The instant up to which a peer has used up its allowance after one more join, or `None` when it has none left.
    /// This is the generic cell rate algorithm: one instant a peer is all the state there is.
    fn admitted(&self, now: Time, ready: Time) -> Option<Time> {
        let allowance = self.config.min_interval * self.config.burst.saturating_sub(1);
        (ready <= now + allowance).then(|| ready.max(now) + self.config.min_interval)
    }

    /// A tenth of jitter, so that those who joined together do not renew together for ever.
    fn refresh(&mut self, now: Time, joined_at: Time) -> Duration {
        let nominal = if now.since(joined_at) < self.config.early {
            self.config.refresh_early
        } else {
            self.config.refresh
        };
        nominal * self.rng.random_range(950..=1050u32) / 1000
    }
}

#[cfg(test)]
mod tests;
