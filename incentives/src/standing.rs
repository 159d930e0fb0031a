//! What misbehaviour costs.
//!
//! Each offence costs points, points go away with time, and too many of them at once mean that the peer is shut out for a
//! while. Keys cost nothing, so a ban does not keep anybody away for good: it makes sure that one connection cannot do
//! the same damage again and again, and that what goes wrong by accident is forgiven.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use wire::{PeerId, Time};

/// Points at which a peer is shut out.
const LIMIT: u32 = 100;

/// One point is forgiven in this time, all up to the limit in ten minutes.
const FORGIVEN_EVERY: Duration = Duration::from_secs(6);

/// How long a peer stays shut out. As long as a hundred points, the limit, take to go away, so it returns with a clean record.
pub const BAN: Duration = Duration::from_secs(600);

/// What a peer did. The points are our judgement, with the reason at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// It sent a chunk or statement whose signature is wrong. Honest peers check before they pass on, and the transport
    /// detects damage, so this does not happen by accident; the second one in two minutes is one too many.
    WrongSignature,
    /// It sent bytes that are no message, or too long. A program of another version may do that with one kind of
    /// message, hence four of them.
    Malformed,
    /// It sent more than it may. Ten times: a burst that was held up on the way is counted once or twice.
    Flood,
    /// It said what only a tracker may say, and is none that this node knows. Trackers change, and messages cross on the way.
    Unauthorised,
    /// It signed two things that exclude each other, which is proven and never happens by accident.
    Fraud,
    /// It agreed to send something and did not. An overloaded or disconnected peer does so without bad intent, and
    /// whoever waits finds another supplier anyway; but who never does anything else is not worth a connection.
    NeverSent,
}

impl Offence {
    const fn points(self) -> u32 {
        match self {
            Offence::Fraud => LIMIT,
            Offence::WrongSignature => 60,
            Offence::Malformed => 25,
            Offence::Flood => 10,
            Offence::Unauthorised => 10,
            Offence::NeverSent => 5,
        }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Offence::WrongSignature => "what it sent was not signed as it said",
            Offence::Malformed => "it sent bytes that are no message",
            Offence::Flood => "it sent more than it may",
            Offence::Unauthorised => "it said what only a tracker may say",
            Offence::Fraud => "it signed two things that exclude each other",
            Offence::NeverSent => "it did not send what it had agreed to",
        })
    }
}

/// What follows from an offence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Nothing yet.
    Keep,
    /// Close the connection and make none for [`BAN`].
    Ban,
}

/// Points that go away with time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Points {
    /// When the last of them will be gone.
    gone_at: Time,
}

impl Points {
    fn at(self, now: Time) -> u32 {
        if self.gone_at <= now {
            return 0;
        }
        let left = self
            .gone_at
            .since(now)
            .as_micros()
            .div_ceil(FORGIVEN_EVERY.as_micros());
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    /// Adds points, up to twice the limit in all.
    fn add(&mut self, now: Time, points: u32) {
        let most = now + FORGIVEN_EVERY * (2 * LIMIT);
        self.gone_at = (self.gone_at.max(now) + FORGIVEN_EVERY * points).min(most);
    }
}

/// One peer's standing with this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    offences: Points,
    broken_promises: Points,
    banned_until: Time,
}

impl Standing {
    /// Counts an offence and says what follows.
    pub fn penalise(&mut self, now: Time, offence: Offence) -> Verdict {
        self.offences.add(now, offence.points());
        if offence == Offence::NeverSent {
            self.broken_promises.add(now, offence.points());
        }
        if self.offences.at(now) >= LIMIT {
            self.banned_until = now + BAN;
            // The ban is the price; what follows it starts anew.
            self.offences = Points::default();
            return Verdict::Ban;
        }
        Verdict::Keep
    }

    /// Whether it is shut out.
    pub fn is_banned(&self, now: Time) -> bool {
        now < self.banned_until
    }

    /// How far it is from being shut out: 0 for a clean record, below 1 for whoever is not shut out.
    pub fn misbehaviour(&self, now: Time) -> f64 {
        if self.is_banned(now) {
            return 1.0;
        }
        // A clock that went back makes them more again.
        (f64::from(self.offences.at(now)) / f64::from(LIMIT)).min(1.0)
    }

    /// How often it lately agreed to send and did not, 0 to 1: for choosing between suppliers. The first broken promise
    /// makes 0.05, forgiven in half a minute; 1 stands for twenty and more at once.
    pub fn unreliability(&self, now: Time) -> f64 {
        (f64::from(self.broken_promises.at(now)) / f64::from(LIMIT)).min(1.0)
    }

    /// When it will be as if nothing had been.
    fn clean_at(&self) -> Time {
        self.banned_until
            .max(self.offences.gone_at)
            .max(self.broken_promises.gone_at)
    }
}

/// The standing of all peers that ever did wrong, as far as there is room.
#[derive(Clone, Debug)]
pub struct Standings {
    peers: BTreeMap<PeerId, Standing>,
    limit: usize,
}

impl Standings {
    /// Everybody is in good standing; `limit` (at least one; about 80 bytes each) bad ones are remembered. When it is
    /// full, those are forgotten that would be clean soonest, an eighth at once, so bans outlive small offences.
    pub fn new(limit: usize) -> Self {
        Standings {
            peers: BTreeMap::new(),
            limit: limit.max(1),
        }
    }

    /// Counts an offence of `peer` and says what follows.
    pub fn penalise(&mut self, now: Time, peer: PeerId, offence: Offence) -> Verdict {
        if self.peers.len() >= self.limit && !self.peers.contains_key(&peer) {
            self.make_room();
        }
        self.peers.entry(peer).or_default().penalise(now, offence)
    }

    /// The standing of `peer`.
    pub fn of(&self, peer: PeerId) -> Standing {
        self.peers.get(&peer).copied().unwrap_or_default()
    }

    /// Whether `peer` is shut out.
    pub fn is_banned(&self, now: Time, peer: PeerId) -> bool {
        self.of(peer).is_banned(now)
    }

    /// How many peers are remembered.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    fn make_room(&mut self) {
        let mut ranked: Vec<_> = self
            .peers
            .iter()
            .map(|(peer, standing)| (standing.clean_at(), *peer))
            .collect();
        ranked.sort_unstable();
        for (_, peer) in ranked.into_iter().take(self.limit.div_ceil(8)) {
            self.peers.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests;
