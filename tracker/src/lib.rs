//! The local tracker: a registry of a stream's peers in one area, and whom it names to a joiner.
//!
//! # The question it answers
//! "I am here in the delay space and lack suppliers for these substreams: whom should I connect to?" The registry is
//! what the members say of themselves ([`wire::message::PeerRecord`]), renewed every few seconds and forgotten after
//! three missed renewals. The choice is in `pick.rs`.
//!
//! # Areas
//! A tracker keeps one area of the delay space. When that holds too many it splits (`area.rs` says when, `split.rs` where
//! and to whom), when it holds too few it is merged into another. Trackers tell each other what there is (`siblings.rs`),
//! and each keeps a deputy that could go on in its place (`replica.rs`).
//!
//! A value without clock, sockets or global randomness: the same calls with the same seed give the same answers.
//!
//! # What it guards against
//! A member may lie about itself, but only so far: records are brought into sane bounds, addresses nobody could dial are
//! dropped, only the host is the peercaster, the number of members is capped, also from one address, and each peer may ask
//! only so often, also after leaving.

mod area;
mod best;
mod origins;
mod pick;
mod registry;
mod replica;
mod siblings;
mod sieve;
mod split;
mod spot;

use std::net::IpAddr;
use std::time::Duration;

use coords::Coord;
use coords::coord::distance_ms;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wire::message::{Join, PeerRecord, RefuseReason, Role};
use wire::{PeerId, SubstreamSet, Time};

use origins::Origin;
use registry::{Registry, Terms};

pub use area::{Balance, Need};
pub use replica::{Change, Mirror, Replica};
pub use siblings::{NEWS_EVERY, News, Sibling, Siblings};
pub use split::Split;

/// A registration expires after this many refresh intervals: two renewals may be lost or late.
pub const EXPIRY_REFRESHES: u32 = 3;

/// A member that was handed over registers itself within so long, or is gone: a few seconds until it is told, and two
/// attempts.
const TAKEN_IN_FOR: Duration = Duration::from_secs(15);

/// How a tracker behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackerConfig {
    /// The peer the tracker runs on.
    pub host: PeerId,
    /// Whether that may register with itself, as any member does. The peercaster does not: whoever asks is connected to it
    /// already, and it decides itself whom it takes.
    pub lists_host: bool,
    /// Seeds the random part of the answers and the jitter of the renewals.
    pub seed: u64,
    /// K, the stream's number of substreams, 1 to 64.
    pub substreams: u8,
    /// Most members; further peers are refused. At 300 bytes each.
    pub max_members: usize,
    /// Most members with one IPv4 address, or from one IPv6 network of 64 bits: those behind one translator of addresses, and
    /// not so many that a flood from there leaves no room for others. Loopback and `neighbours_at` do not count.
    pub max_from_one_address: u32,
    /// Addresses that the host has itself: whoever comes from there is at home here.
    pub neighbours_at: Vec<IpAddr>,
    /// Splits with more members than this.
    pub split_above: usize,
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
            lists_host: false,
            seed,
            substreams: substreams.clamp(1, wire::MAX_SUBSTREAMS),
            max_members: 20_000,
            max_from_one_address: 64,
            neighbours_at: Vec::new(),
            split_above: 256,
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

    /// Registers `from`, which is connected from the address `ip`, or renews its registration, and names up to `join.want`
    /// peers to it.
    ///
    /// # Errors
    /// [`RefuseReason::Misbehaved`] when it asks too often, is the host or poses as the peercaster;
    /// [`RefuseReason::Full`] when there is no room for a new member, or none for one more from there. Nothing has changed
    /// then.
    pub fn join(&mut self, now: Time, from: PeerId, ip: IpAddr, join: &Join) -> Result<Answer, RefuseReason> {
        let host = from == self.config.host && !self.config.lists_host;
        if host || join.record.role == Role::Peercaster {
            return Err(RefuseReason::Misbehaved);
        }
        let known = self.registry.joined_at(from);
        let counts =
            !ip.is_loopback() && !self.config.neighbours_at.contains(&ip) && from != self.config.host;
        let origin = counts.then(|| Origin::of(ip));
        let crowded = origin.is_some_and(|o| self.registry.count_from(o) >= self.config.max_from_one_address);
        if known.is_none() && (crowded || self.registry.len() >= self.config.max_members) {
            return Err(RefuseReason::Full);
        }
        let ready = self
            .admitted(now, self.registry.ready(from))
            .ok_or(RefuseReason::Misbehaved)?;
        let refresh = self.refresh(now, known.unwrap_or(now));
        let terms = Terms {
            expires: now + refresh * EXPIRY_REFRESHES,
            ready,
            origin,
            itself: true,
        };
        let at = self
            .registry
            .renew(now, from, (&join.record, join.promised), terms);
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

    /// Registers a member of another tracker, which that hands over, until it renews its registration or does not.
    pub fn take_in(&mut self, now: Time, record: &PeerRecord) {
        let full = self.registry.len() >= self.config.max_members;
        let host = record.peer == self.config.host;
        if full || host || record.role == Role::Peercaster || self.is_member(record.peer) {
            return;
        }
        let terms = Terms {
            expires: now + TAKEN_IN_FOR,
            ready: Time::ZERO,
            origin: None,
            itself: false,
        };
        self.registry.renew(now, record.peer, (record, 0), terms);
    }

    /// Replaces what is known of the members of another area that have room there.
    pub fn set_abroad(&mut self, area: PeerId, records: &[PeerRecord]) {
        self.registry.set_abroad(area, records);
    }

    /// The tracker that a peer named in an answer is registered with; `None` if that is this one.
    pub fn area_of(&self, peer: PeerId) -> Option<PeerId> {
        self.registry.area_of(peer)
    }

    /// Promises slots of a member to a joiner of another area. False if it is no member.
    pub fn hold(&mut self, peer: PeerId, substreams: SubstreamSet) -> bool {
        let at = self.registry.place_of(peer);
        if let Some(at) = at {
            self.registry.hold(at, substreams.len());
        }
        at.is_some()
    }

    /// Up to `count` members that have room, those first through whom a chunk is soonest where `from` is.
    pub fn spare(&self, from: &Coord, count: usize) -> Vec<PeerRecord> {
        let mut spare: Vec<(u64, PeerId, usize)> = Vec::new();
        for (at, spot) in self.registry.spots().iter().enumerate() {
            let Some(lag_us) = spot.lag_us().filter(|_| spot.room() > 0) else {
                continue;
            };
            if spot.is_nameable() && !spot.is_abroad() && spot.is_placed() {
                let way_us = distance_ms(self.registry.coord(at), from).max(0.0) * 500.0;
                spare.push((u64::from(lag_us) + way_us as u64, self.registry.peer(at), at));
            }
        }
        spare.sort_unstable();
        let best = spare.into_iter().take(count);
        best.map(|(_, _, at)| self.registry.record(at)).collect()
    }

    /// What this area lacks of what its members want, in per mille; `own` are the host's slots if it is not registered itself.
    pub fn short(&self, own: u16) -> u16 {
        let copy = u64::from(self.config.substreams);
        let (mut slots, mut wanted) = (u64::from(own), 0u64);
        for (spot, record, _) in self.registry.own() {
            slots += if spot.is_nameable() {
                u64::from(record.slots)
            } else {
                0
            };
            wanted += match record.role {
                Role::Donor => u64::from(record.primaries.len()),
                _ => copy,
            };
        }
        let lacking = wanted.saturating_sub(slots) * 1000;
        lacking.checked_div(wanted).unwrap_or(0) as u16
    }

    /// Whether a peer has registered itself here, and was not only handed over.
    pub fn has_registered(&self, peer: PeerId) -> bool {
        self.registry.came_itself(peer)
    }

    /// When a member was told of the stream's other trackers last; `None` if it never was, or is none.
    pub fn told_at(&self, peer: PeerId) -> Option<Time> {
        self.registry.told_at(peer)
    }

    /// Notes that a member is told of them.
    pub fn note_told(&mut self, now: Time, peer: PeerId) {
        self.registry.note_told(now, peer);
    }

    /// A member's record, as room is left there now.
    pub fn record(&self, peer: PeerId) -> Option<PeerRecord> {
        Some(self.registry.record(self.registry.place_of(peer)?))
    }

    /// Whether a peer is registered here.
    pub fn is_member(&self, peer: PeerId) -> bool {
        self.registry.place_of(peer).is_some()
    }

    /// How this tracker behaves.
    pub fn config(&self) -> &TrackerConfig {
        &self.config
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
