//! Membership of a stream: the registration with the tracker, and the peers it names.

use std::net::SocketAddr;
use std::time::Duration;

use incentives::Offence;
use rand::RngExt;
use wire::message::{Guest, Join, JoinAnswer, Moved, PeerRecord, RingNode, Role};
use wire::{Message, PeerId, PeerMap, StreamId, SubstreamSet, Time, Verifier};

use super::candidates::{DIALS_AT_ONCE, Known, MANY_PEERS};
use super::lost::SourceLost;
use super::moving::Moving;
use super::racing::Racing;
use super::way_in::{Shown, TRACKER_RETRY, Trusted};
use super::{Ctx, Stream};
use crate::io::{Event, Output, Participation};
use crate::playout::Playout;

/// A node that lacks suppliers asks the tracker again after this time, and twice as long after each such time. With 0.2 s a crowd fares
/// no better (docs/results/swarm.md, "What a crowd waits for").
const URGENT_REFRESH: Duration = Duration::from_millis(300);

/// Peers asked of the tracker at first and later. An answer is about 100 bytes a peer, and a tracker may have a thousand
/// members.
const WANT_FIRST: u8 = 24;
const WANT_LATER: u8 = 4;

/// Candidates tried with each later answer: the race of real probes that coordinates only pre-select.
const TRY_PER_ANSWER: usize = 2;

/// What a node knows about getting into a stream.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(super) via: Vec<SocketAddr>,
    pub(crate) tracker: Option<PeerId>,
    pub(crate) tracker_addr: Option<SocketAddr>,
    /// The address of the last tracker that answered, which worked.
    pub(super) worked: Option<SocketAddr>,
    /// Who has shown that it may be the tracker.
    pub(crate) trusted: Trusted,
    pub(super) moving: Moving,
    pub(super) source_lost: Option<SourceLost>,
    pub(crate) members: u32,
    pub(crate) supply: Vec<u16>,
    pub(super) known: PeerMap<Known>,
    /// When the connection to the tracker was lost.
    pub(super) lost_at: Option<Time>,
    pub(super) next_refresh: Time,
    refresh: Duration,
    pub(super) next_dial: Time,
    pub(super) next_fill: Time,
    pub(super) dial_wait: Duration,
    /// Who may be the tracker, as somebody says who is none.
    pub(super) racing: Racing,
    /// How often somebody did since a tracker answered.
    pub(super) sent_on: u8,
    pub(super) attempts: u32,
    pub(super) answered: bool,
    /// The first answer was that of a tracker that called.
    pub(super) called: bool,
    pub(super) asked_at: Option<Time>,
    urgent_wait: Duration,
    /// Free slots and substreams that flow, as the tracker believes: what it heard last, less what it has promised since.
    pub(super) reported_free: u16,
    /// Slots in all the tracker's Holds, wrapping round.
    pub(super) promised: u32,
    pub(super) reported_has: SubstreamSet,
}

impl Membership {
    pub(super) fn new(via: Vec<SocketAddr>, now: Time) -> Self {
        Membership {
            via,
            tracker: None,
            tracker_addr: None,
            worked: None,
            trusted: Trusted::default(),
            moving: Moving::default(),
            source_lost: None,
            members: 0,
            supply: Vec::new(),
            known: PeerMap::new(),
            lost_at: None,
            next_refresh: now,
            refresh: Duration::from_secs(2),
            next_dial: now,
            next_fill: now,
            dial_wait: TRACKER_RETRY,
            racing: Racing::new(),
            sent_on: 0,
            attempts: 0,
            answered: false,
            called: false,
            asked_at: None,
            urgent_wait: URGENT_REFRESH,
            reported_free: 0,
            promised: 0,
            reported_has: SubstreamSet::EMPTY,
        }
    }

    /// A connection is gone.
    pub(super) fn on_lost(&mut self, ctx: &mut Ctx<'_>, peer: PeerId) {
        if self.tracker == Some(peer) {
            self.tracker = None;
            self.lost_at = Some(ctx.now);
            self.moving.on_lost(ctx);
            self.wait_before_dialling(ctx);
        }
        if let Some(known) = self.known.get_mut(&peer) {
            known.tried_at = Some(ctx.now);
        }
    }
}

impl Stream {
    /// A stream that this node takes part in. `None` when the id is no valid key.
    pub(crate) fn join(
        ctx: &mut Ctx<'_>,
        id: StreamId,
        via: Vec<SocketAddr>,
        participation: &Participation,
    ) -> Option<Self> {
        let verifier = Verifier::new(id.as_bytes()).ok()?;
        let (role, wish) = match participation {
            Participation::Consume(wish) => (Role::Consumer, Some(*wish)),
            Participation::ConsumePassively(wish) => (Role::Passive, Some(*wish)),
            Participation::Donate => (Role::Donor, None),
        };
        let mut stream = Stream::new(id, role, verifier, via, ctx.now);
        stream.playout = wish.map(Playout::new);
        stream.dial_tracker(ctx);
        Some(stream)
    }

    pub(super) fn own_record(&self, ctx: &Ctx<'_>) -> PeerRecord {
        PeerRecord {
            peer: ctx.config.peer,
            addrs: ctx.config.listen.iter().copied().collect(),
            coord: ctx.coord,
            role: self.role,
            slots: self.slots,
            free_slots: self.free_slots(),
            primaries: self.primaries,
            leaves: self.leaves(),
            has: self.flowing(),
            lag_ms: self.mean_lag_ms(ctx.now),
        }
    }

    pub(super) fn send_join(&mut self, ctx: &mut Ctx<'_>) {
        if self.membership.tracker.is_none() {
            return;
        }
        let join = self.joining(ctx, self.membership.tracker);
        self.ask_tracker(ctx, join);
    }

    /// Registers with a tracker that is not this node's yet.
    pub(super) fn ask_to_register(&mut self, ctx: &mut Ctx<'_>, tracker: PeerId) {
        let join = self.joining(ctx, Some(tracker));
        ctx.send(tracker, join);
    }

    /// What a node that joins says with its first packet to whom it takes for the tracker: it may be somebody who knows one, and then
    /// passes it on.
    pub(super) fn first_words(&mut self, ctx: &mut Ctx<'_>) -> Vec<Message> {
        if self.membership.answered {
            return vec![self.joining(ctx, None).into()];
        }
        let guest = Guest::new(&self.joining(ctx, None), &ctx.config.key);
        vec![guest.into(), ctx.first_ping().into()]
    }

    /// Says something to the tracker, which may be this node itself.
    pub(super) fn ask_tracker(&mut self, ctx: &mut Ctx<'_>, join: Join) {
        match self.membership.tracker {
            Some(tracker) if tracker == ctx.config.peer => self.ask_self(ctx, join),
            Some(tracker) => ctx.send(tracker, join),
            None => {}
        }
    }

    /// What this node says to register, and what it asks; `to` is the tracker, if that is certain.
    fn joining(&mut self, ctx: &mut Ctx<'_>, to: Option<PeerId>) -> Join {
        self.note_reported();
        self.membership.asked_at = Some(ctx.now);
        self.membership.next_refresh = ctx.now + self.membership.refresh;
        let want = if self.membership.answered {
            WANT_LATER
        } else {
            WANT_FIRST
        };
        // Before the description is known the number of substreams is not: whatever there is, is needed.
        let need = if self.info.is_none() && self.role != Role::Donor {
            SubstreamSet::all(wire::MAX_SUBSTREAMS)
        } else {
            self.forlorn(ctx.now)
        };
        Join {
            stream: self.id,
            record: self.own_record(ctx),
            want,
            need,
            upload: ctx.uplink.rate(),
            known: self
                .info
                .as_ref()
                .filter(|_| to.is_none_or(|tracker| !self.membership.trusted.is_to_show(tracker)))
                .map(|(info, _)| (info.session, info.revision)),
            promised: self.membership.promised,
        }
    }

    pub(super) fn membership_tick(&mut self, ctx: &mut Ctx<'_>) {
        self.tracking_tick(ctx);
        if self.source.is_some() {
            return;
        }
        self.standby_tick(ctx);
        self.moving_tick(ctx);
        self.return_tick(ctx);
        let now = ctx.now;
        self.call_source(ctx);
        self.ask_the_next(ctx);
        self.race_on(ctx);
        if self.membership.tracker.is_none() {
            if self.membership.next_dial <= now && !self.ended {
                self.dial_tracker(ctx);
            }
        } else {
            let lacking = !self.forlorn(now).is_empty();
            if !lacking {
                self.membership.urgent_wait = URGENT_REFRESH;
            }
            let wait = self.membership.urgent_wait;
            let since_asked = self.membership.asked_at.map(|at| now.since(at));
            let urgent = lacking && self.membership.answered && since_asked.is_none_or(|since| since >= wait);
            if urgent {
                self.membership.urgent_wait = wait * 2;
            }
            if self.membership.next_refresh <= now || urgent {
                self.send_join(ctx);
            } else if since_asked.is_some_and(|since| since >= self.report_wait()) && self.room_changed() {
                self.report(ctx);
            }
        }
        if self.info.is_some() {
            self.fill_up(ctx);
            self.prune(ctx);
        }
    }

    /// The tracker's answer.
    pub(crate) fn on_join_answer(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: JoinAnswer) {
        let moves = self.membership.moving.leads_to(from);
        let calls = !moves && self.is_call(from, &message);
        let expected = self.membership.tracker == Some(from) || moves || calls;
        if !expected || self.source.is_some() {
            return;
        }
        match self.shown(ctx, from, &message) {
            Shown::Appointed => {}
            Shown::Nothing => return self.ask_to_be_shown(ctx, from),
            Shown::Forged => {
                // Anybody could say so to a newcomer and keep it from the stream.
                ctx.penalise(from, Offence::WrongSignature);
                if moves {
                    self.membership.moving.give_up();
                } else if !calls {
                    self.leave_tracker(ctx, &[]);
                }
                return;
            }
        }
        let opened = match &message.info {
            Some(signed) => match signed.open(&self.verifier) {
                Ok(info) if info.is_sane() => Some((info, signed.clone())),
                Ok(_) => return,
                Err(_) => return ctx.penalise(from, Offence::WrongSignature),
            },
            None if self.info.is_some() => None,
            None => return,
        };
        if moves {
            self.complete_move(ctx, from);
        } else if calls {
            self.take_call(ctx, from);
        }
        self.membership.trusted.answered(from);
        for former in self.membership.moving.take_left() {
            if former != from {
                ctx.send(former, Moved { stream: self.id });
            }
        }
        self.membership.worked = self.membership.tracker_addr;
        let others = |node: &RingNode| node.peer != ctx.config.peer;
        self.membership.moving.learn(
            &message.siblings,
            message.deputy.clone().map(|node| *node).filter(others),
        );
        let first = !self.membership.answered;
        self.membership.answered = true;
        self.membership.attempts = 0;
        self.membership.sent_on = 0;
        self.membership.racing.end(ctx);
        self.membership.dial_wait = TRACKER_RETRY;
        self.membership.members = message.members;
        self.membership.refresh =
            Duration::from_millis(u64::from(message.refresh_ms)).clamp(MIN_REFRESH, MAX_REFRESH);
        self.membership.next_refresh =
            ctx.now + self.membership.refresh.mul_f64(ctx.rng.random_range(0.8..1.0));
        self.membership.supply = message.supply.to_vec();
        if let Some((info, signed)) = opened {
            self.take_info(ctx, info, signed);
        }
        if let Some(playout) = &mut self.playout {
            playout.expect_random_access_every(message.random_access_every_ms);
        }
        if self.window.is_empty() && message.head.plus(1) >= self.session {
            let (base, begin_at) = self.joining_point(&message);
            self.begin_at = begin_at;
            self.window.reset(base);
            self.window.extend_head(message.head);
            self.repair.observe(message.head, message.head_at);
            self.repair.grant(base.behind(message.head));
            self.live_from = message.head.plus(1);
        }
        if first {
            let members = message.members;
            let info = Box::new(
                self.info
                    .as_ref()
                    .map(|(info, _)| info.clone())
                    .expect("just taken in"),
            );
            ctx.out.push(Output::Event(Event::TrackerAnswered {
                stream: self.id,
                tracker: from,
                members,
                info,
            }));
        }
        if self.primaries.is_empty() && self.contributes() {
            self.primaries = message.primaries.and(SubstreamSet::all(self.k()));
        }
        self.count_slots(ctx);
        let mut tried = if first {
            0
        } else {
            DIALS_AT_ONCE.saturating_sub(TRY_PER_ANSWER)
        };
        self.take_seats(ctx.now, &message.peers, &message.seats);
        for record in message.peers {
            if record.peer == ctx.config.peer {
                continue;
            }
            let peer = record.peer;
            if ctx.neighbours.contains(&peer) {
                self.meet(ctx, peer, Some(record));
                continue;
            }
            let addrs = record.addrs.to_vec();
            let known = self.hear(ctx.now, peer, addrs);
            known.record = Some(Box::new(record));
            if first {
                continue;
            }
            if self.seated_at(peer, ctx.now) {
                // However many it is connected to already: none of them had a slot.
                self.dial(ctx, peer);
                continue;
            }
            if tried < DIALS_AT_ONCE && self.peers.len() < MANY_PEERS && self.looks_better(ctx, peer) {
                tried += 1;
                self.dial(ctx, peer);
            }
        }
        if first {
            self.plan_past(ctx, message.head);
        }
        self.race_siblings(ctx, from);
        self.fill_up(ctx);
        self.seek_parents(ctx);
    }

    /// Notes where the tracker holds slots for this node.
    fn take_seats(&mut self, now: Time, peers: &[PeerRecord], seats: &[SubstreamSet]) {
        for (record, set) in peers.iter().zip(seats) {
            for substream in set.iter() {
                if let Some(sub) = self.sub_mut(substream) {
                    sub.seat = Some((record.peer, now));
                }
            }
        }
    }
}

/// Bounds on what a tracker may ask for as renewal interval.
const MIN_REFRESH: Duration = Duration::from_millis(500);
const MAX_REFRESH: Duration = Duration::from_secs(30);

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
