//! The account with one other peer: what both have signed, what is proposed, and which next states are right.
//!
//! The peer with the lower id proposes; the other one asks it to. So an honest peer is never in want of a second signature at one
//! number, and two of them are proof of fraud. Numbers may be left out: what is proposed above a proposal that was declined
//! replaces it, because the highest state that both have signed holds.

mod check;

use std::collections::{BTreeMap, BTreeSet};

use wire::trust::{AccountState, Entered, MAX_PENDING, MAX_WALK, Note, Pending, Receipt, ShiftId};
use wire::{Cosigned, PeerId, Signed, Time, Verifier};

pub(crate) use check::Refusal;

/// How many numbers a peer leaves out that finds it has signed states it does not remember. It cannot know how many more
/// there were; nobody makes a million states between two copies.
pub(crate) const SKIP: u64 = 1 << 20;

/// The highest number of a state. No pair comes near it a state or a [`SKIP`] at a time, and what lies above leaves room
/// for more of both; a state beyond was signed by a key that is no longer its owner's alone.
pub(crate) const MOST_SEQ: u64 = u64::MAX / 2;

/// Shifts may take half of a claim at once, so what a peer that went silent locks for their ten seconds is bounded. Who plans one
/// takes a quarter of what it knows of: two who do not know of each other fit (docs/INCENTIVES.md).
pub(crate) const PENDING_SHARE: u64 = 2;

/// Proposals of the other side that are remembered to be compared with later ones.
const SEEN: usize = 4;

/// A state that this peer, the lower one, has signed and the other may have.
#[derive(Clone, Debug)]
pub(crate) struct Proposed {
    pub(crate) state: AccountState,
    pub(crate) signed: Signed<AccountState>,
    /// Shifts that this and the proposals replaced by it lock where this peer is the creditor: whoever has the
    /// signature may still make any of them hold.
    pub(crate) at_risk: BTreeSet<ShiftId>,
    /// The other said no; another may be proposed above it.
    pub(crate) declined: bool,
}

/// What a peer knows beyond one account when it judges a state of it.
pub(crate) struct Facts<'a> {
    /// Notes that were shown here.
    pub(crate) notes: &'a BTreeMap<ShiftId, (Note, Signed<Note>)>,
    /// Shifts whose entry this peer as the requester does not let go, because it may still have to pay for them.
    pub(crate) kept: &'a BTreeSet<ShiftId>,
}

/// The account with one other peer.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    me: PeerId,
    other: PeerId,
    pub(crate) key: Verifier,
    /// The newest state that both have signed.
    pub(crate) agreed: Option<Cosigned<AccountState>>,
    pub(crate) state: AccountState,
    pub(crate) proposed: Option<Proposed>,
    /// The highest number signed here.
    pub(crate) signed: u64,
    /// Nothing is signed at or below this, and not at or below `signed`.
    pub(crate) floor: u64,
    /// Entries that this peer wants or lets in: those of its own shifts and those it was asked for.
    pub(crate) wanted: BTreeMap<ShiftId, Pending>,
    /// Entries that their debtor gave its word on; this peer's own word if it is the debtor.
    pub(crate) released: BTreeSet<ShiftId>,
    /// Entries that raise what this peer owes and that the requester lets go too.
    pub(crate) consented: BTreeSet<ShiftId>,
    /// Entries whose debtor was silent for too long: no note settles them any more.
    pub(crate) written_off: BTreeSet<ShiftId>,
    /// Entries whose note is known here. They are settled: the other need not have signed a state that says so, and gains nothing
    /// if it never does.
    pub(crate) noted: BTreeSet<ShiftId>,
    /// Until when an entry counts against what may be pending.
    pub(crate) counts_until: BTreeMap<ShiftId, Time>,
    /// Since when an entry is known in this run.
    pub(crate) known_since: BTreeMap<ShiftId, Time>,
    seen: Vec<(u64, Signed<AccountState>)>,
    /// Receipts of the other that are not entered yet, by epoch.
    pub(crate) held: BTreeMap<u64, (Receipt, Signed<Receipt>)>,
    /// The newest receipt to the other that is not entered, by epoch: older ones come back from the other after a crash.
    pub(crate) given: BTreeMap<u64, (Receipt, Signed<Receipt>)>,
}

/// The entry of what the other gave, and of what this peer gave.
fn directions(state: &AccountState, low: bool) -> (Entered, Entered) {
    if low {
        (state.by_high, state.by_low)
    } else {
        (state.by_low, state.by_high)
    }
}

/// The first receipt, epoch by epoch, that adds something.
fn next_entry(
    entered: Entered,
    receipts: &BTreeMap<u64, (Receipt, Signed<Receipt>)>,
) -> Option<(Entered, &Signed<Receipt>)> {
    receipts.values().find_map(|(receipt, signed)| {
        let after = entered.after(receipt.epoch, receipt.bytes)?;
        (after.total > entered.total).then_some((after, signed))
    })
}

impl Pair {
    pub(crate) fn new(me: PeerId, other: PeerId, key: Verifier) -> Self {
        Pair {
            me,
            other,
            key,
            agreed: None,
            state: AccountState::empty(me, other),
            proposed: None,
            signed: 0,
            floor: 0,
            wanted: BTreeMap::new(),
            released: BTreeSet::new(),
            consented: BTreeSet::new(),
            written_off: BTreeSet::new(),
            noted: BTreeSet::new(),
            counts_until: BTreeMap::new(),
            known_since: BTreeMap::new(),
            seen: Vec::new(),
            held: BTreeMap::new(),
            given: BTreeMap::new(),
        }
    }

    /// Whether this peer proposes.
    pub(crate) fn proposes(&self) -> bool {
        self.me < self.other
    }

    pub(crate) fn i_owe(&self, pending: &Pending) -> bool {
        pending.low_owes == self.proposes()
    }

    /// What the lower peer owes the higher one by a state and the notes that are known; negative if it is the other way round.
    pub(crate) fn low_owes(&self, state: &AccountState) -> i128 {
        let noted = state.pending.iter().filter(|p| self.noted.contains(&p.id));
        state.low_owes() + noted.map(Pending::effect).sum::<i128>()
    }

    /// What the other owes this peer in a state; negative if this peer owes.
    fn claim_in(&self, state: &AccountState) -> i128 {
        let low_owes = self.low_owes(state);
        if self.proposes() { -low_owes } else { low_owes }
    }

    /// Takes to heart that a note is known.
    pub(crate) fn note(&mut self, note: &Note) {
        if self.entry(note.id).is_some_and(|entry| self.settles(entry, note)) {
            self.noted.insert(note.id);
        }
    }

    /// The same with all notes that there are.
    pub(crate) fn note_all(&mut self, notes: &BTreeMap<ShiftId, (Note, Signed<Note>)>) {
        let pending: Vec<_> = self.state.pending.iter().map(|p| p.id).collect();
        for (note, _) in pending.iter().filter_map(|id| notes.get(id)) {
            self.note(note);
        }
    }

    /// What the other owes this peer by what both signed, by notes, and by receipts that are not entered yet.
    pub(crate) fn claim(&self) -> i128 {
        let (given, taken) = directions(&self.state, self.proposes());
        let more = |mut entered: Entered, receipts: &BTreeMap<u64, (Receipt, Signed<Receipt>)>| {
            let before = entered.total;
            for (receipt, _) in receipts.values() {
                entered = entered.after(receipt.epoch, receipt.bytes).unwrap_or(entered);
            }
            i128::from(entered.total - before)
        };
        self.claim_in(&self.state) + more(taken, &self.held) - more(given, &self.given)
    }

    fn hash(&self) -> [u8; 32] {
        self.agreed.as_ref().map_or([0; 32], Cosigned::body_hash)
    }

    /// The entry that an id has here.
    pub(crate) fn entry(&self, id: ShiftId) -> Option<&Pending> {
        self.state.pending(id)
    }

    /// Whether an entry holds, whatever becomes of what is proposed.
    pub(crate) fn surely_locked(&self, id: ShiftId) -> bool {
        let in_proposal = self
            .proposed
            .as_ref()
            .is_none_or(|p| p.state.pending(id).is_some());
        self.state.pending(id).is_some() && in_proposal
    }

    /// Whether an entry holds or may come to hold without another signature of this peer.
    pub(crate) fn possibly_locked(&self, id: ShiftId) -> bool {
        let at_risk = |p: &Proposed| p.at_risk.contains(&id) || p.state.pending(id).is_some();
        self.state.pending(id).is_some() || self.proposed.as_ref().is_some_and(at_risk)
    }

    /// Whether the other may have a signature of this peer as creditor under an entry that is not agreed.
    pub(crate) fn at_risk(&self, id: ShiftId) -> bool {
        self.proposed.as_ref().is_some_and(|p| p.at_risk.contains(&id))
    }

    /// What of the creditor's claim may still be locked: half of it less what is.
    pub(crate) fn room(&self, now: Time, state: &AccountState, low_owes: bool) -> u64 {
        let low = self.low_owes(state);
        let claim = if low_owes { low } else { -low };
        let claim = u64::try_from(claim.max(0)).unwrap_or(u64::MAX);
        let counts = |p: &&Pending| {
            let open = !p.raises && !self.noted.contains(&p.id);
            p.low_owes == low_owes && open && self.counts_until.get(&p.id).is_some_and(|&end| now < end)
        };
        let locked: u64 = state.pending.iter().filter(counts).map(|p| p.amount).sum();
        (claim / PENDING_SHARE).saturating_sub(locked)
    }

    /// Whether a note settles this entry.
    pub(crate) fn settles(&self, pending: &Pending, note: &Note) -> bool {
        let fits = note.id == pending.id && note.amount == pending.amount && note.debtor == pending.signer;
        fits && (self.i_owe(pending) || !self.written_off.contains(&pending.id))
    }

    /// Whether both sides let an entry go: the debtor by its word, and where the debt would rise the requester, too, because it
    /// may have to pay for it until its own entry on the path is gone.
    fn lets_go(&self, pending: &Pending, facts: &Facts<'_>) -> bool {
        let both = !pending.raises || !self.i_owe(pending) || self.consented.contains(&pending.id);
        self.released.contains(&pending.id) && both && !facts.kept.contains(&pending.id)
    }

    /// Shifts for which a debtor along the path, who may be gone for good, can still take of this peer's claim, with the edges from
    /// here to the end.
    pub(crate) fn open_claims(&self) -> BTreeMap<ShiftId, u8> {
        let proposed = self.proposed.as_ref();
        // One that was replaced is as far from the end as a path can be.
        let risked = proposed
            .into_iter()
            .flat_map(|p| p.at_risk.iter().map(|id| (*id, MAX_WALK as u8)));
        let entries = self
            .state
            .pending
            .iter()
            .chain(proposed.into_iter().flat_map(|p| p.state.pending.iter()));
        let entries = entries
            .filter(|p| !p.raises && !self.i_owe(p))
            .map(|p| (p.id, p.hops));
        let mut open: BTreeMap<_, _> = risked.chain(entries).collect();
        open.retain(|id, _| !self.written_off.contains(id));
        open
    }

    /// The next state with all that is to be changed, if this peer proposes and there is anything; the evidence is collected.
    /// Locks that do not fit are left out.
    pub(crate) fn next(&self, now: Time, facts: &Facts<'_>) -> Next {
        let base = &self.state;
        let mut next = base.clone();
        let mut evidence = Evidence::default();
        let low = self.proposes();
        let (given, taken) = directions(base, low);
        let after_given = next_entry(given, &self.given).map_or(given, |(after, _)| after);
        let after_taken = match next_entry(taken, &self.held) {
            Some((after, signed)) => {
                evidence.receipts.push(signed.clone());
                after
            }
            None => taken,
        };
        (next.by_high, next.by_low) = if low {
            (after_given, after_taken)
        } else {
            (after_taken, after_given)
        };
        let mut urgent = false;
        let mut shifted = i128::from(base.shifted);
        let mut pending = Vec::new();
        for entry in &base.pending {
            let note = facts
                .notes
                .get(&entry.id)
                .filter(|(note, _)| self.settles(entry, note));
            let full = evidence.notes.len() == wire::trust::MAX_EVIDENCE;
            match note {
                Some((_, signed)) if !full && in_range(shifted + entry.effect()) => {
                    shifted += entry.effect();
                    evidence.notes.push(signed.clone());
                    urgent = true;
                }
                None if self.lets_go(entry, facts) => urgent = true,
                _ => pending.push(*entry),
            }
        }
        next.shifted = shifted as i64;
        let seq = self.state.seq.max(self.signed).max(self.floor) + 1;
        next.closed = closed(
            base,
            |id| pending.iter().any(|entry: &Pending| entry.id == id),
            seq,
        );
        for (id, wanted) in &self.wanted {
            let known = pending.iter().any(|entry| entry.id == *id) || base.pending(*id).is_some();
            if known || pending.len() == MAX_PENDING || evidence.locks.len() == wire::trust::MAX_EVIDENCE {
                continue;
            }
            next.pending = pending.iter().copied().collect();
            let fits = if wanted.raises {
                // Orders that were given together are let in together, whichever of them ends first.
                wanted.base >= base.closed
            } else {
                wanted.amount <= self.room(now, &next, wanted.low_owes)
            };
            if fits {
                pending.push(*wanted);
                evidence.locks.push(*id);
                urgent = true;
            }
        }
        next.pending = pending.into_iter().collect();
        let changed = next != *base;
        next.seq = seq;
        next.previous = self.hash();
        Next {
            state: next,
            evidence,
            changed,
            urgent,
        }
    }

    /// Remembers a proposal of the other; the earlier one at the same number if it was another state.
    pub(crate) fn compare(
        &mut self,
        seq: u64,
        signed: &Signed<AccountState>,
    ) -> Option<Signed<AccountState>> {
        let agreed = self.agreed.as_ref().filter(|_| seq == self.state.seq);
        if let Some(earlier) = agreed.map(Cosigned::first) {
            return (!earlier.same_body(signed)).then_some(earlier);
        }
        let mut known = self
            .seen
            .iter()
            .filter(|(of, _)| *of == seq)
            .map(|(_, signed)| signed);
        if let Some(earlier) = known.next() {
            return (!earlier.same_body(signed)).then(|| earlier.clone());
        }
        if self.seen.len() == SEEN {
            self.seen.remove(0);
        }
        self.seen.push((seq, signed.clone()));
        None
    }

    /// Takes a state that both have signed, if it is the highest. Whether it was.
    pub(crate) fn adopt(&mut self, state: AccountState, agreed: Cosigned<AccountState>) -> bool {
        if state.seq <= self.state.seq {
            return false;
        }
        if state.seq > self.signed {
            // Signed here, and not remembered: there may have been more.
            self.signed = state.seq;
            self.floor = self.floor.max(state.seq.saturating_add(SKIP));
        }
        if self.proposed.as_ref().is_some_and(|p| p.state.seq <= state.seq) {
            self.proposed = None;
        } else if let Some(proposed) = &mut self.proposed {
            // An earlier proposal was agreed to. One above this one is due, or the other could still go back to it.
            proposed.declined = true;
        }
        let (given, taken) = directions(&state, self.proposes());
        self.given.retain(|_, (r, _)| {
            given
                .after(r.epoch, r.bytes)
                .is_some_and(|a| a.total > given.total)
        });
        self.held.retain(|_, (r, _)| {
            taken
                .after(r.epoch, r.bytes)
                .is_some_and(|a| a.total > taken.total)
        });
        self.state = state;
        self.agreed = Some(agreed);
        let present = |id: &ShiftId| self.state.pending(*id).is_some();
        self.wanted.retain(|id, _| !present(id));
        self.released.retain(present);
        self.consented.retain(present);
        self.noted.retain(present);
        let risked = self.proposed.as_ref().map(|p| &p.at_risk);
        let open = |id: &ShiftId| present(id) || risked.is_some_and(|risked| risked.contains(id));
        self.written_off.retain(|id| open(id));
        self.known_since.retain(|id, _| open(id));
        self.counts_until
            .retain(|id, _| present(id) || self.wanted.contains_key(id));
        true
    }
}

/// [`AccountState::closed`] of the state after `base`, of whose entries some stay.
fn closed(base: &AccountState, stays: impl Fn(ShiftId) -> bool, seq: u64) -> u64 {
    let gone = base.pending.iter().any(|entry| entry.raises && !stays(entry.id));
    if gone { seq } else { base.closed }
}

fn in_range(shifted: i128) -> bool {
    i64::try_from(shifted).is_ok()
}

/// What goes with a proposal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) receipts: Vec<Signed<Receipt>>,
    pub(crate) notes: Vec<Signed<Note>>,
    /// Shifts that are new in it.
    pub(crate) locks: Vec<ShiftId>,
}

/// What could be proposed.
pub(crate) struct Next {
    pub(crate) state: AccountState,
    pub(crate) evidence: Evidence,
    pub(crate) changed: bool,
    /// Whether somebody waits for it; receipts alone can be entered now and then.
    pub(crate) urgent: bool,
}

#[cfg(test)]
mod tests;
