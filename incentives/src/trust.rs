//! Trust: accounts that two peers sign, and shifts that make what was earned here worth something there (the paper, §6).
//!
//! [`Trust`] is a value like every core: it is told what happened and what time it is, and says what to send. What it signs it
//! first has written by its [`Store`]; if that fails nothing is sent, and it goes on from what is written. `docs/INCENTIVES.md`
//! has the protocol.

mod agree;
mod frauds;
mod listing;
mod pair;
mod receipts;
mod records;
mod shifts;
mod state;
mod upkeep;
mod walks;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use wire::trust::{AccountState, FraudProof, Note, ShiftId, TrustMessage};
use wire::{PeerId, PeerMap, SecretKey, SignatureError, Signed, StreamId, Time, Verifier};

use crate::store::{Store, StoreError, Write};
use crate::view::View;
use frauds::Strangers;
use shifts::Shift;
use state::Peer;

pub use listing::{Listed, adverts, list};
pub use receipts::{RECEIPT_BYTES, RECEIPT_EVERY};
pub(crate) use records::is_of_shift;
pub use shifts::{MIN_SHIFT, SHIFT_TIME, ShiftError};
pub use upkeep::KEEP;
pub use walks::{WALK_EVERY, WALKERS};

/// Accounts that are kept: a year of meeting twenty strangers a day. Each takes half a kilobyte.
const MAX_ACCOUNTS: usize = 8192;

/// What a peer may have taken of another before it gave anything, and still come before those who took more: the design's figure,
/// eight minutes of a twelfth of the usual stream (docs/INCENTIVES.md).
pub const NEWCOMER_LINE: u64 = 16 << 20;

/// What a node is to do, or may want to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Say this to a peer, on the connection that there is.
    Send {
        /// To whom.
        to: PeerId,
        /// What.
        message: Box<TrustMessage>,
    },
    /// Something happened.
    Event(Event),
}

/// What a node learns.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A shift of this peer is committed: the last on its path owes it that much more.
    Committed {
        /// The shift.
        id: ShiftId,
        /// From this peer to who owes now.
        path: Vec<PeerId>,
        /// Bytes.
        amount: u64,
        /// How long it took.
        took: Duration,
    },
    /// A shift of this peer will not happen, and nothing will be taken of its claims for it.
    Failed {
        /// The shift.
        id: ShiftId,
    },
    /// Somebody signed a contradiction. It is shunned, and whom it may concern has been told.
    Fraud(FraudProof),
    /// A peer said something that is not right.
    Fault(PeerId, Fault),
    /// The ledger could not be written: nothing that depends on it was sent.
    Ledger(StoreError),
}

/// What was wrong with something that a peer said. It had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A signature does not fit.
    Signature,
    /// It is about others, or not for the sender to say.
    Foreign,
    /// It has a number that is past. Happens when messages cross.
    Stale,
    /// Its time is over.
    Expired,
    /// More than may be said, or a value that nothing has.
    TooMuch,
    /// It was not asked for, or does not follow what was agreed. Happens when messages are lost.
    Unexpected,
}

/// How two peers stand, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// What the other owes this peer, signed; negative: what this peer owes.
    pub claim: i128,
    /// What was sent to the other and has no receipt yet.
    pub unreceipted: u64,
    /// How much of a claim shifts under way hold.
    pub pending: u64,
}

impl Balance {
    /// What this peer owes the other and has not given it since. What was sent and has no receipt yet counts as given: who is owed
    /// something and signs no receipts for what comes of it would be owed the same for ever.
    pub fn owed(&self) -> u64 {
        let owed = u64::try_from(self.claim.saturating_neg()).unwrap_or(0);
        owed.saturating_sub(self.unreceipted)
    }
}

/// The trust of one peer.
pub struct Trust<S> {
    key: SecretKey,
    me: PeerId,
    own: Verifier,
    store: S,
    rng: ChaCha8Rng,
    epoch: u64,
    /// In boxes, because entering one moves what comes after it.
    peers: PeerMap<Box<Peer>>,
    /// Those that are connected: what is done often is done for them alone.
    present: BTreeSet<PeerId>,
    shifts: BTreeMap<ShiftId, Shift>,
    /// Shifts that are over, with when.
    done: BTreeMap<ShiftId, Time>,
    notes: BTreeMap<ShiftId, (Note, Signed<Note>)>,
    /// Since when each note is known in this run.
    notes_since: BTreeMap<ShiftId, Time>,
    view: View,
    view_written: Time,
    /// Those with whom there is neither an account nor a connection, and who signed contradictions.
    strangers: Strangers,
    faults: BTreeMap<Fault, u64>,
    walk_at: Time,
    /// When what is past is looked through, once a minute.
    forget_at: Time,
    /// What must be written before anything of `out` is sent.
    writes: Vec<Write>,
    /// What may be written within a second: nothing of this peer's was signed on the strength of it.
    lazy: Vec<Write>,
    flush_at: Time,
    out: Vec<Output>,
}

impl<S: Store> Trust<S> {
    /// Begins with what the store has.
    ///
    /// # Errors
    /// A [`StoreError`] when that cannot be read or written, or is not what this key signed.
    pub fn open(key: SecretKey, store: S, seed: u64, now: Time) -> Result<Self, StoreError> {
        let me = key.peer_id();
        let own = Verifier::new(me.as_bytes()).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let mut trust = Trust {
            key,
            me,
            own,
            store,
            rng: ChaCha8Rng::seed_from_u64(seed),
            epoch: 0,
            peers: PeerMap::new(),
            present: BTreeSet::new(),
            shifts: BTreeMap::new(),
            done: BTreeMap::new(),
            notes: BTreeMap::new(),
            notes_since: BTreeMap::new(),
            view: View::new(me),
            view_written: now,
            strangers: Strangers::default(),
            faults: BTreeMap::new(),
            walk_at: Time::NEVER,
            forget_at: now,
            writes: Vec::new(),
            lazy: Vec::new(),
            flush_at: Time::NEVER,
            out: Vec::new(),
        };
        trust.read_ledger(now)?;
        // Receipts of this run are counted by themselves, so none of them needs to be written before it is signed. The time
        // makes the epoch a new one even if the ledger is lost.
        trust.epoch = (trust.epoch + 1).max(now.as_micros());
        trust.store.apply(&[records::epoch(trust.epoch)])?;
        trust.plan_walk(now);
        for id in trust.pending_ids() {
            trust.advance(now, id);
        }
        let mut out = Vec::new();
        trust.finish(now, &mut out);
        Ok(trust)
    }

    /// A connection to `peer` is there.
    pub fn on_connected(&mut self, now: Time, peer: PeerId, out: &mut Vec<Output>) {
        if peer != self.me && self.enter(peer).is_some() {
            self.greet(now, peer);
        }
        self.finish(now, out);
    }

    /// The connection is gone. What is under way waits for another.
    pub fn on_disconnected(&mut self, peer: PeerId) {
        self.present.remove(&peer);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.connected = false;
            if known.is_blank()
                && let Some(gone) = self.peers.remove(&peer)
            {
                self.remember(peer, &gone);
            }
        }
    }

    /// What `from` said. From a peer without a connection nothing is taken.
    pub fn handle(&mut self, now: Time, from: PeerId, message: TrustMessage, out: &mut Vec<Output>) {
        if self.peers.get(&from).is_some_and(|peer| peer.is_heard()) {
            let taken = match message {
                TrustMessage::Receipt(receipt) => self.on_receipt(now, from, &receipt),
                TrustMessage::Propose(proposal) => self.on_proposal(now, from, &proposal),
                TrustMessage::Decline { seq, floor } => self.on_decline(now, from, seq, floor),
                TrustMessage::Account(state) => self.on_account(now, from, state),
                TrustMessage::Prepare(prepare) => self.on_prepare(now, from, &prepare),
                TrustMessage::Abort(id) => self.on_abort(now, from, id),
                TrustMessage::Release(id) => self.on_release(now, from, id),
                TrustMessage::Note(note) => self.on_note(now, &note),
                TrustMessage::Advertise(edge) => self.on_advertise(now, from, &edge),
                TrustMessage::Advertised(edge) => self.on_advertised(now, from, &edge),
                TrustMessage::Walk(edges) => self.on_walk(now, from, edges.into_vec()),
                TrustMessage::AskEdges { owed } => self.on_ask_edges(now, from, owed),
                TrustMessage::TellEdges(edges) => self.on_edges(now, from, edges.into_vec()),
                TrustMessage::Fraud(proof) => self.on_fraud(now, from, proof),
            };
            if let Err(fault) = taken {
                self.count(from, fault);
            }
        }
        self.finish(now, out);
    }

    /// When [`handle_deadline`](Self::handle_deadline) has something to do.
    pub fn next_deadline(&self) -> Time {
        let present = self.present.iter().filter_map(|id| self.peers.get(id));
        let peers = present.map(|peer| peer.next_deadline());
        let shifts = self.shifts.values().map(Shift::next_deadline);
        let own = [self.walk_at, self.flush_at, self.forget_at];
        peers.chain(shifts).chain(own).min().unwrap_or(Time::NEVER)
    }

    /// Does what is due.
    pub fn handle_deadline(&mut self, now: Time, out: &mut Vec<Output>) {
        self.issue_due(now);
        self.end_shifts(now);
        self.forget(now);
        self.retry_due(now);
        if now >= self.walk_at {
            self.walk(now);
        }
        self.finish(now, out);
    }

    /// Signs what has no receipt yet and writes what waits to be: the end of a run.
    pub fn close(&mut self, now: Time, out: &mut Vec<Output>) {
        let present: Vec<_> = self.present.iter().copied().collect();
        for provider in present {
            self.issue_rest(now, provider);
        }
        self.write_view(now);
        if !self.lazy.is_empty() {
            self.flush_at = now;
        }
        self.finish(now, out);
    }

    /// `provider` gave this peer so many new bytes of a stream. Signs a receipt when one is due.
    pub fn received(
        &mut self,
        now: Time,
        provider: PeerId,
        stream: StreamId,
        bytes: u64,
        out: &mut Vec<Output>,
    ) {
        if provider != self.me && self.enter(provider).is_some() {
            self.note_received(now, provider, stream, bytes);
        }
        self.finish(now, out);
    }

    /// So many bytes went to `consumer`.
    pub fn sent(&mut self, consumer: PeerId, bytes: u64) {
        if let Some(peer) = self.peers.get_mut(&consumer) {
            peer.sent = peer.sent.saturating_add(bytes);
        }
    }

    /// How this peer stands with another.
    pub fn balance(&self, now: Time, peer: PeerId) -> Balance {
        self.peers
            .get(&peer)
            .map_or_else(Balance::default, |peer| peer.balance(now))
    }

    /// How many shifts this peer takes part in at present.
    pub fn shifts_under_way(&self) -> usize {
        self.shifts.len()
    }

    /// What own shifts under way are to make `target` owe more.
    pub fn shifting_to(&self, target: PeerId) -> u64 {
        let own = self
            .shifts
            .values()
            .filter(|shift| shift.is_own() && shift.order.path.last() == Some(&target));
        own.map(|shift| shift.order.amount).sum()
    }

    /// Goes back to what is written, after something was not.
    ///
    /// # Errors
    /// A [`StoreError`] when that cannot be read: then nothing has changed.
    pub fn reload(&mut self, now: Time) -> Result<(), StoreError> {
        self.writes.clear();
        self.out.clear();
        self.read_ledger(now)
    }

    /// All accounts.
    pub fn balances(&self, now: Time) -> impl Iterator<Item = (PeerId, Balance)> {
        self.peers.iter().map(move |(id, peer)| (*id, peer.balance(now)))
    }

    /// The account with a peer as both have signed it.
    pub fn account(&self, peer: PeerId) -> Option<&AccountState> {
        self.peers.get(&peer).map(|peer| &peer.pair.state)
    }

    /// How much a peer may still take: its claim and the newcomer's line, less what it took without a receipt.
    pub fn credit_left(&self, now: Time, peer: PeerId) -> u64 {
        let balance = self.balance(now, peer);
        let left = i128::from(NEWCOMER_LINE) - balance.claim - i128::from(balance.unreceipted);
        u64::try_from(left.max(0)).unwrap_or(u64::MAX)
    }

    /// How often each fault was seen.
    pub fn faults(&self) -> &BTreeMap<Fault, u64> {
        &self.faults
    }

    /// What is known of who owes whom.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The store, for whoever closes it.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The store, to make it fail in tests.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// Ends, and gives the store back.
    pub fn into_store(self) -> S {
        self.store
    }

    fn count(&mut self, from: PeerId, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
        self.out.push(Output::Event(Event::Fault(from, fault)));
    }

    fn send(&mut self, to: PeerId, message: TrustMessage) {
        if self.peers.get(&to).is_some_and(|peer| peer.is_heard()) {
            self.out.push(Output::Send {
                to,
                message: Box::new(message),
            });
        }
    }

    /// Writes what has to be written, and only then hands over what is to be sent.
    fn finish(&mut self, now: Time, out: &mut Vec<Output>) {
        let due = !self.lazy.is_empty() && now >= self.flush_at;
        if !self.writes.is_empty() || due {
            let mut writes = std::mem::take(&mut self.lazy);
            let lazy = writes.len();
            writes.append(&mut self.writes);
            if let Err(error) = self.store.apply(&writes) {
                writes.truncate(lazy);
                self.lazy = writes;
                self.flush_at = if lazy > 0 { now + FLUSH_AFTER } else { Time::NEVER };
                self.out.clear();
                self.out.push(Output::Event(Event::Ledger(error)));
                // What was changed here without being written never was: as after a crash.
                if let Err(error) = self.read_ledger(now) {
                    self.out.push(Output::Event(Event::Ledger(error)));
                }
                self.writes.clear();
            } else {
                self.flush_at = Time::NEVER;
            }
        }
        out.append(&mut self.out);
    }

    /// Remembers to write something within a second.
    fn write_soon(&mut self, now: Time, write: Write) {
        self.lazy.retain(|earlier| earlier.key != write.key);
        self.lazy.push(write);
        self.flush_at = self.flush_at.min(now + FLUSH_AFTER);
    }
}

/// How long a receipt may wait to be written, together with others: a database takes milliseconds and some pages of the disk for
/// each time. The next receipt says the same and more, so a crash of one side loses nothing.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

impl<S> fmt::Debug for Trust<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust(of {}, {} accounts)", self.me.short(), self.peers.len())
    }
}

/// What a signature error says about the sender.
fn fault(error: SignatureError) -> Fault {
    match error {
        SignatureError::Subject => Fault::Foreign,
        SignatureError::Encoding => Fault::TooMuch,
        SignatureError::Key | SignatureError::Mismatch => Fault::Signature,
    }
}
