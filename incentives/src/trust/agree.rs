//! How two peers come to sign the next state of their account.

use std::collections::BTreeSet;

use wire::trust::{AccountProposal, AccountState, FraudProof, ShiftId, ShiftPrepare, TrustMessage};
use wire::{Cosigned, PeerId, Signed, Time};

use super::pair::{Facts, MOST_SEQ, Proposed, Refusal, SKIP};
use super::records::{self, KeptProposal};
use super::{Fault, Trust, fault};
use crate::store::Store;

const ASKED_LOCK: u8 = 0;
const ASKED_RELEASE: u8 = 1;
const ASKED_NOTE: u8 = 2;

impl<S: Store> Trust<S> {
    /// Does what the account with a peer needs: proposes its next state, or asks the other to.
    pub(crate) fn drive(&mut self, now: Time, id: PeerId) {
        let Some(peer) = self.peers.get(&id) else { return };
        if !peer.connected || peer.condemned {
            return;
        }
        if peer.pair.proposes() {
            self.propose(now, id);
        } else {
            self.ask(now, id);
        }
    }

    fn propose(&mut self, now: Time, id: PeerId) {
        let kept = self.kept_with(id);
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if let Some(proposed) = &peer.pair.proposed {
            if !proposed.declined {
                // Under way. Said (again) when a connection comes or the wait is over.
                if peer.retry_at == Time::NEVER {
                    peer.retry_later(now);
                    self.say_proposal(now, id);
                }
                return;
            }
            if now < peer.retry_at && peer.retry_at != Time::NEVER {
                return;
            }
        }
        let facts = Facts {
            notes: &self.notes,
            kept: &kept,
        };
        let next = peer.pair.next(now, &facts);
        let replaces = peer.pair.proposed.is_some();
        let due = next.changed && (next.urgent || now >= peer.fold_at);
        if !due && !replaces {
            return;
        }
        let mut at_risk = peer
            .pair
            .proposed
            .take()
            .map_or_else(BTreeSet::new, |p| p.at_risk);
        let mine = next.evidence.locks.iter().filter(|lock| {
            let entry = next.state.pending(**lock);
            entry.is_some_and(|entry| !entry.raises && !peer.pair.i_owe(entry))
        });
        at_risk.extend(mine.copied());
        for id in &at_risk {
            peer.pair.known_since.entry(*id).or_insert(now);
        }
        let signed = Signed::new(&next.state, &self.key);
        let record = KeptProposal {
            state: signed.clone(),
            at_risk: at_risk.clone(),
        };
        self.writes.push(records::proposed(id, Some(&record)));
        peer.pair.signed = next.state.seq;
        peer.pair.proposed = Some(Proposed {
            state: next.state,
            signed,
            at_risk,
            declined: false,
        });
        peer.fold_at = Time::NEVER;
        peer.retry_later(now);
        self.say_proposal(now, id);
    }

    /// Sends what is proposed, with the evidence for it.
    fn say_proposal(&mut self, now: Time, id: PeerId) {
        let Some(peer) = self.peers.get(&id) else { return };
        let Some(proposed) = &peer.pair.proposed else {
            return;
        };
        let (base, next) = (&peer.pair.state, &proposed.state);
        let receipts = peer.pair.held.values();
        let receipts = receipts.filter(|(r, _)| base.by_low.after(r.epoch, r.bytes) == Some(next.by_low));
        let gone = base.pending.iter().filter(|p| next.pending(p.id).is_none());
        let notes = gone.filter_map(|p| self.notes.get(&p.id));
        let new = next.pending.iter().filter(|p| base.pending(p.id).is_none());
        let orders = new.filter_map(|p| self.prepare_for(now, p.id, id));
        let message = TrustMessage::Propose(AccountProposal {
            state: proposed.signed.clone(),
            receipts: receipts.map(|(_, signed)| signed.clone()).collect(),
            notes: notes.map(|(_, signed)| signed.clone()).collect(),
            orders: orders.collect(),
        });
        self.send(id, message);
    }

    /// What the peer that does not propose wants of the one that does.
    fn ask(&mut self, now: Time, id: PeerId) {
        let kept = self.kept_with(id);
        let Some(peer) = self.peers.get(&id) else { return };
        let pair = &peer.pair;
        let mut wishes = Vec::new();
        for (shift, wanted) in &pair.wanted {
            if !pair.i_owe(wanted)
                && let Some(prepare) = self.prepare_for(now, *shift, id)
            {
                wishes.push(((*shift, ASKED_LOCK), TrustMessage::Prepare(prepare)));
            }
        }
        for entry in &pair.state.pending {
            let note = self
                .notes
                .get(&entry.id)
                .filter(|(note, _)| pair.settles(entry, note));
            if let Some((_, signed)) = note {
                wishes.push(((entry.id, ASKED_NOTE), TrustMessage::Note(signed.clone())));
                continue;
            }
            let word = pair.i_owe(entry) && pair.released.contains(&entry.id);
            let consent = entry.raises && !pair.i_owe(entry) && !kept.contains(&entry.id);
            if word || consent && !self.is_under_way(entry.id) {
                wishes.push(((entry.id, ASKED_RELEASE), TrustMessage::Release(entry.id)));
            }
        }
        wishes.retain(|(wish, _)| !peer.asked.contains(wish));
        if wishes.is_empty() {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.asked.extend(wishes.iter().map(|(wish, _)| *wish));
            if peer.retry_at == Time::NEVER {
                peer.retry_later(now);
            }
        }
        for (_, message) in wishes {
            self.send(id, message);
        }
    }

    /// Says again what waits for an answer.
    pub(crate) fn retry_due(&mut self, now: Time) {
        let ids: Vec<_> = self.present.iter().copied().collect();
        for id in ids {
            let Some(peer) = self.peers.get_mut(&id) else {
                continue;
            };
            let retry = now >= peer.retry_at;
            if retry {
                peer.retry_at = Time::NEVER;
                peer.asked.clear();
            }
            if retry || now >= peer.fold_at {
                self.drive(now, id);
                if let Some(peer) = self.peers.get_mut(&id)
                    && now >= peer.fold_at
                {
                    // Nothing to enter, or something under way that comes first: looked at again when that is settled.
                    peer.fold_at = Time::NEVER;
                }
            }
            self.offer_edge(now, id);
        }
    }

    pub(crate) fn on_proposal(
        &mut self,
        now: Time,
        from: PeerId,
        proposal: &AccountProposal,
    ) -> Result<(), Fault> {
        let Some(peer) = self.peers.get_mut(&from) else {
            return Ok(());
        };
        if peer.pair.proposes() {
            return Err(Fault::Foreign);
        }
        let next = proposal.state.open(&peer.pair.key).map_err(fault)?;
        if (next.low, next.high) != (from, self.me) {
            return Err(Fault::Foreign);
        }
        if let Some(earlier) = peer.pair.compare(next.seq, &proposal.state) {
            self.condemn(
                now,
                None,
                FraudProof::States(from, earlier, proposal.state.clone()),
            );
            return Err(Fault::Stale);
        }
        if next.seq <= peer.pair.state.seq {
            // What was agreed did not arrive.
            if let Some(agreed) = peer.pair.agreed.clone() {
                self.send(from, TrustMessage::Account(agreed));
            }
            return Err(Fault::Stale);
        }
        for note in &proposal.notes {
            self.learn(now, note)?;
        }
        for prepare in &proposal.orders {
            self.admit(now, from, prepare);
        }
        let kept = self.kept_with(from);
        let Some(peer) = self.peers.get_mut(&from) else {
            return Ok(());
        };
        let own = proposal
            .receipts
            .iter()
            .filter_map(|signed| signed.open(&self.own).ok());
        let own: Vec<_> = own
            .filter(|r| (r.consumer, r.provider) == (self.me, from))
            .collect();
        let facts = Facts {
            notes: &self.notes,
            kept: &kept,
        };
        if let Err(refusal) = peer.pair.check(now, &next, &own, &facts) {
            self.decline(now, from, &next, refusal);
            return Err(Fault::Unexpected);
        }
        let second = proposal.state.also_by(&self.key);
        let Some(agreed) = Cosigned::join(&proposal.state, &second) else {
            return Ok(());
        };
        peer.pair.signed = next.seq;
        self.adopt(now, from, next, agreed.clone());
        self.send(from, TrustMessage::Account(agreed));
        Ok(())
    }

    fn decline(&mut self, now: Time, from: PeerId, next: &AccountState, refusal: Refusal) {
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        let pair = &mut peer.pair;
        pair.floor = pair.floor.max(next.seq.min(pair.state.seq.saturating_add(SKIP)));
        let floor = pair.floor.max(pair.signed);
        let mut first = Vec::new();
        if let Some(agreed) = pair.agreed.clone().filter(|_| refusal == Refusal::Base) {
            first.push(TrustMessage::Account(agreed));
        }
        let gone = pair.state.pending.iter().filter(|p| next.pending(p.id).is_none());
        first.extend(gone.filter_map(|p| {
            let (_, signed) = self.notes.get(&p.id)?;
            Some(TrustMessage::Note(signed.clone()))
        }));
        if refusal == Refusal::Receipt {
            // Those that the other may have forgotten.
            first.extend(
                pair.held
                    .values()
                    .map(|(_, signed)| TrustMessage::Receipt(signed.clone())),
            );
        }
        let mut ended = Vec::new();
        if matches!(refusal, Refusal::Lock | Refusal::Room) {
            let new = next.pending.iter().filter(|p| pair.state.pending(p.id).is_none());
            ended.extend(new.map(|p| p.id));
        }
        for message in first {
            self.send(from, message);
        }
        for id in ended {
            self.send(from, TrustMessage::Abort(id));
            self.give_up(now, id);
        }
        self.send(from, TrustMessage::Decline { seq: next.seq, floor });
    }

    pub(crate) fn on_decline(&mut self, now: Time, from: PeerId, seq: u64, floor: u64) -> Result<(), Fault> {
        let Some(peer) = self.peers.get_mut(&from) else {
            return Ok(());
        };
        let pair = &mut peer.pair;
        let Some(proposed) = pair.proposed.as_mut().filter(|p| p.state.seq == seq) else {
            return Err(Fault::Stale);
        };
        proposed.declined = true;
        // A peer that has lost its ledger leaves out a million numbers; whoever says more only wants to use them up.
        let most = seq.saturating_add(2 * SKIP);
        if floor > most {
            return Err(Fault::TooMuch);
        }
        if floor > pair.floor {
            pair.floor = floor;
            let write = records::floor(from, floor);
            self.writes.push(write);
        }
        if let Some(agreed) = pair.agreed.clone() {
            self.send(from, TrustMessage::Account(agreed));
        }
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.retry_later(now);
        }
        Ok(())
    }

    pub(crate) fn on_account(
        &mut self,
        now: Time,
        from: PeerId,
        agreed: Cosigned<AccountState>,
    ) -> Result<(), Fault> {
        let Some(peer) = self.peers.get_mut(&from) else {
            return Ok(());
        };
        let claimed = agreed.peek().map_err(fault)?;
        let pair = &peer.pair;
        if claimed.seq < pair.state.seq {
            if let Some(mine) = pair.agreed.clone() {
                self.send(from, TrustMessage::Account(mine));
            }
            return Err(Fault::Stale);
        }
        if claimed.seq == pair.state.seq && pair.agreed.as_ref().is_some_and(|mine| *mine == agreed) {
            return Ok(());
        }
        if (claimed.low, claimed.high) != (self.me.min(from), self.me.max(from)) {
            return Err(Fault::Foreign);
        }
        if claimed.seq > MOST_SEQ {
            return Err(Fault::TooMuch);
        }
        let (low, high) = if pair.proposes() {
            (&self.own, &pair.key)
        } else {
            (&pair.key, &self.own)
        };
        // The usual case, the answer to a proposal, has one signature that is known.
        let state = match &pair.proposed {
            Some(proposed) if proposed.signed == agreed.first() => agreed.second().open(&pair.key),
            _ => agreed.open(low, high),
        };
        let state = state.map_err(fault)?;
        let theirs = |agreed: &Cosigned<AccountState>| {
            if pair.proposes() {
                agreed.second()
            } else {
                agreed.first()
            }
        };
        if let Some(mine) = pair.agreed.as_ref().filter(|_| state.seq == pair.state.seq) {
            let proof = FraudProof::States(from, theirs(mine), theirs(&agreed));
            if proof.check().is_ok() {
                self.condemn(now, None, proof);
            }
            return Err(Fault::Stale);
        }
        self.adopt(now, from, state, agreed);
        Ok(())
    }

    /// Takes a state that both have signed, and does what follows from it. The caller has checked it.
    fn adopt(&mut self, now: Time, id: PeerId, state: AccountState, agreed: Cosigned<AccountState>) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let pair = &mut peer.pair;
        let touched = |state: &AccountState| state.pending.iter().map(|p| p.id).collect::<BTreeSet<_>>();
        let before = touched(&pair.state);
        let held: Vec<_> = pair.held.keys().copied().collect();
        let given: Vec<_> = pair.given.keys().copied().collect();
        let written_off = pair.written_off.clone();
        let (floor, was_proposed) = (pair.floor, pair.proposed.is_some());
        let at_risk = pair
            .proposed
            .as_ref()
            .map(|p| p.at_risk.clone())
            .unwrap_or_default();
        if !pair.adopt(state, agreed.clone()) {
            return;
        }
        pair.note_all(&self.notes);
        self.writes.push(records::agreed(id, &agreed));
        if was_proposed && pair.proposed.is_none() {
            self.writes.push(records::proposed(id, None));
        }
        if pair.floor != floor {
            self.writes.push(records::floor(id, pair.floor));
            // The ledger was lost: receipts go on above those that are entered.
            let taken = if pair.proposes() {
                pair.state.by_high
            } else {
                pair.state.by_low
            };
            peer.issued.above(taken.epoch);
        }
        let entered = held.iter().filter(|epoch| !pair.held.contains_key(epoch));
        self.writes
            .extend(entered.map(|&epoch| records::held(id, epoch, None)));
        let entered = given.iter().filter(|epoch| !pair.given.contains_key(epoch));
        self.writes
            .extend(entered.map(|&epoch| records::given(id, epoch, None)));
        let settled = written_off.difference(&pair.written_off);
        self.writes
            .extend(settled.map(|&shift| records::written_off(id, shift, false)));
        let after = touched(&pair.state);
        for new in after.difference(&before) {
            pair.known_since.insert(*new, now);
        }
        if !pair.held.is_empty() || !pair.given.is_empty() {
            peer.fold_at = peer.fold_at.min(now + super::receipts::FOLD_EVERY);
        }
        peer.progress();
        // What was at risk with a proposal that is out of the world now can be let go elsewhere.
        for shift in &(&before ^ &after) | &at_risk {
            self.advance(now, shift);
        }
        self.drive(now, id);
        self.offer_edge(now, id);
    }

    /// What a creditor sends along with a lock: the order, and the time that is left.
    fn prepare_for(&self, now: Time, shift: ShiftId, to: PeerId) -> Option<ShiftPrepare> {
        self.shifts.get(&shift)?.prepare(now, to)
    }
}
