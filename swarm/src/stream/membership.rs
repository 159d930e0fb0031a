//! The way into a stream: the tracker, the peers it names, the connections to them.

use std::net::SocketAddr;
use std::time::Duration;

use incentives::Offence;
use rand::RngExt;
use wire::message::{Info, Join, JoinAnswer, JoinRefused, PeerRecord, RefuseReason, RingNode, Role};
use wire::{PeerId, PeerMap, Seq, StreamId, SubstreamSet, Time, Verifier};

use super::candidates::{DIALS_AT_ONCE, Known, MANY_PEERS};
use super::{Ctx, Stream, SubstreamState};
use crate::io::{Event, Output, Participation};
use crate::playout::Playout;
use crate::uplink::DIAL_BYTES;

/// The first wait before the tracker is dialled again; it doubles up to [`TRACKER_RETRY_MAX`].
const TRACKER_RETRY: Duration = Duration::from_millis(120);
const TRACKER_RETRY_MAX: Duration = Duration::from_secs(4);

/// A newcomer goes where it is sent so often before it begins anew: who it asks first may name a peer whose tracker has moved.
const MOST_SENT_ON: u8 = 4;

/// A node that lacks suppliers asks the tracker again after this time, and twice as long after each such time.
const URGENT_REFRESH: Duration = Duration::from_millis(400);

/// Peers asked of the tracker at first and later. An answer is about 100 bytes a peer, and a tracker may have a thousand
/// members.
const WANT_FIRST: u8 = 24;
const WANT_LATER: u8 = 4;

/// Candidates tried with each later answer: the race of real probes that coordinates only pre-select.
const TRY_PER_ANSWER: usize = 2;

/// What a node knows about getting into a stream.
#[derive(Debug)]
pub(crate) struct Membership {
    via: Vec<SocketAddr>,
    pub(crate) tracker: Option<PeerId>,
    pub(crate) tracker_addr: Option<SocketAddr>,
    pub(crate) members: u32,
    pub(crate) supply: Vec<u16>,
    pub(super) known: PeerMap<Known>,
    next_refresh: Time,
    refresh: Duration,
    next_dial: Time,
    pub(super) next_fill: Time,
    dial_wait: Duration,
    /// The tracker as somebody named it who is none.
    named: Option<PeerId>,
    /// How often somebody did since a tracker answered.
    sent_on: u8,
    attempts: u32,
    pub(super) answered: bool,
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
            members: 0,
            supply: Vec::new(),
            known: PeerMap::new(),
            next_refresh: now,
            refresh: Duration::from_secs(2),
            next_dial: now,
            next_fill: now,
            dial_wait: TRACKER_RETRY,
            named: None,
            sent_on: 0,
            attempts: 0,
            answered: false,
            asked_at: None,
            urgent_wait: URGENT_REFRESH,
            reported_free: 0,
            promised: 0,
            reported_has: SubstreamSet::EMPTY,
        }
    }

    /// Whether this address leads to the tracker.
    pub(crate) fn leads_to_tracker(&self, addr: SocketAddr) -> bool {
        self.via.contains(&addr)
    }

    /// A connection is gone.
    pub(super) fn on_lost(&mut self, ctx: &mut Ctx<'_>, peer: PeerId) {
        if self.tracker == Some(peer) {
            self.tracker = None;
            self.wait_before_dialling(ctx);
        }
        if let Some(known) = self.known.get_mut(&peer) {
            known.tried_at = Some(ctx.now);
        }
    }

    fn wait_before_dialling(&mut self, ctx: &mut Ctx<'_>) {
        self.sent_on = 0;
        // Jitter, or everybody would come back to a restarted peercaster in the same moment.
        self.next_dial = ctx.now + self.dial_wait.mul_f64(ctx.rng.random_range(0.5..1.5));
        self.dial_wait = (self.dial_wait * 2).min(TRACKER_RETRY_MAX);
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

    fn dial_tracker(&mut self, ctx: &mut Ctx<'_>) {
        let addrs = match self.membership.tracker_addr {
            // After an answer the way that worked comes first.
            Some(addr) => std::iter::once(addr)
                .chain(self.membership.via.iter().copied().filter(|&via| via != addr))
                .collect(),
            None => self.membership.via.clone(),
        };
        self.membership.attempts += 1;
        if self.membership.attempts > 1 {
            let attempts = self.membership.attempts - 1;
            ctx.out.push(Output::Event(Event::NoTracker {
                stream: self.id,
                attempts,
            }));
        }
        self.membership.next_dial = ctx.now + DIAL_TIMEOUT;
        let connected = ctx
            .neighbours
            .iter()
            .find(|(_, neighbour)| addrs.contains(&neighbour.addr));
        if let Some((peer, addr)) = connected.map(|(peer, neighbour)| (*peer, neighbour.addr)) {
            // A second handshake would only be refused: it was no tracker when it was asked last, or another stream came first.
            return self.take_for_tracker(ctx, peer, addr);
        }
        ctx.uplink.book_unpaced(ctx.now, DIAL_BYTES);
        ctx.out.push(Output::Connect { peer: None, addrs });
    }

    /// A connection to somebody whom this stream dialled or knows.
    pub(crate) fn on_connected(&mut self, ctx: &mut Ctx<'_>, peer: PeerId, addr: SocketAddr, dialled: bool) {
        let leads = self.membership.leads_to_tracker(addr) || self.membership.named == Some(peer);
        if dialled && self.membership.tracker.is_none() && leads {
            self.take_for_tracker(ctx, peer, addr);
        }
        if let Some(known) = self.membership.known.get(&peer) {
            let record = known.record.clone();
            let state = self.peers.entry(peer).or_default();
            state.record = record;
            state.interested = true;
            self.send_advert(ctx, peer);
            self.seek_parents(ctx);
        }
    }

    /// Dialling the tracker failed.
    pub(crate) fn on_dial_failed(&mut self, ctx: &mut Ctx<'_>, addr: Option<SocketAddr>) {
        let ours = addr.is_none_or(|addr| self.membership.leads_to_tracker(addr));
        if self.source.is_none() && self.membership.tracker.is_none() && ours {
            self.membership.wait_before_dialling(ctx);
        }
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

    fn send_join(&mut self, ctx: &mut Ctx<'_>) {
        let Some(tracker) = self.membership.tracker else {
            return;
        };
        self.note_reported();
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
        let join = Join {
            stream: self.id,
            record: self.own_record(ctx),
            want,
            need,
            upload: ctx.uplink.rate(),
            known: self.info.as_ref().map(|(info, _)| (info.session, info.revision)),
            promised: self.membership.promised,
        };
        ctx.send(tracker, join);
        self.membership.asked_at = Some(ctx.now);
        self.membership.next_refresh = ctx.now + self.membership.refresh;
    }

    pub(super) fn membership_tick(&mut self, ctx: &mut Ctx<'_>) {
        if let Some(source) = &mut self.source {
            source.tracker.handle_deadline(ctx.now);
            self.strike_off_gone(ctx);
            self.renew_greeting(ctx);
            return;
        }
        let now = ctx.now;
        if self.flowing_since.is_none() && self.first_chunk_seen {
            // A peercaster that was started again says so to whoever sends it something, and to nobody else.
            if let Some(tracker) = self.membership.tracker {
                ctx.neighbours.call(now, &tracker);
            }
        }
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
        if self.membership.tracker != Some(from) || self.source.is_some() {
            return;
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
        let first = !self.membership.answered;
        self.membership.answered = true;
        self.membership.attempts = 0;
        self.membership.sent_on = 0;
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
            let rtt = ctx.neighbours.get(&from).map_or(Duration::ZERO, |n| n.rtt());
            let (base, begin_at) = self.joining_point(&message, rtt);
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
            known.record = Some(record);
            if first {
                continue;
            }
            if tried < DIALS_AT_ONCE && self.peers.len() < MANY_PEERS && self.looks_better(ctx, peer) {
                tried += 1;
                self.dial(ctx, peer);
            }
        }
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

    /// The oldest chunk a joiner wants: the newest one that a player can start with, unless the next one is the sooner
    /// start; and where playout will begin, then. `rtt` is that to the tracker.
    fn joining_point(&self, answer: &JoinAnswer, rtt: Duration) -> (Seq, Seq) {
        let live = answer.head.plus(1);
        let Some(point) = answer
            .random_access
            .filter(|&point| self.playout.is_some() && point <= answer.head)
        else {
            return (live, live);
        };
        let chunk = self.chunk_duration();
        let age = chunk * u32::try_from(point.behind(live)).unwrap_or(u32::MAX);
        let every = answer
            .random_access_every_ms
            .map(|ms| Duration::from_millis(u64::from(ms)));
        // A connection and an answer, and what has passed by then at the rate that a swarm has to spare for it.
        let until_here = rtt * 2;
        let by_the_past = until_here + (age + until_here).div_f64(SPARE_RATE);
        match every {
            Some(every) if every.saturating_sub(age) <= by_the_past => {
                let chunks = every.as_micros() / chunk.as_micros().max(1);
                let next = point.plus(u64::try_from(chunks).unwrap_or(0));
                let sooner = u64::try_from(chunks).unwrap_or(0) / EARLIER;
                (live, live.max(Seq(next.0.saturating_sub(sooner))))
            }
            _ if point.behind(live) > MAX_PAST => (live, live),
            _ => (point, point),
        }
    }

    /// The tracker refused.
    pub(crate) fn on_join_refused(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: JoinRefused) {
        if self.membership.tracker != Some(from) {
            return;
        }
        self.membership.next_refresh = ctx.now + Duration::from_secs(1);
        if message.reason == RefuseReason::UnknownStream {
            self.membership.tracker = None;
            self.membership.tracker_addr = None;
            if !self.follow(ctx, &message.trackers) {
                self.membership.wait_before_dialling(ctx);
            }
        }
    }

    /// Goes to the tracker that somebody named who is none. Whether there was one to go to: those who send one another's
    /// guests in circles are not believed for long.
    fn follow(&mut self, ctx: &mut Ctx<'_>, trackers: &[RingNode]) -> bool {
        let me = ctx.config.peer;
        let Some(tracker) = trackers
            .iter()
            .find(|node| node.peer != me && !node.addrs.is_empty())
            .filter(|_| self.membership.sent_on < MOST_SENT_ON)
        else {
            return false;
        };
        self.membership.sent_on += 1;
        if let Some(addr) = ctx.neighbours.get(&tracker.peer).map(|neighbour| neighbour.addr) {
            self.take_for_tracker(ctx, tracker.peer, addr);
            return true;
        }
        self.membership.named = Some(tracker.peer);
        self.membership.next_dial = ctx.now + DIAL_TIMEOUT;
        ctx.uplink.book_unpaced(ctx.now, DIAL_BYTES);
        ctx.out.push(Output::Connect {
            peer: Some(tracker.peer),
            addrs: tracker.addrs.to_vec(),
        });
        true
    }

    /// Asks a peer that is to be the tracker; if it is not it says so, and perhaps who is.
    fn take_for_tracker(&mut self, ctx: &mut Ctx<'_>, peer: PeerId, addr: SocketAddr) {
        self.membership.tracker = Some(peer);
        self.membership.tracker_addr = Some(addr);
        self.membership.named = None;
        self.return_to_source(ctx, peer);
        self.send_join(ctx);
    }

    /// A description, from the tracker or a neighbour, already checked.
    pub(super) fn take_info(
        &mut self,
        ctx: &mut Ctx<'_>,
        info: wire::StreamInfo,
        signed: wire::Signed<wire::StreamInfo>,
    ) {
        if let Some((held, _)) = &self.info {
            if !info.replaces(held) {
                return;
            }
            if info.session > self.session {
                self.begin_session(ctx, info.session);
            }
        }
        self.session = self.session.max(info.session);
        if self.subs.len() != usize::from(info.substreams) {
            self.subs = (0..info.substreams).map(|_| SubstreamState::default()).collect();
            self.primaries = SubstreamSet::EMPTY;
            for state in self.peers.values_mut() {
                state.supplies = SubstreamSet::EMPTY;
                state.supplied = SubstreamSet::EMPTY;
                state.asked = SubstreamSet::EMPTY;
            }
        }
        let shown = Box::new(info.clone());
        self.info = Some((info, signed.clone()));
        ctx.out.push(Output::Event(Event::Described {
            stream: self.id,
            info: shown,
            signed,
        }));
    }

    /// A neighbour passes on a description.
    pub(crate) fn on_info(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: Info) {
        if self.source.is_some() {
            return;
        }
        // Honest peers have checked it before they passed it on.
        let Ok(info) = message.info.open(&self.verifier) else {
            return ctx.penalise(from, Offence::WrongSignature);
        };
        let newer = self.info.as_ref().is_none_or(|(held, _)| info.replaces(held));
        if !newer || !info.is_sane() {
            return;
        }
        self.take_info(ctx, info, message.info.clone());
        let others: Vec<PeerId> = self.peers.keys().copied().filter(|&peer| peer != from).collect();
        for peer in others {
            ctx.send(
                peer,
                Info {
                    stream: self.id,
                    info: message.info.clone(),
                },
            );
        }
    }
}

/// A dial that has not answered in this time has failed.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Bounds on what a tracker may ask for as renewal interval.
const MIN_REFRESH: Duration = Duration::from_millis(500);
const MAX_REFRESH: Duration = Duration::from_secs(30);

/// How much faster than live a joiner gets the past: what peers with a third of their slots free gave in the simulator.
const SPARE_RATE: f64 = 3.0;

/// The next key frame may come sooner than the last two lay apart, by one part in so many: encoders of a constant rate put
/// them into their buffer when there is room.
const EARLIER: u64 = 4;

/// A joiner never asks for more chunks of the past than this: 8 s of the default stream.
const MAX_PAST: u64 = 1_000;

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
