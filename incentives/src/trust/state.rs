//! What is kept about each peer, and how it is read from the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wire::trust::{FraudProof, ShiftId, TrustMessage};
use wire::{PeerId, Time, Verifier};

use super::pair::{Pair, Proposed};
use super::receipts::Issued;
use super::records::{self, Record};
use super::walks::OwnEdge;
use super::{Balance, MAX_ACCOUNTS, Trust};
use crate::allowance::Allowance;
use crate::store::{Store, StoreError};
use crate::view::TOLD_HOLDS;

/// The first wait before something without an answer is said again, twice as long each time.
const RETRY: Duration = Duration::from_secs(1);
/// The longest wait.
const RETRY_MOST: Duration = Duration::from_secs(16);

/// One other peer.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) pair: Pair,
    pub(crate) connected: bool,
    /// What this peer gives receipts for.
    pub(crate) issued: Issued,
    /// Bytes that went to the other in this run.
    pub(crate) sent: u64,
    /// Those that it gave receipts for.
    pub(crate) receipted: u64,
    /// When receipts are entered in the account, if nothing else makes a state first.
    pub(crate) fold_at: Time,
    pub(crate) retry_at: Time,
    pub(crate) retry_wait: Duration,
    /// What was said since the last retry, so that it is said once.
    pub(crate) asked: BTreeSet<(ShiftId, u8)>,
    /// The advert of this account.
    pub(crate) edge: OwnEdge,
    /// Questions for its edges that it has not answered.
    pub(crate) asked_edges: u8,
    /// What of the account those were told that they may shift, and until when it is kept for them.
    pub(crate) promised: BTreeMap<PeerId, (Time, u64)>,
    /// Walks that may still come in.
    pub(crate) walks: Allowance,
    /// Whether it was proven to contradict itself.
    pub(crate) condemned: bool,
    /// The proof, if there is an account: it is in the ledger, or will be.
    pub(crate) proof: Option<Box<FraudProof>>,
    /// Proofs about strangers that may still come of it.
    pub(crate) proofs: Allowance,
}

impl Peer {
    fn new(me: PeerId, other: PeerId, key: Verifier) -> Self {
        Peer {
            pair: Pair::new(me, other, key),
            connected: false,
            issued: Issued::default(),
            sent: 0,
            receipted: 0,
            fold_at: Time::NEVER,
            retry_at: Time::NEVER,
            retry_wait: RETRY,
            asked: BTreeSet::new(),
            edge: OwnEdge::default(),
            asked_edges: 0,
            promised: BTreeMap::new(),
            walks: Allowance::default(),
            condemned: false,
            proof: None,
            proofs: Allowance::default(),
        }
    }

    /// Whether anything is said to it and taken of it.
    pub(crate) fn is_heard(&self) -> bool {
        self.connected && !self.condemned
    }

    /// What of the account is kept for others than `asker`.
    pub(crate) fn promised_but(&self, now: Time, asker: PeerId) -> u64 {
        let others = self
            .promised
            .iter()
            .filter(|(peer, (until, _))| **peer != asker && now < *until);
        others.map(|(_, (_, bytes))| bytes).sum()
    }

    /// Keeps so much of it for `asker`.
    pub(crate) fn promise(&mut self, now: Time, asker: PeerId, bytes: u64) {
        self.promised.retain(|_, (until, _)| now < *until);
        self.promised.insert(asker, (now + TOLD_HOLDS, bytes));
    }

    /// Whether there is nothing to remember: most of those that are met only pass by.
    pub(crate) fn is_blank(&self) -> bool {
        let pair = &self.pair;
        let account = pair.agreed.is_none() && pair.proposed.is_none() && pair.wanted.is_empty();
        let receipts = pair.held.is_empty() && pair.given.is_empty() && self.issued.is_blank();
        account && receipts && self.sent == 0 && self.proof.is_none()
    }

    pub(crate) fn next_deadline(&self) -> Time {
        let own = [self.fold_at, self.retry_at, self.edge.renew_at()];
        let first = own.into_iter().min().unwrap_or(Time::NEVER);
        first.min(self.issued.due_at())
    }

    pub(crate) fn balance(&self, now: Time) -> Balance {
        let counts = |p: &&wire::trust::Pending| {
            let live = self.pair.counts_until.get(&p.id).is_some_and(|&end| now < end);
            live && !p.raises && !self.pair.i_owe(p)
        };
        Balance {
            claim: self.pair.claim(),
            unreceipted: self.sent.saturating_sub(self.receipted),
            pending: self
                .pair
                .state
                .pending
                .iter()
                .filter(counts)
                .map(|p| p.amount)
                .sum(),
        }
    }

    /// Says what waits for an answer again, a while from now.
    pub(crate) fn retry_later(&mut self, now: Time) {
        self.retry_at = now + self.retry_wait;
        self.retry_wait = (self.retry_wait * 2).min(RETRY_MOST);
    }

    /// Something came of it.
    pub(crate) fn progress(&mut self) {
        self.retry_wait = RETRY;
        self.retry_at = Time::NEVER;
        self.asked.clear();
    }
}

impl<S: Store> Trust<S> {
    /// The peer with its account, which is opened if there is room. `None` if there is none, or the id is no key.
    pub(crate) fn enter(&mut self, id: PeerId) -> Option<&mut Peer> {
        if !self.peers.contains_key(&id) {
            if self.peers.len() >= MAX_ACCOUNTS {
                self.make_room();
            }
            let key = Verifier::new(id.as_bytes()).ok()?;
            if self.peers.len() < MAX_ACCOUNTS {
                let mut peer = Peer::new(self.me, id, key);
                peer.condemned = self.strangers.remove(id);
                self.peers.insert(id, Box::new(peer));
            }
        }
        self.peers.get_mut(&id).map(|peer| &mut **peer)
    }

    /// Forgets an eighth of the accounts, those that matter least, if they are neither in use nor have a shift under way.
    fn make_room(&mut self) {
        let idle = self.peers.iter().filter(|(_, peer)| {
            let pair = &peer.pair;
            !peer.connected && pair.state.pending.is_empty() && pair.proposed.is_none()
        });
        let mut ranked: Vec<_> = idle
            .map(|(id, peer)| (peer.pair.claim().unsigned_abs(), *id))
            .collect();
        ranked.sort_unstable();
        for (_, id) in ranked.into_iter().take(MAX_ACCOUNTS / 8) {
            let Some(peer) = self.peers.remove(&id) else {
                continue;
            };
            self.remember(id, &peer);
            if peer.proof.is_some() {
                self.writes.push(records::fraud(id, None));
            }
            self.writes.push(records::forget_agreed(id));
            let held = peer.pair.held.keys().map(|&epoch| records::held(id, epoch, None));
            self.writes.extend(held);
            let given = peer
                .pair
                .given
                .keys()
                .map(|&epoch| records::given(id, epoch, None));
            self.writes.extend(given);
        }
    }

    /// Takes all accounts and notes from the ledger. What is only in memory and needs no ledger stays.
    pub(crate) fn read_ledger(&mut self, now: Time) -> Result<(), StoreError> {
        let records = self.store.load()?;
        let mut before = std::mem::take(&mut self.peers);
        self.notes.clear();
        self.notes_since.clear();
        self.shifts.clear();
        let corrupt = |what: &str| StoreError::Corrupt(what.to_owned());
        let mut proposals = Vec::new();
        let mut floors = Vec::new();
        let mut written_off = Vec::new();
        for (key, value) in records {
            match records::read(&key, &value)? {
                Record::Epoch(epoch) => self.epoch = self.epoch.max(epoch),
                Record::Agreed(id, agreed) => {
                    let peer = self.read_peer(id)?;
                    let me_low = peer.pair.proposes();
                    let other = peer.pair.key.clone();
                    let (low, high) = if me_low {
                        (&self.own, &other)
                    } else {
                        (&other, &self.own)
                    };
                    let state = agreed
                        .open(low, high)
                        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
                    if (state.low, state.high) != (self.me.min(id), self.me.max(id)) {
                        return Err(corrupt("an account of others"));
                    }
                    let peer = self.read_peer(id)?;
                    peer.pair.signed = state.seq;
                    peer.pair.adopt(state, agreed);
                }
                Record::Proposed(id, kept) => proposals.push((id, kept)),
                Record::Floor(id, floor) => floors.push((id, floor)),
                Record::WrittenOff(id, shift) => written_off.push((id, shift)),
                Record::Held(id, epoch, signed) => {
                    let peer = self.read_peer(id)?;
                    let receipt = signed
                        .open(&peer.pair.key)
                        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
                    peer.pair.held.insert(epoch, (receipt, signed));
                }
                Record::Given(id, epoch, signed) => {
                    let receipt = signed
                        .open(&self.own)
                        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
                    let given = &mut self.read_peer(id)?.pair.given;
                    given.insert(epoch, (receipt, signed));
                }
                Record::Note(id, signed) => {
                    let note = super::shifts::open_note(&signed)
                        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
                    self.notes.insert(id, (note, signed));
                    self.notes_since.insert(id, now);
                }
                // For people who look into the ledger. It is not signed, and adverts come again.
                Record::View(_) => {}
                Record::Fraud(id, proof) => {
                    let accused = proof.check();
                    let accused = accused.map_err(|error| StoreError::Corrupt(error.to_string()))?;
                    if accused != id {
                        return Err(corrupt("proof against another peer"));
                    }
                    let peer = self.read_peer(id)?;
                    peer.condemned = true;
                    peer.proof = Some(Box::new(proof));
                }
            }
        }
        for (id, kept) in proposals {
            let state = kept
                .state
                .open(&self.own)
                .map_err(|error| StoreError::Corrupt(error.to_string()))?;
            let pair = &mut self.read_peer(id)?.pair;
            pair.signed = pair.signed.max(state.seq);
            if state.seq > pair.state.seq {
                pair.proposed = Some(Proposed {
                    state,
                    signed: kept.state,
                    at_risk: kept.at_risk,
                    declined: false,
                });
            }
        }
        for (id, floor) in floors {
            self.read_peer(id)?.pair.floor = floor;
        }
        for (id, shift) in written_off {
            self.read_peer(id)?.pair.written_off.insert(shift);
        }
        let mut unwritten = Vec::new();
        for (id, peer) in before.iter_mut() {
            if let Some(new) = self.enter(*id) {
                new.connected = peer.connected;
                new.issued = peer.issued.clone();
                new.condemned |= peer.condemned;
                if let Some(proof) = peer.proof.take().filter(|_| new.proof.is_none()) {
                    // It was found out meanwhile, and what was to be written is not.
                    unwritten.push(records::fraud(*id, Some(&proof)));
                    new.proof = Some(proof);
                }
                new.sent = peer.sent;
                new.receipted = peer.receipted;
                new.pair.given.append(&mut peer.pair.given);
                new.pair.held.append(&mut peer.pair.held);
                new.retry_later(now);
            }
        }
        for write in unwritten {
            self.write_soon(now, write);
        }
        for peer in self.peers.values_mut() {
            peer.pair.note_all(&self.notes);
            let entries = peer.pair.state.pending.iter().map(|p| p.id);
            let open = peer.pair.open_claims().into_keys();
            peer.pair.known_since = entries.chain(open).map(|id| (id, now)).collect();
            if !(peer.pair.held.is_empty() && peer.pair.given.is_empty()) {
                // Not at once: the disk may be full, and then this would be asked for again and again.
                peer.fold_at = now + super::receipts::FOLD_EVERY;
            }
        }
        Ok(())
    }

    fn read_peer(&mut self, id: PeerId) -> Result<&mut Peer, StoreError> {
        self.enter(id)
            .ok_or_else(|| StoreError::Corrupt("an account with nobody".to_owned()))
    }

    /// Shifts that any account has an entry of.
    pub(crate) fn pending_ids(&self) -> BTreeSet<ShiftId> {
        let entries = self
            .peers
            .values()
            .flat_map(|peer| peer.pair.state.pending.iter());
        entries.map(|pending| pending.id).collect()
    }

    /// Accounts in which a shift is pending or may be.
    pub(crate) fn involved(&self, id: ShiftId) -> Vec<PeerId> {
        let with = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.pair.possibly_locked(id));
        with.map(|(id, _)| *id).collect()
    }

    /// Tells a peer that has come (back) how things stand.
    pub(crate) fn greet(&mut self, now: Time, id: PeerId) {
        self.issue_rest(now, id);
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.connected = true;
        self.present.insert(id);
        peer.progress();
        let mut messages: Vec<_> = peer
            .pair
            .agreed
            .clone()
            .map(TrustMessage::Account)
            .into_iter()
            .collect();
        // The other may have forgotten receipts: its own, and what it was given.
        let receipts = peer.pair.held.values().chain(peer.pair.given.values());
        messages.extend(receipts.map(|(_, signed)| TrustMessage::Receipt(signed.clone())));
        for message in messages {
            self.send(id, message);
        }
        self.drive(now, id);
    }
}
