//! Who gave whom how much.

use std::time::Duration;

use wire::{IdMap, PeerId, StreamId, Time};

/// An account that nothing was entered in for this long gives way before one in use. A minute is many times the longest
/// pause in a live stream, and short against a viewing.
const IDLE: Duration = Duration::from_secs(60);

/// Media that passed between this peer and another one, in bytes of payload that were new to whoever got them.
/// Duplicates and whatever was dropped count for nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// What the other provided to this peer.
    pub to_me: u64,
    /// What this peer provided to the other.
    pub by_me: u64,
}

impl Account {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Account) -> Account {
        Account {
            to_me: self.to_me.saturating_add(other.to_me),
            by_me: self.by_me.saturating_add(other.by_me),
        }
    }

    /// What this peer owes the other; negative when the other owes.
    pub fn balance(&self) -> i64 {
        let difference = i128::from(self.to_me) - i128::from(self.by_me);
        difference.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}

/// How much a peer is worth to this one. Ordered: the least is the first to give up its place to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contribution {
    /// Bytes it provided to this peer in the stream in question.
    pub in_stream: u64,
    /// What this peer owes it over all streams.
    pub balance: i64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    account: Account,
    last: Time,
}

/// The accounts of one peer with all others, each stream apart.
#[derive(Clone, Debug)]
pub struct Accounts {
    entries: IdMap<(PeerId, StreamId), Entry>,
    /// What was entered since it was last taken.
    news: IdMap<(PeerId, StreamId), Account>,
    limit: usize,
}

impl Accounts {
    /// No accounts, with room for `limit` (at least one; about 120 bytes each). When it is full, an eighth gives way at
    /// once: accounts that are not in use before others, and of those the ones that show the least contribution.
    /// A newcomer's account therefore has time to grow, and crowds of small accounts only push out each other.
    pub fn new(limit: usize) -> Self {
        Accounts {
            entries: IdMap::new(),
            news: IdMap::new(),
            limit: limit.max(1),
        }
    }

    /// Enters that `peer` provided `bytes` of a chunk that was not here yet.
    pub fn received(&mut self, now: Time, peer: PeerId, stream: StreamId, bytes: u64) {
        let account = self.enter(now, peer, stream);
        account.to_me = account.to_me.saturating_add(bytes);
    }

    /// Enters that `bytes` of a chunk went to `peer`, which did not have it as far as was known.
    pub fn sent(&mut self, now: Time, peer: PeerId, stream: StreamId, bytes: u64) {
        let account = self.enter(now, peer, stream);
        account.by_me = account.by_me.saturating_add(bytes);
    }

    /// What passed between this peer and `peer` in `stream`.
    pub fn account(&self, peer: PeerId, stream: StreamId) -> Account {
        self.entries
            .get(&(peer, stream))
            .map(|entry| entry.account)
            .unwrap_or_default()
    }

    /// The same over all streams.
    pub fn total(&self, peer: PeerId) -> Account {
        let mut total = Account::default();
        let first = (peer, StreamId::from_bytes([0; 32]));
        for (_, entry) in self.entries.from(&first).take_while(|((of, _), _)| *of == peer) {
            total.to_me = total.to_me.saturating_add(entry.account.to_me);
            total.by_me = total.by_me.saturating_add(entry.account.by_me);
        }
        total
    }

    /// Enters both at once: what passed since the last time, the last of it at `last`.
    pub fn add(&mut self, last: Time, peer: PeerId, stream: StreamId, passed: Account) {
        let account = self.enter(last, peer, stream);
        *account = account.plus(passed);
        let key = (peer, stream);
        if self.news.len() < self.limit || self.news.contains_key(&key) {
            let news = self.news.entry(key).or_default();
            *news = news.plus(passed);
        }
    }

    /// What was [added](Accounts::add) since the last time: for whoever has it signed. As many peers and streams as there are
    /// accounts; what comes on top of them is left out.
    pub fn take_news(&mut self) -> Vec<(PeerId, StreamId, Account)> {
        let news = self.news.iter();
        let news = news
            .map(|((peer, stream), account)| (*peer, *stream, *account))
            .collect();
        // As many will be there again in a moment: their place is kept.
        self.news.clear();
        news
    }

    /// How much `peer` is worth, for choosing whom to serve in `stream` when not all can be served: first what it gives
    /// to this stream, then what is owed to it for others. A peer that was never met is worth nothing yet.
    pub fn contribution(&self, peer: PeerId, stream: StreamId) -> Contribution {
        self.contribution_with(peer, stream, Account::default(), Account::default())
    }

    /// The same with what has passed in this stream, and in any, and is not entered yet.
    pub fn contribution_with(
        &self,
        peer: PeerId,
        stream: StreamId,
        in_stream: Account,
        in_all: Account,
    ) -> Contribution {
        Contribution {
            in_stream: self.account(peer, stream).plus(in_stream).to_me,
            balance: self.total(peer).plus(in_all).balance(),
        }
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn enter(&mut self, now: Time, peer: PeerId, stream: StreamId) -> &mut Account {
        let key = (peer, stream);
        if self.entries.len() >= self.limit && !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        let entry = self.entries.entry(key).or_insert(Entry {
            account: Account::default(),
            last: now,
        });
        entry.last = now;
        &mut entry.account
    }

    fn make_room(&mut self, now: Time) {
        let mut ranked: Vec<_> = self
            .entries
            .iter()
            .map(|(key, entry)| {
                let in_use = now.since(entry.last) < IDLE;
                (in_use, entry.account.to_me, entry.account.by_me, *key)
            })
            .collect();
        ranked.sort_unstable();
        let mut gone: Vec<_> = ranked
            .into_iter()
            .take(self.limit.div_ceil(8))
            .map(|(.., key)| key)
            .collect();
        gone.sort_unstable();
        self.entries.retain(|key, _| gone.binary_search(key).is_err());
    }
}

#[cfg(test)]
mod tests;
