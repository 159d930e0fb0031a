//! The ledger of trust in a node: what passes between neighbours is told to the core, which says what to send.
//!
//! That goes as control messages, like any other. If the ledger cannot be written the core rests for a while: the node plays and
//! serves as before, and signs nothing.

mod ahead;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use incentives::store::{MemoryStore, Store, StoreError};
use incentives::trust::{Event as TrustEvent, Fault, MIN_SHIFT, Output as TrustOutput};
use incentives::{Account, Offence, Trust};
use wire::message::Referral;
use wire::trust::MAX_SHIFT_PEERS;
use wire::trust::TrustMessage;
use wire::{Message, PeerId, StreamId, Time};

use super::Node;
use crate::config::NodeConfig;
use crate::io::{Event, Outbox, Output};
use crate::stats::TrustStats;

/// Where a node's ledger is kept.
pub type Ledger = Box<dyn Store + Send>;

/// How long the core rests when the ledger could not be written: whoever has a full disk needs some minutes.
const REST: Duration = Duration::from_secs(60);

/// After a shift was asked for nobody is left for so long: as long as it takes until an advert has come from each of those on
/// the way (walks begin every 30 s, give or take 10), and not much longer.
const SHIFT_KEEPS: Duration = Duration::from_secs(60);

/// Shifts to one peer that are begun at once.
const AT_ONCE: usize = 6;

/// Addresses tried for a shift: more than there are on the longest path.
const MAX_SHIFT_DIALS: usize = 16;

/// The core with what the node keeps beside it.
#[derive(Debug)]
pub(crate) struct Bookkeeping {
    /// `None`: this node keeps no accounts.
    trust: Option<Trust<Ledger>>,
    /// The core's own deadline, as it was last asked for.
    next: Time,
    /// Until then a shift may need whoever is connected.
    shifts_until: Time,
    /// What is kept for shifts that nobody asked for.
    ahead: ahead::Ahead,
    /// When it is tried again, if the ledger could not be written.
    rests_until: Option<Time>,
    /// Bytes of messages about trust, both ways.
    bytes: u64,
    /// What the core said and was not acted on yet.
    said: Vec<TrustOutput>,
}

impl Bookkeeping {
    /// No accounts are kept.
    pub(crate) fn none() -> Self {
        Bookkeeping {
            trust: None,
            next: Time::NEVER,
            shifts_until: Time::ZERO,
            ahead: ahead::Ahead::default(),
            rests_until: None,
            bytes: 0,
            said: Vec::new(),
        }
    }

    pub(crate) fn open(config: &NodeConfig, ledger: Ledger, now: Time) -> Result<Self, StoreError> {
        let trust = Trust::open(config.key.clone(), ledger, config.seed, now)?;
        Ok(Bookkeeping {
            next: trust.next_deadline(),
            trust: Some(trust),
            ..Bookkeeping::none()
        })
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.rests_until.unwrap_or(self.next)
    }

    /// The core, unless it rests.
    pub(crate) fn awake(&mut self) -> Option<(&mut Trust<Ledger>, &mut Vec<TrustOutput>)> {
        let trust = self.trust.as_mut().filter(|_| self.rests_until.is_none())?;
        Some((trust, &mut self.said))
    }

    /// Counts what came.
    pub(super) fn heard(&mut self, message: &Message, bytes: usize) {
        if message.is_trust() {
            self.bytes += bytes as u64;
        }
    }

    /// Bytes that a peer owes this node; negative: this node owes.
    pub(crate) fn claim(&self, now: Time, peer: PeerId) -> Option<i64> {
        let claim = self.trust.as_ref()?.balance(now, peer).claim;
        Some(claim.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// Bytes that this node owes a peer and has not given it since, with a receipt or without; negative: the peer owes this node.
    pub(crate) fn owed(&self, now: Time, peer: PeerId) -> Option<i64> {
        let balance = self.trust.as_ref()?.balance(now, peer);
        if balance.claim < 0 {
            return Some(i64::try_from(balance.owed()).unwrap_or(i64::MAX));
        }
        Some(i64::try_from(balance.claim).map_or(i64::MIN, i64::saturating_neg))
    }

    /// How much a peer may still take before it has given anything.
    pub(crate) fn credit_left(&self, now: Time, peer: PeerId) -> Option<u64> {
        Some(self.trust.as_ref()?.credit_left(now, peer))
    }

    /// Whether anybody owes this node enough for a shift.
    pub(crate) fn has_credit(&self) -> bool {
        self.ahead.has_credit
    }

    /// As if somebody owed this node enough for a shift.
    #[cfg(test)]
    pub(crate) fn with_credit(mut self) -> Self {
        self.ahead.has_credit = true;
        self
    }

    /// Whether a shift was asked for a while ago: it may need whoever is connected.
    pub(super) fn is_shifting(&self, now: Time) -> bool {
        now < self.shifts_until
    }

    /// What people are shown; `here` are those with whom credit is of use now.
    pub(super) fn stats(&self, now: Time, here: &BTreeSet<PeerId>) -> Option<TrustStats> {
        let trust = self.trust.as_ref()?;
        let mut stats = TrustStats {
            bytes: self.bytes,
            rests: self.rests_until.is_some(),
            shifts: trust.shifts_under_way() as u32,
            spendable: trust.reach(now, here),
            ..TrustStats::default()
        };
        for (_, balance) in trust.balances(now) {
            let claim = u64::try_from(balance.claim.unsigned_abs()).unwrap_or(u64::MAX);
            if balance.claim >= 0 {
                stats.owed_to_me = stats.owed_to_me.saturating_add(claim);
            } else {
                stats.owed_by_me = stats.owed_by_me.saturating_add(claim);
            }
            stats.pending = stats.pending.saturating_add(balance.pending);
            stats.accounts += u32::from(balance.claim != 0);
        }
        Some(stats)
    }
}

impl Node {
    /// A node that keeps accounts in memory: they end with it.
    ///
    /// # Panics
    /// Never: memory takes everything.
    pub fn with_accounts(config: NodeConfig, now: Time) -> Self {
        Node::with_ledger(config, Box::new(MemoryStore::new()), now).expect("an empty ledger in memory opens")
    }

    /// A node that goes on with the accounts of a ledger.
    ///
    /// # Errors
    /// A [`StoreError`] when the ledger cannot be read or written, or is damaged.
    pub fn with_ledger(config: NodeConfig, ledger: Ledger, now: Time) -> Result<Self, StoreError> {
        let trust = Bookkeeping::open(&config, ledger, now)?;
        let mut node = Node::new(config, now);
        node.trust = trust;
        Ok(node)
    }

    /// Tells the core what passed since the last time.
    pub(super) fn enter_in_ledger(&mut self, now: Time, out: &mut Outbox) {
        for (peer, stream, passed) in self.accounts.take_news() {
            self.passed(now, peer, stream, passed);
        }
        self.act_on_trust(now, out);
    }

    fn passed(&mut self, now: Time, peer: PeerId, stream: StreamId, passed: Account) {
        // While it rests nobody signs anything; what was given meanwhile is given away.
        let Some((trust, said)) = self.trust.awake() else {
            return;
        };
        if passed.by_me > 0 {
            trust.sent(peer, passed.by_me);
        }
        if passed.to_me > 0 {
            trust.received(now, peer, stream, passed.to_me, said);
        }
    }

    pub(super) fn trust_connected(&mut self, now: Time, peer: PeerId, out: &mut Outbox) {
        if self.neighbours.contains(&peer)
            && let Some((trust, said)) = self.trust.awake()
        {
            if trust.is_condemned(peer) {
                // It was found out before it came, or in a run before this one.
                return self.penalise(now, peer, Offence::Fraud);
            }
            trust.on_connected(now, peer, said);
            self.act_on_trust(now, out);
        }
    }

    pub(super) fn trust_disconnected(&mut self, peer: PeerId) {
        if let Some(trust) = &mut self.trust.trust {
            trust.on_disconnected(peer);
        }
    }

    pub(super) fn on_trust_message(&mut self, now: Time, from: PeerId, message: Message, out: &mut Outbox) {
        if let Message::EdgesTold(told) = &message {
            self.trust.ahead.learn(now, &told.at);
        }
        if let Some((trust, said)) = self.trust.awake()
            && let Ok(message) = TrustMessage::try_from(message)
        {
            trust.handle(now, from, message, said);
            self.act_on_trust(now, out);
        }
    }

    /// Does what is due.
    pub(super) fn do_trust_duties(&mut self, now: Time, out: &mut Outbox) {
        if now < self.trust.next_deadline() {
            return;
        }
        if self.trust.rests_until.take().is_some() {
            // Whatever was not written never was.
            let Some(Err(error)) = self.trust.trust.as_mut().map(|trust| trust.reload(now)) else {
                return self.wake(now, out);
            };
            return self.rest(now, error, out);
        }
        if let Some((trust, said)) = self.trust.awake() {
            trust.handle_deadline(now, said);
            self.act_on_trust(now, out);
        }
    }

    /// Begins shifts along the ways that are known, each by itself, and calls those at `via` who are not here.
    pub(super) fn shift_trust(
        &mut self,
        now: Time,
        to: PeerId,
        amount: u64,
        via: &[SocketAddr],
        out: &mut Outbox,
    ) {
        self.trust.shifts_until = now + SHIFT_KEEPS;
        for addr in via.iter().take(MAX_SHIFT_DIALS) {
            if self.neighbours.iter().all(|(_, known)| known.addr != *addr) {
                out.push(Output::Connect {
                    peer: None,
                    addrs: vec![*addr],
                    opening: Vec::new(),
                });
            }
        }
        let plan = self.trust.awake().map(|(trust, _)| trust.plan(now, to));
        let mut ways = plan.unwrap_or_default().paths;
        ways.retain(|(path, _)| path.len() <= MAX_SHIFT_PEERS);
        self.begin_shifts(now, to, amount, ways, |_, claim| claim);
        self.act_on_trust(now, out);
    }

    /// Begins shifts along these ways; of a claim on the first on the way no more than `spare` says. What the core says waits.
    fn begin_shifts(
        &mut self,
        now: Time,
        to: PeerId,
        amount: u64,
        ways: Vec<(Vec<PeerId>, u64)>,
        spare: impl Fn(PeerId, u64) -> u64,
    ) {
        let Some((trust, said)) = self.trust.awake() else {
            return;
        };
        // One batch after the other: an order that names an older state of the account with `to` than the end of another is not let in.
        if trust.shifting_to(to) > 0 {
            return;
        }
        let mut left = amount;
        // A way of one edge is there already.
        for (path, bytes) in ways.into_iter().filter(|(path, _)| path.len() >= 3).take(AT_ONCE) {
            // A quarter of each claim on the way: half may move at once, and others may come the same way. Who is not there, or has
            // too much under way, is asked again later.
            let claim = u64::try_from(trust.balance(now, path[1]).claim).unwrap_or(0);
            let part = left
                .min(bytes / 4)
                .min(trust.room(now, path[1]))
                .min(spare(path[1], claim));
            if part >= MIN_SHIFT && trust.shift(now, &path, part, said).is_ok() {
                left -= part;
            }
        }
    }

    /// Says along with edges where the others are.
    fn with_whereabouts(&self, message: Message) -> Message {
        let Message::EdgesTold(mut told) = message else {
            return message;
        };
        let ends = told.edges.iter().filter_map(|edge| edge.peek().ok());
        let others = ends.map(|edge| {
            if edge.debtor == self.config.peer {
                edge.creditor
            } else {
                edge.debtor
            }
        });
        let at = others.filter_map(|peer| {
            let addrs = self.neighbours.get(&peer)?.listen.iter().copied().collect();
            Some(Referral { peer, addrs })
        });
        told.at = at.collect();
        told.into()
    }

    /// Gives the last receipts before everybody is left.
    pub(super) fn close_trust(&mut self, now: Time, out: &mut Outbox) {
        self.neighbours.enter_passed(&mut self.accounts);
        self.enter_in_ledger(now, out);
        if let Some((trust, said)) = self.trust.awake() {
            trust.close(now, said);
            self.act_on_trust(now, out);
        }
    }

    /// The driver could not write in the end what the store took.
    pub(super) fn on_ledger_failed(&mut self, now: Time, error: StoreError, out: &mut Outbox) {
        if self.trust.awake().is_some() {
            self.rest(now, error, out);
        }
    }

    /// Takes up the accounts with those who are there.
    fn wake(&mut self, now: Time, out: &mut Outbox) {
        let neighbours: Vec<_> = self.neighbours.iter().map(|(peer, _)| *peer).collect();
        for peer in neighbours {
            self.trust_connected(now, peer, out);
        }
    }

    /// Does what the core said.
    fn act_on_trust(&mut self, now: Time, out: &mut Outbox) {
        let mut failed = None;
        for output in std::mem::take(&mut self.trust.said) {
            match output {
                TrustOutput::Send { to, message } => {
                    let before = out.len();
                    let message = self.with_whereabouts((*message).into());
                    self.neighbours.send(now, &mut self.uplink, out, to, message);
                    if let Some(Output::Send { frame, .. }) = out.get(before) {
                        self.trust.bytes += frame.len() as u64;
                    }
                }
                TrustOutput::Event(event) => match event {
                    // An honest peer signs what it sends. All the rest happens when messages cross or are lost.
                    TrustEvent::Fault(peer, Fault::Signature) => {
                        self.penalise(now, peer, Offence::WrongSignature);
                    }
                    TrustEvent::Fault(..) => {}
                    TrustEvent::Fraud(proof) => self.penalise(now, proof.accused(), Offence::Fraud),
                    TrustEvent::Committed {
                        path, amount, took, ..
                    } => {
                        // What more is lacking is looked at at once.
                        self.trust.ahead.look_at(now);
                        out.push(Output::Event(Event::Shifted { path, amount, took }));
                    }
                    TrustEvent::Failed { .. } => out.push(Output::Event(Event::ShiftFailed)),
                    TrustEvent::Ledger(error) => failed = Some(error),
                },
            }
        }
        if let Some(error) = failed {
            self.rest(now, error, out);
        }
        self.trust.next = self
            .trust
            .trust
            .as_ref()
            .map_or(Time::NEVER, Trust::next_deadline);
    }

    fn rest(&mut self, now: Time, error: StoreError, out: &mut Outbox) {
        self.trust.rests_until = Some(now + REST);
        let neighbours: Vec<_> = self.neighbours.iter().map(|(peer, _)| *peer).collect();
        for peer in neighbours {
            self.trust_disconnected(peer);
        }
        out.push(Output::Event(Event::Ledger { error }));
    }
}
