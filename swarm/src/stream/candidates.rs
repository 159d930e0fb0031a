//! Candidates: peers that somebody named, which of them to connect to, and which connections to close.

use std::net::SocketAddr;
use std::time::Duration;

use wire::message::{Bye, ByeReason, MAX_REFERRALS, PeerRecord, Referral, Role};
use wire::{List, PeerId, Seq, SubstreamSet, Time};

use super::seats::SMALL_SWARM;
use super::way_in::DIAL_TIMEOUT;
use super::{Ctx, Stream};
use crate::io::Output;
use crate::uplink::DIAL_BYTES;

/// Connections to suppliers and candidates that a consumer aims at.
const TARGET_PEERS: usize = 12;

/// Beyond this many, useless connections are closed.
pub(super) const MANY_PEERS: usize = 18;

/// Candidates are looked through this often.
const FILL_EVERY: Duration = Duration::from_millis(40);

/// Connections that are being made at once: as many as a newcomer may need.
pub(super) const DIALS_AT_ONCE: usize = 16;

/// A peer that could not be reached is not dialled again before.
pub(super) const REDIAL: Duration = Duration::from_secs(5);

/// Peers remembered beside those connected.
const MAX_KNOWN: usize = 128;

/// A peer heard of.
#[derive(Debug)]
pub(super) struct Known {
    /// In a box, because whoever was named by others than the tracker has none.
    pub(super) record: Option<Box<PeerRecord>>,
    pub(super) addrs: Vec<SocketAddr>,
    pub(super) heard_at: Time,
    pub(super) tried_at: Option<Time>,
    /// Named by a supplier that refused: it has room.
    pub(super) referred: bool,
    /// What was asked of it when it was dialled.
    pub(super) asked: SubstreamSet,
    /// Chunks of the past to ask it for when it is dialled.
    pub(super) past: Vec<Seq>,
}

/// Most of the usual modem's 100 ms of queue.
const DIAL_BACKLOG: Duration = Duration::from_millis(80);

impl Stream {
    /// A connected peer turns out to be in this stream.
    pub(super) fn meet(&mut self, ctx: &mut Ctx<'_>, peer: PeerId, record: Option<PeerRecord>) {
        let state = self.peers.entry(peer).or_default();
        let source = record
            .as_ref()
            .is_some_and(|record| record.role == Role::Peercaster);
        if source {
            // It is named to whom it has room for, at this moment: what it refused before does not count.
            state.refused.clear();
        }
        let fresh = !state.interested;
        if record.is_some() {
            state.record = record.map(Box::new);
        }
        state.interested = true;
        if fresh && !source {
            self.send_advert(ctx, peer);
        }
    }

    pub(super) fn hear(&mut self, now: Time, peer: PeerId, addrs: Vec<SocketAddr>) -> &mut Known {
        if self.membership.known.len() >= MAX_KNOWN && !self.membership.known.contains_key(&peer) {
            let oldest = self
                .membership
                .known
                .iter()
                .min_by_key(|(_, k)| k.heard_at)
                .map(|(p, _)| *p);
            if let Some(oldest) = oldest {
                self.membership.known.remove(&oldest);
            }
        }
        let known = self.membership.known.entry(peer).or_insert(Known {
            record: None,
            addrs: Vec::new(),
            heard_at: now,
            tried_at: None,
            referred: false,
            asked: SubstreamSet::EMPTY,
            past: Vec::new(),
        });
        known.heard_at = now;
        if !addrs.is_empty() {
            known.addrs = addrs;
        }
        known
    }

    /// Somebody named peers that may have room.
    pub(super) fn hear_of(&mut self, ctx: &mut Ctx<'_>, referrals: &List<Referral, MAX_REFERRALS>) {
        // A supplier that names ever new peers does not make this node dial half the world.
        let mut dials = self.dialling(ctx);
        let most = dials + dials_now(ctx);
        for referral in referrals {
            if referral.peer == ctx.config.peer {
                continue;
            }
            if ctx.neighbours.contains(&referral.peer) {
                self.meet(ctx, referral.peer, None);
                continue;
            }
            let known = self.hear(ctx.now, referral.peer, referral.addrs.to_vec());
            known.referred = true;
            if dials < most.min(DIALS_AT_ONCE) && self.peers.len() < MANY_PEERS {
                dials += 1;
                self.dial(ctx, referral.peer);
            }
        }
    }

    /// Whether the uplink bears one more handshake now.
    pub(super) fn bears_dial(&self, ctx: &Ctx<'_>) -> bool {
        dials_now(ctx) > 0
    }

    /// Connects to a peer that may take part in a shift.
    pub(crate) fn visit(&mut self, ctx: &mut Ctx<'_>, peer: PeerId, addrs: Vec<SocketAddr>) {
        // What the peer or a tracker said of it counts for more.
        let known = self
            .membership
            .known
            .get(&peer)
            .is_some_and(|known| !known.addrs.is_empty());
        self.hear(ctx.now, peer, if known { Vec::new() } else { addrs });
        self.dial(ctx, peer);
    }

    pub(super) fn dial(&mut self, ctx: &mut Ctx<'_>, peer: PeerId) {
        let Some(known) = self.membership.known.get_mut(&peer) else {
            return;
        };
        if known.tried_at.is_some_and(|at| ctx.now.since(at) < REDIAL) || known.addrs.is_empty() {
            return;
        }
        known.tried_at = Some(ctx.now);
        if ctx.standings.is_banned(ctx.now, peer) {
            return;
        }
        let addrs = known.addrs.clone();
        self.dial_known(ctx, peer, addrs);
    }

    /// Whether a peer from a later answer could supply something sooner than the worst present supplier.
    pub(super) fn looks_better(&self, ctx: &Ctx<'_>, peer: PeerId) -> bool {
        let Some(Known {
            record: Some(record), ..
        }) = self.membership.known.get(&peer)
        else {
            return false;
        };
        let Some(lag) = record.lag_ms else { return false };
        if record.free_slots == 0 && self.slots == 0 {
            return false;
        }
        let predicted =
            f64::from(lag) * 1000.0 + coords::coord::distance_ms(&ctx.coord, &record.coord) * 500.0;
        let lags = self.lags(ctx.now);
        let worst = self
            .wanted()
            .iter()
            .filter_map(|s| lags.us(s))
            .fold(0.0, f64::max);
        predicted < worst || !self.orphans().is_empty()
    }

    /// Dials under way.
    pub(super) fn dialling(&self, ctx: &Ctx<'_>) -> usize {
        let under_way = |(peer, known): &(&PeerId, &Known)| {
            known.tried_at.is_some_and(|at| ctx.now.since(at) < DIAL_TIMEOUT)
                && !ctx.neighbours.contains(peer)
        };
        self.membership.known.iter().filter(under_way).count()
    }

    /// Connects to more candidates while there are too few.
    pub(super) fn fill_up(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now;
        if self.membership.next_fill > now {
            return;
        }
        let useful = self.peers.values().filter(|state| state.interested).count();
        let target = if self.orphans().is_empty() {
            TARGET_PEERS
        } else {
            MANY_PEERS
        };
        if useful >= target {
            return;
        }
        self.membership.next_fill = now + FILL_EVERY;
        let dialling = self.dialling(ctx);
        let room = target
            .saturating_sub(useful + dialling)
            .min(DIALS_AT_ONCE.saturating_sub(dialling))
            .min(dials_now(ctx));
        if room == 0 {
            return;
        }
        let mut open: Vec<(bool, bool, bool, u64, PeerId)> = self
            .membership
            .known
            .iter()
            .filter(|(peer, known)| {
                !ctx.neighbours.contains(peer)
                    && known.tried_at.is_none_or(|at| now.since(at) >= REDIAL)
                    && !known.addrs.is_empty()
            })
            .map(|(peer, known)| {
                let (full, us) = known.record.as_ref().map_or((false, 0.0), |record| {
                    let lag = f64::from(record.lag_ms.unwrap_or(1_000)) * 1000.0;
                    let way = coords::coord::distance_ms(&ctx.coord, &record.coord) * 500.0;
                    (record.free_slots == 0, lag + way)
                });
                let promised = known.referred || self.seated_at(*peer, now);
                // Who gives nothing goes to those who owe it: they may let it in where others do not.
                let owes = self.spends(ctx) && self.owes(ctx, *peer);
                (!owes, !promised, full, us as u64, *peer)
            })
            .collect();
        open.sort();
        for (_, unpromised, _, _, peer) in open.into_iter().take(room) {
            if unpromised && self.goes_where_it_is_sent() {
                break;
            }
            self.dial(ctx, peer);
        }
    }

    /// Whether this node connects to those only whom it was sent to: as long as it is new in a crowd and has somewhere to go. Each
    /// further handshake takes 4 KB of two uplinks that are short just then.
    fn goes_where_it_is_sent(&self) -> bool {
        let new_in_a_crowd = self.membership.members > SMALL_SWARM && self.settled_from.is_none();
        new_in_a_crowd && self.subs.iter().any(|sub| sub.seat.is_some())
    }

    /// Whether something flows between this node and a peer, or is about to.
    pub(crate) fn needs(&self, peer: PeerId) -> bool {
        let in_use =
            |state: &super::StreamPeer| !state.supplies.or(state.asked).or(state.supplied).is_empty();
        self.membership.tracker == Some(peer)
            || self.membership.moving.leads_to(peer)
            || self.oversees(peer)
            || self.peers.get(&peer).is_some_and(in_use)
            || self.keeps_for(peer)
            || self
                .subs
                .iter()
                .any(|sub| sub.seat.is_some_and(|(at, _)| at == peer))
    }

    /// Whether a peer has to do with the tracker that this node keeps.
    pub(super) fn is_overseen(&self, peer: PeerId) -> bool {
        let tracking = self.tracking.as_ref();
        tracking.is_some_and(|tracking| tracking.needs(peer) || tracking.tracker.is_member(peer))
    }

    /// Whether this node keeps a tracker that needs the connection. The peercaster's own can do without those to its members:
    /// it has so many.
    fn oversees(&self, peer: PeerId) -> bool {
        self.tracking.as_ref().is_some_and(|tracking| {
            tracking.needs(peer) || (self.source.is_none() && tracking.tracker.is_member(peer))
        })
    }

    /// Closes a connection that nothing flows over, neither of the stream nor of the ring.
    pub(super) fn prune(&mut self, ctx: &mut Ctx<'_>) {
        let useful = self.peers.values().filter(|state| state.interested).count();
        if useful <= MANY_PEERS {
            return;
        }
        let idle = self
            .peers
            .iter()
            .filter(|(peer, state)| {
                // What takes longest to find out comes last.
                state.supplies.or(state.asked).or(state.supplied).is_empty()
                    && ctx.neighbours.get(peer).is_some_and(|n| {
                        ctx.now.since(n.since) > Duration::from_secs(5) && n.ring_until <= ctx.now
                    })
                    && !self.needs(**peer)
                    && !self.settles(ctx, **peer)
            })
            .max_by_key(|(peer, _)| ctx.neighbours.get(peer).map(|n| n.rtt()))
            .map(|(peer, _)| *peer);
        if let Some(peer) = idle {
            ctx.send(
                peer,
                Bye {
                    reason: ByeReason::Unneeded,
                },
            );
            ctx.out.push(Output::Disconnect { peer });
        }
    }

    /// Addresses under which others can reach a connected or known peer.
    pub(super) fn addresses(&self, ctx: &Ctx<'_>, peer: PeerId) -> Vec<SocketAddr> {
        match ctx.neighbours.get(&peer) {
            Some(neighbour) => neighbour.listen.clone(),
            None => self
                .membership
                .known
                .get(&peer)
                .map(|k| k.addrs.clone())
                .unwrap_or_default(),
        }
    }
}

/// How many handshakes the uplink bears now: what is booked and they together should take no longer than [`DIAL_BACKLOG`],
/// or the queue in the modem overflows and all of them wait for a retransmission. Where one alone takes longer, below a quarter
/// of a megabit a second, it goes when nothing is booked.
fn dials_now(ctx: &Ctx<'_>) -> usize {
    let booked = ctx.uplink.booked(ctx.now);
    let left = DIAL_BACKLOG.saturating_sub(booked);
    let fit = usize::try_from(ctx.uplink.rate().bytes_in(left) / DIAL_BYTES).unwrap_or(DIALS_AT_ONCE);
    fit.max(usize::from(booked.is_zero()))
}
