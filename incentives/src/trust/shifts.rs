//! Shifts: what a peer is owed by one is made into what it is owed by another, along a path of peers that owe each other.
//!
//! Every account on the way gets an entry "this much moves if the note is shown"; so has the account between the requester and
//! its new debtor. The new debtor signs the note once both of its own accounts have theirs, and never after its time is over. The
//! note settles every entry, whoever shows it to whom and however late. An entry that no note will settle goes by the word of
//! its debtor, who gives it when nobody can show the note to it any more. So a shift is done everywhere or nowhere, whatever is lost
//! on the way, and clocks only decide whether it is begun.

use std::collections::BTreeSet;
use std::time::Duration;

use wire::trust::{MAX_SHIFT_PEERS, Note, Pending, ShiftId, ShiftOrder, ShiftPrepare, TrustMessage};
use wire::{PeerId, SignatureError, Signed, Time, Verifier};

use super::pair::PENDING_SHARE;
use super::{Event, Fault, Output, Trust, fault, records};
use crate::store::Store;

/// How long a shift may take until it is committed (docs/INCENTIVES.md). What it locks counts for that long.
pub const SHIFT_TIME: Duration = Duration::from_secs(10);

/// What each peer keeps of that for itself: the note's way back to it.
const HOP_TIME: Duration = Duration::from_millis(500);

/// The smallest shift. One over two edges takes some 5 KB of messages, so below that it costs a tenth of what it moves.
pub const MIN_SHIFT: u64 = 32 * 1024;

/// Shifts under way that this peer takes part in: each locks an account or two for seconds.
const MAX_SHIFTS: usize = 256;
/// Those of them that one peer asks for.
const MAX_FROM_ONE: usize = 16;
/// Ids of past shifts that are remembered, at 40 bytes.
const MAX_DONE: usize = 4096;

/// Why a shift cannot be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShiftError {
    /// The path is too short or too long, does not begin here, or comes to somebody twice.
    Path,
    /// Less than [`MIN_SHIFT`].
    Small,
    /// More than half of what the first peer on the path owes, less what is under way.
    Room,
    /// The first or the last peer of the path is not connected.
    NotConnected,
    /// As many are under way as this peer keeps.
    Busy,
}

/// A shift under way, as one of its peers knows it.
#[derive(Clone, Debug)]
pub(crate) struct Shift {
    pub(crate) order: ShiftOrder,
    /// This peer's place in the path.
    place: usize,
    /// After this it is not committed or passed on here.
    pub(super) until: Time,
    /// Given up: nothing is locked or signed for it any more.
    pub(super) aborted: bool,
    /// Whether the user has been told.
    told: bool,
}

impl Shift {
    pub(crate) fn next_deadline(&self) -> Time {
        if self.aborted { Time::NEVER } else { self.until }
    }

    /// Whether this peer asked for it and it may still be committed.
    pub(super) fn is_own(&self) -> bool {
        self.place == 0 && !self.aborted
    }

    fn last(&self) -> usize {
        self.order.path.len() - 1
    }

    /// What this peer tells a debtor of its when it asks for the entry.
    pub(crate) fn prepare(&self, now: Time, to: PeerId) -> Option<ShiftPrepare> {
        let on_path = self.order.path.get(self.place + 1) == Some(&to);
        let gains = self.place == 0 && self.order.path.last() == Some(&to);
        if self.aborted || !(on_path || gains) {
            return None;
        }
        let left = self.until.since(now).checked_sub(HOP_TIME)?;
        Some(ShiftPrepare {
            order: self.order.clone(),
            left_ms: u16::try_from(left.as_millis()).ok().filter(|&ms| ms > 0)?,
        })
    }

    fn entry(&self, id: ShiftId, creditor: usize) -> Pending {
        entry_of(&self.order, id, Some(creditor))
    }
}

/// The entry between a creditor at this place of the path and the next peer; `None`: between the first and the last.
fn entry_of(order: &ShiftOrder, id: ShiftId, creditor: Option<usize>) -> Pending {
    let path = &order.path;
    let last = path.len() - 1;
    let (from, to) = creditor.map_or((0, last), |at| (at, at + 1));
    Pending {
        id,
        amount: order.amount,
        low_owes: path[to] < path[from],
        raises: creditor.is_none(),
        signer: path[last],
        hops: creditor.map_or(0, |at| (last - at) as u8),
        base: creditor.map_or(order.base, |_| 0),
    }
}

/// Whether an order is one at all.
fn is_path(order: &ShiftOrder) -> bool {
    let path = &order.path;
    let distinct: BTreeSet<_> = path.iter().collect();
    path.len() >= 3 && distinct.len() == path.len() && order.amount >= MIN_SHIFT
}

pub(crate) fn open_note(signed: &Signed<Note>) -> Result<Note, SignatureError> {
    let claimed = signed.peek()?;
    signed.open(&Verifier::new(claimed.debtor.as_bytes())?)
}

impl<S: Store> Trust<S> {
    /// Asks for a shift along `path`, which begins with this peer: what the second one owes it, the last one will. Its end is an
    /// event.
    ///
    /// # Errors
    /// A [`ShiftError`]; nothing has happened then.
    pub fn shift(
        &mut self,
        now: Time,
        path: &[PeerId],
        amount: u64,
        out: &mut Vec<Output>,
    ) -> Result<ShiftId, ShiftError> {
        if path.len() > MAX_SHIFT_PEERS || path.first() != Some(&self.me) {
            return Err(ShiftError::Path);
        }
        let newest = path
            .last()
            .and_then(|last| self.peers.get(last))
            .map_or(0, |peer| peer.pair.state.seq);
        let order = ShiftOrder {
            path: path.iter().copied().collect(),
            amount,
            base: newest,
            nonce: rand::RngExt::random(&mut self.rng),
        };
        if amount < MIN_SHIFT {
            return Err(ShiftError::Small);
        }
        if !is_path(&order) {
            return Err(ShiftError::Path);
        }
        let (next, last) = (path[1], path[path.len() - 1]);
        let connected = |id| self.peers.get(&id).is_some_and(|peer| peer.connected);
        if !connected(next) || !connected(last) || self.is_condemned(next) || self.is_condemned(last) {
            return Err(ShiftError::NotConnected);
        }
        if self.shifts.len() >= MAX_SHIFTS {
            return Err(ShiftError::Busy);
        }
        let id = order.id();
        let first = entry_of(&order, id, Some(0));
        let gain = entry_of(&order, id, None);
        if self.room_for(now, next, &first) < amount {
            return Err(ShiftError::Room);
        }
        for hop in order.path.windows(2).skip(1) {
            // What may be pending there at once.
            self.view
                .take(hop[1], hop[0], amount.saturating_mul(PENDING_SHARE));
        }
        let until = now + SHIFT_TIME;
        self.shifts.insert(
            id,
            Shift {
                order,
                place: 0,
                until,
                aborted: false,
                told: false,
            },
        );
        // The new debtor first: by the time the path comes to it, this is settled.
        self.want(last, gain, until);
        self.want(next, first, until);
        self.drive(now, last);
        self.drive(now, next);
        self.finish(now, out);
        Ok(id)
    }

    fn room_for(&self, now: Time, with: PeerId, entry: &Pending) -> u64 {
        let Some(peer) = self.peers.get(&with) else {
            return 0;
        };
        // What is wanted and not in the account yet will take its part.
        let ahead = peer.pair.wanted.values();
        let ahead = ahead.filter(|p| p.id != entry.id && !p.raises && p.low_owes == entry.low_owes);
        let room = peer.pair.room(now, &peer.pair.state, entry.low_owes);
        room.saturating_sub(ahead.map(|p| p.amount).sum())
    }

    /// The most that a shift may take of a peer's debt now.
    pub fn room(&self, now: Time, debtor: PeerId) -> u64 {
        self.room_of(now, debtor, false)
    }

    /// The same of this peer's debt to the other, if it is this one that owes.
    pub(crate) fn room_of(&self, now: Time, with: PeerId, i_owe: bool) -> u64 {
        let entry = Pending {
            id: ShiftId([0; 32]),
            amount: 0,
            low_owes: (with < self.me) != i_owe,
            raises: false,
            signer: with,
            hops: 0,
            base: 0,
        };
        self.room_for(now, with, &entry)
    }

    fn want(&mut self, with: PeerId, entry: Pending, until: Time) {
        let requester = self.shifts.get(&entry.id).map(|shift| shift.order.path[0]);
        if let Some(peer) = self.peers.get_mut(&with) {
            // What was kept for it is taken up.
            requester.and_then(|requester| peer.promised.remove(&requester));
        }
        if let Some(peer) = self.peers.get_mut(&with)
            && peer.pair.entry(entry.id).is_none()
        {
            peer.pair.wanted.insert(entry.id, entry);
            peer.pair.counts_until.insert(entry.id, until);
        }
    }

    pub(crate) fn on_prepare(
        &mut self,
        now: Time,
        from: PeerId,
        prepare: &ShiftPrepare,
    ) -> Result<(), Fault> {
        if self.peers.get(&from).is_some_and(|peer| !peer.pair.proposes()) {
            // Who proposes sends its orders along with the state.
            return Err(Fault::Foreign);
        }
        if !self.admit(now, from, prepare) {
            self.send(from, TrustMessage::Abort(prepare.order.id()));
            return Err(Fault::Unexpected);
        }
        self.drive(now, from);
        Ok(())
    }

    /// Lets the entry in that a creditor asks for. Whether this peer takes part.
    pub(crate) fn admit(&mut self, now: Time, from: PeerId, prepare: &ShiftPrepare) -> bool {
        let order = &prepare.order;
        let id = order.id();
        if !is_path(order) || self.done.contains_key(&id) || self.notes.contains_key(&id) {
            return false;
        }
        let Some(place) = order.path.iter().position(|peer| *peer == self.me) else {
            return false;
        };
        let last = order.path.len() - 1;
        if place == 0 || order.path.iter().any(|peer| self.is_condemned(*peer)) {
            return false;
        }
        let entry = if order.path[place - 1] == from {
            entry_of(order, id, Some(place - 1))
        } else if place == last && order.path[0] == from {
            entry_of(order, id, None)
        } else {
            return false;
        };
        let until = now + Duration::from_millis(prepare.left_ms.into()).min(SHIFT_TIME);
        let older = !self.involved(id).is_empty();
        match self.shifts.get_mut(&id) {
            Some(shift) if shift.aborted => return false,
            Some(shift) => shift.until = shift.until.min(until),
            // What is known of it is older than this run, or it was given up: the debtor's word may be given already.
            None if older => return false,
            None => {
                let of_one = |shift: &&Shift| shift.order.path[0] == order.path[0];
                let from_one = self.shifts.values().filter(of_one).count();
                if self.shifts.len() >= MAX_SHIFTS || from_one >= MAX_FROM_ONE {
                    return false;
                }
                let next = order.path.get(place + 1);
                if next.is_some_and(|next| !self.peers.get(next).is_some_and(|peer| peer.connected)) {
                    return false;
                }
                self.shifts.insert(
                    id,
                    Shift {
                        order: order.clone(),
                        place,
                        until,
                        aborted: false,
                        told: true,
                    },
                );
            }
        }
        if !entry.raises
            && self
                .peers
                .get(&from)
                .is_some_and(|peer| peer.pair.entry(id).is_none())
        {
            // What the creditor has taken of its claim without a receipt is not there to be shifted away.
            if self.balance(now, from).owed() < order.amount {
                self.give_up(now, id);
                return false;
            }
            let room = self.room_for(now, from, &entry);
            let wanted = self
                .peers
                .get(&from)
                .is_some_and(|peer| peer.pair.wanted.contains_key(&id));
            if !wanted && room < order.amount && !self.enters_receipts(from) {
                self.give_up(now, id);
                return false;
            }
        }
        self.want(from, entry, until);
        true
    }

    /// Whether the next state may show more room than the last.
    fn enters_receipts(&self, with: PeerId) -> bool {
        self.peers.get(&with).is_some_and(|peer| {
            !peer.pair.proposes() || !peer.pair.given.is_empty() || !peer.pair.held.is_empty()
        })
    }

    /// Takes the next step of a shift that something happened to.
    pub(crate) fn advance(&mut self, now: Time, id: ShiftId) {
        if !self.notes.contains_key(&id) {
            self.go_on(now, id);
            if !self.notes.contains_key(&id) {
                self.let_go(id);
            }
        }
        for with in self.involved(id) {
            self.drive(now, with);
        }
        self.conclude(now, id);
    }

    fn go_on(&mut self, now: Time, id: ShiftId) {
        let Some(shift) = self.shifts.get(&id) else { return };
        if shift.aborted || shift.place == 0 || now >= shift.until {
            return;
        }
        let (path, place, last, until) = (&shift.order.path, shift.place, shift.last(), shift.until);
        let locked = |with: PeerId| {
            self.peers
                .get(&with)
                .is_some_and(|peer| peer.pair.surely_locked(id))
        };
        if !locked(path[place - 1]) {
            return;
        }
        if place < last {
            let next = path[place + 1];
            let entry = shift.entry(id, place);
            let Some(peer) = self.peers.get(&next) else { return };
            if peer.pair.possibly_locked(id) || peer.pair.wanted.contains_key(&id) {
                return;
            }
            if !peer.connected || self.room_for(now, next, &entry) < entry.amount {
                self.give_up(now, id);
                return;
            }
            self.want(next, entry, until);
            self.drive(now, next);
            return;
        }
        if !locked(path[0]) {
            return;
        }
        let note = Note {
            id,
            debtor: self.me,
            amount: shift.order.amount,
        };
        // From here on it is committed.
        let signed = Signed::new(&note, &self.key);
        self.keep_note(now, note, signed);
    }

    fn keep_note(&mut self, now: Time, note: Note, signed: Signed<Note>) {
        self.writes.push(records::note(note.id, Some(&signed)));
        self.notes_since.insert(note.id, now);
        for peer in self.peers.values_mut() {
            peer.pair.note(&note);
        }
        self.notes.insert(note.id, (note, signed));
    }

    /// Gives this peer's word on entries that it owes by and that nothing will settle.
    fn let_go(&mut self, id: ShiftId) {
        if self.is_under_way(id) {
            return;
        }
        let mut owing = Vec::new();
        for (with, peer) in self.peers.iter() {
            let pair = &peer.pair;
            match pair.entry(id) {
                Some(entry) if pair.i_owe(entry) => owing.push(*with),
                _ if pair.written_off.contains(&id) => {}
                // Somebody may still show this peer the note, and then it has to show it on.
                Some(entry) if !entry.raises => return,
                None if pair.at_risk(id) => return,
                _ => {}
            }
        }
        for with in owing {
            if let Some(peer) = self.peers.get_mut(&with) {
                peer.pair.released.insert(id);
            }
        }
    }

    /// Entries with a peer that this one, as the requester, keeps until its own payment for them is off.
    pub(crate) fn kept_with(&self, with: PeerId) -> BTreeSet<ShiftId> {
        let Some(peer) = self.peers.get(&with) else {
            return BTreeSet::new();
        };
        let pair = &peer.pair;
        let gains = pair.state.pending.iter().filter(|p| p.raises && !pair.i_owe(p));
        gains.map(|p| p.id).filter(|&id| self.may_pay(id)).collect()
    }

    /// Whether this peer still wants to go on with a shift.
    pub(crate) fn is_under_way(&self, id: ShiftId) -> bool {
        self.shifts.get(&id).is_some_and(|shift| !shift.aborted)
    }

    /// Whether a note may still take something of a claim of this peer.
    fn may_pay(&self, id: ShiftId) -> bool {
        self.peers
            .values()
            .any(|peer| peer.pair.open_claims().contains_key(&id))
    }

    /// Takes no further part in a shift. What is locked stays so until it is certain what becomes of it.
    pub(crate) fn give_up(&mut self, now: Time, id: ShiftId) {
        let Some(shift) = self.shifts.get_mut(&id) else {
            return;
        };
        if shift.aborted || self.notes.contains_key(&id) {
            return;
        }
        shift.aborted = true;
        let (path, place) = (&shift.order.path, shift.place);
        let before = place.checked_sub(1).or(Some(shift.order.path.len() - 1));
        let beside = [before, Some(place + 1)].into_iter().flatten();
        let beside: Vec<_> = beside.filter_map(|at| path.get(at)).copied().collect();
        for peer in self.peers.values_mut() {
            if peer.pair.wanted.remove(&id).is_some() && peer.pair.entry(id).is_none() {
                peer.pair.counts_until.remove(&id);
            }
        }
        for to in beside {
            self.send(to, TrustMessage::Abort(id));
        }
        self.advance(now, id);
    }

    pub(crate) fn on_abort(&mut self, now: Time, from: PeerId, id: ShiftId) -> Result<(), Fault> {
        let Some(shift) = self.shifts.get(&id) else {
            return Err(Fault::Stale);
        };
        let (path, place) = (&shift.order.path, shift.place);
        let beside = place > 0 && path[place - 1] == from || path.get(place + 1) == Some(&from);
        let ends = (place == 0 && path.last() == Some(&from)) || (place == shift.last() && path[0] == from);
        if !beside && !ends {
            return Err(Fault::Foreign);
        }
        self.give_up(now, id);
        Ok(())
    }

    pub(crate) fn on_release(&mut self, now: Time, from: PeerId, id: ShiftId) -> Result<(), Fault> {
        let Some(peer) = self.peers.get_mut(&from) else {
            return Ok(());
        };
        let pair = &mut peer.pair;
        let Some(entry) = pair.state.pending(id) else {
            return Err(Fault::Stale);
        };
        match (pair.proposes(), pair.i_owe(entry), entry.raises) {
            (true, false, _) => pair.released.insert(id),
            (true, true, true) => pair.consented.insert(id),
            _ => return Err(Fault::Foreign),
        };
        self.drive(now, from);
        Ok(())
    }

    pub(crate) fn on_note(&mut self, now: Time, signed: &Signed<Note>) -> Result<(), Fault> {
        self.learn(now, signed)
    }

    /// Takes a note, if it settles anything here.
    pub(crate) fn learn(&mut self, now: Time, signed: &Signed<Note>) -> Result<(), Fault> {
        let claimed = signed.peek().map_err(fault)?;
        if self.notes.contains_key(&claimed.id) {
            return Ok(());
        }
        let of_use = self.peers.values().any(|peer| {
            let entry = peer.pair.entry(claimed.id);
            entry.is_some_and(|entry| peer.pair.settles(entry, &claimed))
        });
        if !of_use {
            return Err(Fault::Stale);
        }
        let note = open_note(signed).map_err(fault)?;
        self.keep_note(now, note, signed.clone());
        self.advance(now, note.id);
        Ok(())
    }

    /// Tells the user of a shift of its own how that ended, and puts away what is over.
    fn conclude(&mut self, now: Time, id: ShiftId) {
        let pays = self.may_pay(id);
        let Some(shift) = self.shifts.get_mut(&id) else {
            return;
        };
        let pending = self.peers.values().any(|peer| peer.pair.possibly_locked(id));
        let committed = self.notes.contains_key(&id);
        if !shift.told && (committed || shift.aborted && !pays) {
            shift.told = true;
            if !committed {
                // Something on its way is not as the adverts say.
                for hop in shift.order.path.windows(2).skip(1) {
                    self.view.take(hop[1], hop[0], u64::MAX);
                }
            }
            let event = if committed {
                Event::Committed {
                    id,
                    path: shift.order.path.to_vec(),
                    amount: shift.order.amount,
                    took: (now + SHIFT_TIME).since(shift.until),
                }
            } else {
                Event::Failed { id }
            };
            self.out.push(Output::Event(event));
        }
        // What others asked for need not be remembered once it is given up: the accounts say what is left of it.
        if shift.aborted && shift.told || committed && !pending {
            self.shifts.remove(&id);
            self.done.insert(id, now);
            if self.done.len() > MAX_DONE {
                let oldest = self.done.iter().min_by_key(|(_, at)| **at).map(|(id, _)| *id);
                oldest.map(|id| self.done.remove(&id));
            }
        }
    }
}
