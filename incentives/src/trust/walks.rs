//! Adverts of this peer's accounts, and the walks that carry them.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt as _;
use wire::trust::{MAX_TOLD, MAX_WALK, TrustEdge, TrustMessage};
use wire::{Cosigned, PeerId, Signed, Time, Verifier};

use super::pair::PENDING_SHARE;
use super::{Fault, Output, Trust, fault, records};
use crate::flow::{self, Plan};
use crate::store::Store;
use crate::view::{CLOCK_SKEW, EDGE_LIFE, EdgeError, View};
use crate::walk::{self, WALKS};

/// How often walks begin, give or take a third of it (docs/INCENTIVES.md).
pub const WALK_EVERY: Duration = Duration::from_secs(30);
const WALK_JITTER_MS: u64 = 10_000;
/// Walks that begin at once.
pub const WALKERS: usize = 4;

/// How often the ledger is told what is known of others' accounts: at most 150 kilobytes each time, and a tenth of an advert's life.
const VIEW_EVERY: Duration = Duration::from_secs(60);

/// An advert is made anew when half its life is over.
const RENEW_AFTER: Duration = Duration::from_secs(300);
/// An account that moves is not advertised more often than this: three times between two walks, for who asks for edges plans by
/// them at once. So long an answer is waited for, too.
const OFFER_EVERY: Duration = Duration::from_secs(10);

/// The advert of one account.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnEdge {
    signed: Option<(TrustEdge, Cosigned<TrustEdge>)>,
    offered: Option<Time>,
}

impl OwnEdge {
    pub(crate) fn renew_at(&self) -> Time {
        match (&self.signed, self.offered) {
            (Some((edge, _)), Some(offered)) => {
                (edge.expires - (EDGE_LIFE - RENEW_AFTER)).max(offered + OFFER_EVERY)
            }
            (None, Some(offered)) => offered + OFFER_EVERY,
            _ => Time::NEVER,
        }
    }

    fn holds(&self, now: Time) -> Option<&(TrustEdge, Cosigned<TrustEdge>)> {
        self.signed.as_ref().filter(|(edge, _)| now < edge.expires)
    }
}

/// What a shift takes of an edge of so many bytes at once.
pub(crate) fn asked_of(bytes: u64) -> u64 {
    bytes / (2 * PENDING_SHARE)
}

fn edge_fault(error: EdgeError) -> Fault {
    match error {
        EdgeError::Expired => Fault::Expired,
        EdgeError::Nonsense => Fault::TooMuch,
        EdgeError::Stale => Fault::Stale,
    }
}

impl<S: Store> Trust<S> {
    /// The most that could be shifted to `target` by what is known, and along which paths. Each is to be shifted by itself, a
    /// quarter of its weakest claim at once.
    pub fn plan(&self, now: Time, target: PeerId) -> Plan {
        let edges: Vec<_> = self.view.edges(now).collect();
        flow::plan(&edges, self.me, target)
    }

    /// The same by what was told just now, by who has room for it, and by own accounts: for shifts that nobody waits for.
    pub fn plan_told(&self, now: Time, target: PeerId) -> Plan {
        let edges: Vec<_> = self.view.told(now).collect();
        flow::plan(&edges, self.me, target)
    }

    /// The most that could be shifted to these together by what is known, what they owe this peer already included.
    pub fn reach(&self, now: Time, targets: &BTreeSet<PeerId>) -> u64 {
        let others = self
            .view
            .edges(now)
            .filter(|(_, creditor, _)| *creditor != self.me);
        // Own claims as they are now: the view has them as they were when they were looked at last.
        let trusted = self.peers.iter().filter(|(_, peer)| !peer.condemned);
        let own = trusted.filter_map(|(id, peer)| {
            let bytes = u64::try_from(peer.pair.claim()).ok()?;
            Some((*id, self.me, bytes))
        });
        let edges: Vec<_> = others.chain(own).collect();
        flow::reach(&edges, self.me, targets)
    }

    pub(crate) fn plan_walk(&mut self, now: Time) {
        let jitter = self.rng.random_range(0..=2 * WALK_JITTER_MS);
        self.walk_at =
            now + WALK_EVERY + Duration::from_millis(jitter) - Duration::from_millis(WALK_JITTER_MS);
    }

    /// Starts walks, and keeps the view in order.
    pub(crate) fn walk(&mut self, now: Time) {
        self.plan_walk(now);
        self.view.expire(now);
        if now >= self.view_written + VIEW_EVERY {
            self.write_view(now);
        }
        for _ in 0..WALKERS {
            self.walk_on(now, Vec::new());
        }
    }

    /// Lets the ledger say what is known of others' accounts, for `headwater trust path`.
    pub(crate) fn write_view(&mut self, now: Time) {
        self.view_written = now;
        let adverts: Vec<_> = self.view.adverts(now).collect();
        self.write_soon(now, records::view(&adverts));
    }

    /// Passes a walk on to a creditor that is not on it.
    fn walk_on(&mut self, now: Time, mut edges: Vec<Cosigned<TrustEdge>>) {
        let on_it: Vec<TrustEdge> = edges.iter().filter_map(|edge| edge.peek().ok()).collect();
        let visited = |peer: &PeerId| {
            on_it
                .iter()
                .any(|edge| edge.debtor == *peer || edge.creditor == *peer)
        };
        let creditors = self.present.iter().filter_map(|id| {
            let peer = self.peers.get(id)?;
            let (edge, _) = peer.edge.holds(now)?;
            let owed = u64::try_from(-peer.pair.claim()).ok()?;
            let may = edge.debtor == self.me && !visited(id);
            (may && !peer.condemned).then_some((*id, owed))
        });
        let creditors: Vec<_> = creditors.collect();
        let Some(next) = walk::choose(&mut self.rng, &creditors) else {
            return;
        };
        let own = self.peers.get(&next).and_then(|peer| peer.edge.holds(now));
        let Some((_, own)) = own else { return };
        edges.push(own.clone());
        self.send(next, TrustMessage::Walk(edges.into_iter().collect()));
    }

    pub(crate) fn on_walk(
        &mut self,
        now: Time,
        from: PeerId,
        edges: Vec<Cosigned<TrustEdge>>,
    ) -> Result<(), Fault> {
        let Some(peer) = self.peers.get_mut(&from) else {
            return Ok(());
        };
        if !peer.walks.take(now, WALKS) {
            return Err(Fault::TooMuch);
        }
        let claimed: Result<Vec<_>, _> = edges.iter().map(Cosigned::peek).collect();
        let claimed = claimed.map_err(fault)?;
        if !walk::is_walk(&claimed, from, self.me) {
            return Err(Fault::Foreign);
        }
        for (edge, signed) in claimed.iter().zip(&edges) {
            self.take_edge(now, edge, signed)?;
        }
        if edges.len() < MAX_WALK {
            self.walk_on(now, edges);
        }
        Ok(())
    }

    /// Asks a neighbour for its own edges: whom it owes, or who owes it. A walk would bring them by and by.
    pub fn ask_edges(&mut self, now: Time, of: PeerId, owed: bool, out: &mut Vec<Output>) {
        if let Some(peer) = self.peers.get_mut(&of).filter(|peer| peer.connected) {
            peer.asked_edges = peer.asked_edges.saturating_add(1);
            self.send(of, TrustMessage::AskEdges { owed });
        }
        self.finish(now, out);
    }

    /// Tells the greatest of this peer's edges; those with whom it is not connected are of no use to a shift, and no more are those
    /// that others were told of before, or use already, as far as there is room. What is told is kept for the asker for a while.
    pub(crate) fn on_ask_edges(&mut self, now: Time, from: PeerId, owed: bool) -> Result<(), Fault> {
        if !self
            .peers
            .get_mut(&from)
            .is_some_and(|peer| peer.walks.take(now, WALKS))
        {
            return Err(Fault::TooMuch);
        }
        let edges = self.present.iter().filter(|id| **id != from).filter_map(|id| {
            let peer = self.peers.get(id)?;
            let (edge, signed) = peer.edge.holds(now)?;
            let holds = peer.pair.claim().unsigned_abs() >= u128::from(edge.bytes());
            let of_it = (edge.debtor == self.me) == owed;
            let promised: u64 = peer.promised_but(now, from);
            let fits = self.room_of(now, *id, owed) >= promised + asked_of(edge.bytes());
            (holds && of_it && fits).then_some((Reverse(edge.bucket), *id, signed))
        });
        let mut edges: Vec<_> = edges.collect();
        edges.sort_unstable_by_key(|(bucket, id, _)| (*bucket, *id));
        edges.truncate(MAX_TOLD);
        let told = edges.iter().map(|(_, _, signed)| (*signed).clone()).collect();
        let ends: Vec<_> = edges
            .iter()
            .map(|(Reverse(bucket), id, _)| (*id, asked_of(1u64 << bucket)))
            .collect();
        for (id, bytes) in ends {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.promise(now, from, bytes);
            }
        }
        self.send(from, TrustMessage::TellEdges(told));
        Ok(())
    }

    pub(crate) fn on_edges(
        &mut self,
        now: Time,
        from: PeerId,
        edges: Vec<Cosigned<TrustEdge>>,
    ) -> Result<(), Fault> {
        let Some(peer) = self.peers.get_mut(&from) else {
            return Ok(());
        };
        let Some(left) = peer.asked_edges.checked_sub(1) else {
            return Err(Fault::Unexpected);
        };
        peer.asked_edges = left;
        for signed in &edges {
            let edge = signed.peek().map_err(fault)?;
            if edge.debtor != from && edge.creditor != from {
                return Err(Fault::Foreign);
            }
            self.take_edge(now, &edge, signed)?;
            // It holds at this moment, whatever was taken of it.
            self.view.tell(now, &edge);
        }
        Ok(())
    }

    /// Takes an edge of others into the view. What is not known yet is checked.
    fn take_edge(&mut self, now: Time, edge: &TrustEdge, signed: &Cosigned<TrustEdge>) -> Result<(), Fault> {
        View::check(now, edge).map_err(edge_fault)?;
        if self.is_condemned(edge.debtor) || self.is_condemned(edge.creditor) {
            return Err(Fault::Foreign);
        }
        let digest = signed.digest();
        if !self.view.knows(edge, &digest) {
            let debtor = Verifier::new(edge.debtor.as_bytes()).map_err(fault)?;
            let creditor = Verifier::new(edge.creditor.as_bytes()).map_err(fault)?;
            signed.open(&debtor, &creditor).map_err(fault)?;
        }
        match self.view.insert(now, edge, digest) {
            // Adverts overtake each other.
            Ok(()) | Err(EdgeError::Stale) => Ok(()),
            Err(error) => Err(edge_fault(error)),
        }
    }

    /// Keeps the view's own edge, and as the one who proposes asks for an advert when the account has moved or time is over.
    pub(crate) fn offer_edge(&mut self, now: Time, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.condemned) else {
            return;
        };
        self.view.set_own(id, peer.pair.claim());
        if !peer.pair.proposes() || !peer.connected {
            return;
        }
        let low_owes = peer.pair.low_owes(&peer.pair.state);
        let Some(bucket) =
            TrustEdge::bucket_of(low_owes.abs()).filter(|&b| 1 << b.min(63) >= super::MIN_SHIFT)
        else {
            peer.edge = OwnEdge::default();
            return;
        };
        let (low, high) = (self.me, id);
        let (debtor, creditor) = if low_owes > 0 { (low, high) } else { (high, low) };
        let fits = peer.edge.signed.as_ref().is_some_and(|(edge, _)| {
            let fresh = now < edge.expires - (EDGE_LIFE - RENEW_AFTER);
            edge.debtor == debtor && edge.bucket == bucket && fresh
        });
        let waits = peer
            .edge
            .offered
            .is_some_and(|offered| now < offered + OFFER_EVERY);
        if fits || waits {
            return;
        }
        peer.edge.offered = Some(now);
        let edge = TrustEdge {
            debtor,
            creditor,
            bucket,
            seq: peer.pair.state.seq,
            expires: now + EDGE_LIFE,
        };
        let signed = Signed::new(&edge, &self.key);
        self.send(id, TrustMessage::Advertise(signed));
    }

    /// Signs an advert too, if it is what the account says.
    pub(crate) fn on_advertise(
        &mut self,
        now: Time,
        from: PeerId,
        signed: &Signed<TrustEdge>,
    ) -> Result<(), Fault> {
        let Some(peer) = self.peers.get_mut(&from) else {
            return Ok(());
        };
        let edge = signed.open(&peer.pair.key).map_err(fault)?;
        let between = (edge.debtor, edge.creditor);
        if peer.pair.proposes() || (between != (from, self.me) && between != (self.me, from)) {
            return Err(Fault::Foreign);
        }
        View::check(now, &edge).map_err(edge_fault)?;
        let low_owes = peer.pair.low_owes(&peer.pair.state);
        let owed = if edge.debtor < edge.creditor {
            low_owes
        } else {
            -low_owes
        };
        if i128::from(edge.bytes()) > owed || edge.seq > peer.pair.state.seq {
            return Err(Fault::Unexpected);
        }
        let mine = signed.also_by(&self.key);
        let (first, second) = if edge.debtor == self.me {
            (&mine, signed)
        } else {
            (signed, &mine)
        };
        let Some(both) = Cosigned::join(first, second) else {
            return Ok(());
        };
        peer.edge.signed = Some((edge, both.clone()));
        self.view.set_own(from, peer.pair.claim());
        self.send(from, TrustMessage::Advertised(both));
        Ok(())
    }

    pub(crate) fn on_advertised(
        &mut self,
        now: Time,
        from: PeerId,
        both: &Cosigned<TrustEdge>,
    ) -> Result<(), Fault> {
        let Some(peer) = self.peers.get_mut(&from) else {
            return Ok(());
        };
        let claimed = both.peek().map_err(fault)?;
        let first_is_me = claimed.debtor == self.me && claimed.creditor == from;
        if !first_is_me && (claimed.debtor, claimed.creditor) != (from, self.me) {
            return Err(Fault::Foreign);
        }
        let (first, second) = if first_is_me {
            (&self.own, &peer.pair.key)
        } else {
            (&peer.pair.key, &self.own)
        };
        let edge = both.open(first, second).map_err(fault)?;
        if now >= edge.expires + CLOCK_SKEW {
            return Err(Fault::Expired);
        }
        if peer
            .edge
            .signed
            .as_ref()
            .is_some_and(|(known, _)| known.seq > edge.seq)
        {
            return Err(Fault::Stale);
        }
        peer.edge.signed = Some((edge, both.clone()));
        Ok(())
    }
}
