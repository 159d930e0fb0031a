//! Shifts that nobody asked for: claims move to whoever supplies this node, before they are needed there.
//!
//! Whom a supplier owes, and who owes this node's own debtors, it asks them: walks would bring that too late. Debtors of its that a
//! supplier owes it calls.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use incentives::trust::{MIN_SHIFT, RECEIPT_BYTES};
use wire::message::Referral;
use wire::{PeerId, Time};

use super::super::Ctx;
use super::Node;
use crate::io::Outbox;
use crate::stream::Stream;

/// Suppliers are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Whom a peer owes it is asked again after so long: half of the time after which an account that moves is advertised anew.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Debtors who are asked who owes them, and called, at once.
const MOST_CALLS: usize = 4;
const MOST_ASKED: usize = 16;

/// Peers on a way: both ends of it are asked for their edges, so that one of three edges is known as it is now.
const LONGEST: usize = 4;

/// Peers whose whereabouts are remembered.
const MAX_KNOWN: usize = 256;

/// What is kept for shifts that nobody asked for.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    next_look: Time,
    /// Whether anybody owes this node enough for a shift.
    pub(super) has_credit: bool,
    /// Whom and when it asked last for whom they owe (true) and who owes them.
    asked: BTreeMap<(PeerId, bool), Time>,
    /// Where peers are said to be, when that was said, and when they were called.
    known: BTreeMap<PeerId, (Vec<SocketAddr>, Time, Time)>,
}

impl Ahead {
    /// Remembers where peers are.
    pub(super) fn learn(&mut self, now: Time, at: &[Referral]) {
        for referral in at {
            if self.known.len() >= MAX_KNOWN && !self.known.contains_key(&referral.peer) {
                let oldest = self
                    .known
                    .iter()
                    .min_by_key(|(_, (_, heard, _))| *heard)
                    .map(|(peer, _)| *peer);
                oldest.map(|peer| self.known.remove(&peer));
            }
            let known = self.known.entry(referral.peer).or_default();
            known.0 = referral.addrs.to_vec();
            known.1 = now;
        }
        // What came of a question is looked at at once.
        self.look_at(now);
    }

    pub(super) fn look_at(&mut self, now: Time) {
        self.next_look = self.next_look.min(now);
    }

    fn may_ask(&mut self, now: Time, peer: PeerId, owed: bool) -> bool {
        let last = self.asked.get(&(peer, owed)).copied();
        let may = last.is_none_or(|last| now.since(last) >= ASK_EVERY);
        if may {
            self.asked.insert((peer, owed), now);
        }
        may
    }
}

impl Node {
    /// Begins shifts to suppliers that owe this node less than half of what they should.
    pub(in crate::node) fn shift_ahead(&mut self, now: Time, out: &mut Outbox) {
        if now < self.trust.ahead.next_look {
            return;
        }
        self.trust.ahead.next_look = now + LOOK_EVERY;
        self.trust.ahead.asked.retain(|_, at| now.since(*at) < ASK_EVERY);
        let spends = self.streams.iter().any(Stream::gives_nothing);
        let debtors = if spends { self.debtors(now) } else { Vec::new() };
        self.trust.ahead.has_credit = !debtors.is_empty();
        if debtors.is_empty() {
            return;
        }
        let wishes: Vec<(PeerId, u64)> = self
            .streams
            .iter()
            .flat_map(|stream| stream.wishes(now))
            .collect();
        let wanting: Vec<(PeerId, u64)> = wishes
            .iter()
            .filter_map(|&(peer, wanted)| {
                let claim = self.trust.claim(now, peer)?.max(0).unsigned_abs();
                (claim < wanted / 2 && self.neighbours.contains(&peer)).then(|| (peer, wanted - claim))
            })
            .collect();
        if wanting.is_empty() {
            return;
        }
        self.trust.shifts_until = now + super::SHIFT_KEEPS;
        self.ask_around(now, &wanting, &debtors, out);
        self.call_debtors(now, &wanting, &debtors, out);
        for (peer, lacks) in wanting {
            self.begin_shifts_ahead(now, peer, lacks, &wishes);
        }
        self.act_on_trust(now, out);
    }

    /// Begins shifts along ways that were told of just now, and leaves those who supply this node what they may have sent of late.
    fn begin_shifts_ahead(&mut self, now: Time, to: PeerId, amount: u64, wishes: &[(PeerId, u64)]) {
        let Some((trust, _)) = self.trust.awake() else {
            return;
        };
        let ways = trust.plan_told(now, to).paths;
        let short: Vec<_> = ways
            .into_iter()
            .filter(|(path, _)| path.len() <= LONGEST)
            .collect();
        // What a supplier has sent and has no receipt for yet is spent.
        let spare = |peer: PeerId, claim: u64| {
            let supplies = wishes.iter().any(|(wished, _)| *wished == peer);
            claim.saturating_sub(if supplies { RECEIPT_BYTES } else { 0 })
        };
        self.begin_shifts(now, to, amount, short, spare);
    }

    /// Who owes this node enough for a shift, the greatest debt first.
    fn debtors(&mut self, now: Time) -> Vec<PeerId> {
        let Some((trust, _)) = self.trust.awake() else {
            return Vec::new();
        };
        let owes = trust
            .balances(now)
            .filter(|(_, balance)| balance.claim >= i128::from(4 * MIN_SHIFT));
        let mut owes: Vec<_> = owes
            .map(|(peer, balance)| (std::cmp::Reverse(balance.claim), peer))
            .collect();
        owes.sort_unstable();
        owes.into_iter().map(|(_, peer)| peer).collect()
    }

    fn ask_around(&mut self, now: Time, wanting: &[(PeerId, u64)], debtors: &[PeerId], out: &mut Outbox) {
        let suppliers = wanting.iter().map(|(peer, _)| (*peer, true));
        let here = debtors.iter().filter(|peer| self.neighbours.contains(peer));
        let whom: Vec<_> = suppliers
            .chain(here.take(MOST_ASKED).map(|peer| (*peer, false)))
            .collect();
        for (peer, owed) in whom {
            if self.trust.ahead.may_ask(now, peer, owed)
                && let Some((trust, said)) = self.trust.awake()
            {
                trust.ask_edges(now, peer, owed, said);
            }
        }
        self.act_on_trust(now, out);
    }

    /// Calls debtors whom a supplier owes.
    fn call_debtors(&mut self, now: Time, wanting: &[(PeerId, u64)], debtors: &[PeerId], out: &mut Outbox) {
        let Some((trust, _)) = self.trust.awake() else {
            return;
        };
        let owed: Vec<PeerId> = trust
            .view()
            .edges(now)
            .filter(|(debtor, _, _)| wanting.iter().any(|(peer, _)| peer == debtor))
            .map(|(_, creditor, _)| creditor)
            .collect();
        let far: Vec<_> = debtors
            .iter()
            .filter(|peer| owed.contains(peer) && !self.neighbours.contains(peer))
            .copied()
            .collect();
        for peer in &far[..far.len().min(MOST_CALLS)] {
            if let Some((addrs, _, called)) = self.trust.ahead.known.get_mut(peer)
                && now.since(*called) >= ASK_EVERY
                && !addrs.is_empty()
            {
                *called = now;
                let addrs = addrs.clone();
                let ids: Vec<_> = self.streams.ids().collect();
                for id in ids {
                    with_stream!(self, now, out, &id, |stream, ctx| stream.visit(
                        ctx,
                        *peer,
                        addrs.clone()
                    ));
                }
            }
        }
    }
}
