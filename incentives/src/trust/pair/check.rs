//! Which states the peer that does not propose may sign.

use wire::Time;
use wire::trust::{AccountState, Pending, Receipt};

use super::{Facts, Pair, SKIP, closed, next_entry};

/// Why a state is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its number was used.
    Number,
    /// It does not follow what was agreed.
    Base,
    /// What was given is not what receipts say.
    Receipt,
    /// An entry was changed.
    Entry,
    /// An entry is gone without note or word.
    Release,
    /// The balance moved by something else than notes.
    Sum,
    /// A shift that this peer was not asked for or has given up.
    Lock,
    /// More than may be pending.
    Room,
}

impl Pair {
    /// Whether this peer, the higher one, may sign a proposed state. `receipts` are its own that came as evidence, `facts` has
    /// the notes that came.
    ///
    /// Returns why not, for tests and counters.
    pub(crate) fn check(
        &self,
        now: Time,
        next: &AccountState,
        receipts: &[Receipt],
        facts: &Facts<'_>,
    ) -> Result<(), Refusal> {
        let base = &self.state;
        let highest = base.seq.max(self.signed).max(self.floor);
        // Who leaves out more than a lost ledger makes necessary wants to use them up.
        if next.seq <= highest || next.seq - highest > 4 * SKIP {
            return Err(Refusal::Number);
        }
        if next.previous != self.hash() {
            return Err(Refusal::Base);
        }
        self.check_receipts(base, next, receipts)?;
        let mut shifted = i128::from(base.shifted);
        for entry in &base.pending {
            match next.pending(entry.id) {
                Some(kept) if kept == entry => continue,
                Some(_) => return Err(Refusal::Entry),
                None => {}
            }
            if let Some((note, _)) = facts.notes.get(&entry.id)
                && self.settles(entry, note)
            {
                shifted += entry.effect();
                continue;
            }
            // A release: by the word of the debtor, which is the proposer or has asked for it.
            let word = if self.i_owe(entry) {
                self.released.contains(&entry.id)
            } else {
                true
            };
            if !word || facts.kept.contains(&entry.id) {
                return Err(Refusal::Release);
            }
        }
        if i128::from(next.shifted) != shifted {
            return Err(Refusal::Sum);
        }
        if next.closed != closed(base, |id| next.pending(id).is_some(), next.seq) {
            return Err(Refusal::Entry);
        }
        for (at, entry) in next.pending.iter().enumerate() {
            if next.pending[..at].iter().any(|before| before.id == entry.id) {
                return Err(Refusal::Entry);
            }
            if base.pending(entry.id).is_none() {
                self.check_lock(now, next, entry)?;
            }
        }
        Ok(())
    }

    fn check_receipts(
        &self,
        base: &AccountState,
        next: &AccountState,
        receipts: &[Receipt],
    ) -> Result<(), Refusal> {
        // What the proposer gave rests on this peer's own receipts.
        if next.by_low != base.by_low {
            let entered = |r: &&Receipt| base.by_low.after(r.epoch, r.bytes) == Some(next.by_low);
            receipts.iter().find(entered).ok_or(Refusal::Receipt)?;
        }
        // What this peer gave the proposer says itself. No receipt that is held may be passed over.
        if next.by_high != base.by_high {
            let (epoch, bytes) = (next.by_high.epoch, next.by_high.bytes);
            if base.by_high.after(epoch, bytes) != Some(next.by_high) {
                return Err(Refusal::Receipt);
            }
            if let Some((first, _)) = next_entry(base.by_high, &self.held)
                && first.epoch < epoch
            {
                return Err(Refusal::Receipt);
            }
        }
        Ok(())
    }

    fn check_lock(&self, now: Time, next: &AccountState, entry: &Pending) -> Result<(), Refusal> {
        let wanted = self.wanted.get(&entry.id).ok_or(Refusal::Lock)?;
        if entry != wanted || (entry.raises && entry.base < self.state.closed) {
            return Err(Refusal::Lock);
        }
        let before = AccountState {
            pending: next
                .pending
                .iter()
                .filter(|p| p.id != entry.id)
                .copied()
                .collect(),
            ..next.clone()
        };
        if !entry.raises && entry.amount > self.room(now, &before, entry.low_owes) {
            return Err(Refusal::Room);
        }
        Ok(())
    }
}
