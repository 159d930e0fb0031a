//! What a peer knows of who owes whom: its own accounts, and adverts that walks brought.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::trust::TrustEdge;
use wire::{PeerId, Time};

/// How long an advert holds (docs/INCENTIVES.md).
pub const EDGE_LIFE: Duration = Duration::from_secs(600);

/// How far the clocks of two peers may be apart. There is no common clock; an advert that is held back longer than this and
/// its life is refused everywhere, and until then it only makes a shift fail.
pub const CLOCK_SKEW: Duration = Duration::from_secs(600);

/// How long what one end of an edge has told of it, because it was asked, is as it is now (docs/INCENTIVES.md).
pub const TOLD_HOLDS: Duration = Duration::from_secs(4);

/// Most adverts of others that are kept (docs/INCENTIVES.md).
pub const MAX_EDGES: usize = 2000;

/// An advert of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    bytes: u64,
    seq: u64,
    until: Time,
    digest: [u8; 32],
    /// Until when it is as one of its ends told.
    told_until: Time,
}

/// What is known of an account of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advert {
    /// Who owes.
    pub debtor: PeerId,
    /// To whom.
    pub creditor: PeerId,
    /// Bytes that are owed at least.
    pub bytes: u64,
    /// How long this holds.
    pub until: Time,
}

/// Why an advert is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeError {
    /// Its time is over, or further ahead than it may be.
    Expired,
    /// It says what no account can have.
    Nonsense,
    /// A later one is known.
    Stale,
}

/// Who owes whom, as far as is known here.
#[derive(Clone, Debug)]
pub struct View {
    me: PeerId,
    /// By debtor and creditor.
    edges: BTreeMap<(PeerId, PeerId), Known>,
    /// By debtor and creditor, one of which is this peer. Never evicted.
    own: BTreeMap<(PeerId, PeerId), u64>,
}

impl View {
    /// An empty view.
    pub fn new(me: PeerId) -> Self {
        View {
            me,
            edges: BTreeMap::new(),
            own: BTreeMap::new(),
        }
    }

    /// Whether an advert may be taken: of a time that can be, about two peers, with an amount.
    ///
    /// # Errors
    /// An [`EdgeError`].
    pub fn check(now: Time, edge: &TrustEdge) -> Result<(), EdgeError> {
        if edge.expires + CLOCK_SKEW <= now || edge.expires > now + EDGE_LIFE + CLOCK_SKEW {
            return Err(EdgeError::Expired);
        }
        if edge.debtor == edge.creditor || edge.bytes() == 0 {
            return Err(EdgeError::Nonsense);
        }
        Ok(())
    }

    /// Whether exactly this advert was found right before.
    pub fn knows(&self, edge: &TrustEdge, digest: &[u8; 32]) -> bool {
        let known = self.edges.get(&(edge.debtor, edge.creditor));
        known.is_some_and(|known| known.digest == *digest)
    }

    /// Takes an advert whose signatures were found right. When there are too many the one with the least debt goes, of those the
    /// one that ends soonest.
    ///
    /// # Errors
    /// An [`EdgeError`].
    pub fn insert(&mut self, now: Time, edge: &TrustEdge, digest: [u8; 32]) -> Result<(), EdgeError> {
        View::check(now, edge)?;
        if edge.debtor == self.me || edge.creditor == self.me {
            // This peer knows better.
            return Ok(());
        }
        let between = (edge.debtor, edge.creditor);
        let reverse = (edge.creditor, edge.debtor);
        for pair in [between, reverse] {
            if self.edges.get(&pair).is_some_and(|known| known.seq > edge.seq) {
                return Err(EdgeError::Stale);
            }
        }
        self.edges.remove(&reverse);
        // Said again it lives no longer, unless it is a new one.
        let (until, bytes, told_until) = match self.edges.get(&between) {
            Some(known) if known.digest == digest => (known.until, known.bytes, known.told_until),
            _ => (now + EDGE_LIFE, edge.bytes(), Time::ZERO),
        };
        let known = Known {
            bytes,
            seq: edge.seq,
            until,
            digest,
            told_until,
        };
        self.edges.insert(between, known);
        if self.edges.len() > MAX_EDGES {
            let weakest = self
                .edges
                .iter()
                .min_by_key(|(_, known)| (known.bytes, known.until));
            let weakest = weakest.map(|(between, _)| *between);
            weakest.map(|between| self.edges.remove(&between));
        }
        Ok(())
    }

    /// Counts so many bytes of an edge of others as gone, until there is a new advert of it. Who told of it did so for one shift.
    pub fn take(&mut self, debtor: PeerId, creditor: PeerId, bytes: u64) {
        if let Some(known) = self.edges.get_mut(&(debtor, creditor)) {
            known.bytes = known.bytes.saturating_sub(bytes);
            known.told_until = Time::ZERO;
        }
    }

    /// One end of an edge that is known tells that it is as its advert says, at this moment.
    pub fn tell(&mut self, now: Time, edge: &TrustEdge) {
        if let Some(known) = self
            .edges
            .get_mut(&(edge.debtor, edge.creditor))
            .filter(|known| known.seq == edge.seq)
        {
            known.bytes = edge.bytes();
            known.told_until = now + TOLD_HOLDS;
        }
    }

    /// What an account of this peer says: what the other owes it, negative if it is this peer that owes.
    pub fn set_own(&mut self, other: PeerId, claim: i128) {
        self.own.remove(&(other, self.me));
        self.own.remove(&(self.me, other));
        let bytes = u64::try_from(claim.unsigned_abs()).unwrap_or(u64::MAX);
        if claim > 0 {
            self.own.insert((other, self.me), bytes);
        } else if claim < 0 {
            self.own.insert((self.me, other), bytes);
        }
    }

    /// Whether anybody owes this peer anything or it owes anybody, as far as is known.
    pub fn tells_of(&self, peer: PeerId) -> bool {
        let pairs = self.edges.keys().chain(self.own.keys());
        pairs
            .into_iter()
            .any(|(debtor, creditor)| *debtor == peer || *creditor == peer)
    }

    /// Forgets everything about a peer.
    pub fn remove_peer(&mut self, peer: PeerId) {
        self.edges
            .retain(|(debtor, creditor), _| *debtor != peer && *creditor != peer);
        self.own
            .retain(|(debtor, creditor), _| *debtor != peer && *creditor != peer);
    }

    /// Forgets adverts whose time is over.
    pub fn expire(&mut self, now: Time) {
        self.edges.retain(|_, known| now < known.until);
    }

    /// Debtor, creditor and bytes of all edges that hold, own ones last.
    pub fn edges(&self, now: Time) -> impl Iterator<Item = (PeerId, PeerId, u64)> {
        self.edges_of(move |known| now < known.until)
    }

    /// Those of them that one of their ends has told of just now, and own ones.
    pub fn told(&self, now: Time) -> impl Iterator<Item = (PeerId, PeerId, u64)> {
        self.edges_of(move |known| now < known.told_until.min(known.until))
    }

    /// The adverts of others that hold, and until when.
    pub fn adverts(&self, now: Time) -> impl Iterator<Item = Advert> {
        let holds = self.edges.iter().filter(move |(_, known)| now < known.until);
        holds.map(|((debtor, creditor), known)| Advert {
            debtor: *debtor,
            creditor: *creditor,
            bytes: known.bytes,
            until: known.until,
        })
    }

    fn edges_of(&self, holds: impl Fn(&Known) -> bool) -> impl Iterator<Item = (PeerId, PeerId, u64)> {
        let others = self.edges.iter().filter(move |(_, known)| holds(known));
        let others = others.map(|((debtor, creditor), known)| (*debtor, *creditor, known.bytes));
        let own = self
            .own
            .iter()
            .map(|((debtor, creditor), bytes)| (*debtor, *creditor, *bytes));
        others.chain(own)
    }

    /// How many adverts of others are kept.
    pub fn len(&self) -> usize {
        self.edges.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }
}

#[cfg(test)]
mod tests;
