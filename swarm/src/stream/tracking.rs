//! The tracker's host: what it answers to who asks for a way into the stream.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use coords::Coord;
use incentives::Offence;
use tracker::{Siblings, Tracker, TrackerConfig};
use wire::message::{
    Appointment, Hold, HoldFor, Join, JoinAnswer, JoinRefused, MAX_RING_LIST, MAX_TRACKERS, PeerRecord,
    RefuseReason, RingNode, Role,
};
use wire::{List, PeerId, PeerMap, Signed, StreamId, Substream, SubstreamSet, Time};

use super::area::Area;
use super::calls::Calls;
use super::deputy::Deputy;
use super::greeting::Greeting;
use super::seats::SMALL_SWARM;
use super::supply::{PROMISED, WORTH_DISPLACING_AT_SOURCE, primaries_for, scarcest, worth};
use super::{Ctx, Stream};

/// Share of the peercaster's uplink that tracking may take before newcomers hear of fewer peers and others only of what they lack: our
/// judgement.
pub(super) const BUSY_TRACKER: f64 = 0.15;

/// Beyond this share it answers newcomers only. Up to it who lacks a supplier is helped: asking at random takes more of everybody's
/// uplink. With half of the peercaster's uplink a crowd's chunks were late (docs/results/swarm.md, "What a crowd waits for").
const OVERBUSY_TRACKER: f64 = 0.3;

/// Peers named by a busy tracker to who lacks a supplier: it seldom lacks more than two substreams at a time.
const WANT_WHEN_LACKING: u8 = 2;

/// Peers named to a newcomer by a busy tracker, and in a swarm that is not small: enough for a seat in each substream, and no more, because
/// each is 100 bytes here, a promise of 160, and two handshakes of 4 KB (docs/results/swarm.md).
const WANT_IN_A_CROWD: u8 = 10;

/// A local tracker of a stream, at the peer that keeps it.
#[derive(Debug)]
pub(crate) struct Tracking {
    pub(crate) tracker: Tracker,
    pub(super) greeting: Greeting,
    pub(super) calls: Calls,
    /// That this node may keep it: newcomers ask for it of every tracker.
    pub(super) appointment: Signed<Appointment>,
    /// Who signs appointments; `None` at the peercaster.
    pub(super) peercaster: Option<RingNode>,
    /// Where this node can be reached, as others see it.
    pub(super) addrs: Vec<SocketAddr>,
    pub(super) area: Area,
    pub(super) siblings: Siblings,
    /// What siblings showed.
    pub(super) papers: PeerMap<Signed<Appointment>>,
    pub(super) next_news: Time,
    pub(super) deputy: Option<Deputy>,
    pub(super) next_replica: Time,
    /// In whose place this node tracks, until that is back.
    pub(super) acting_for: Option<RingNode>,
    pub(super) acting_since: Time,
}

/// A local tracker as its host describes it to the overlay.
#[derive(Clone, Debug)]
pub(crate) struct TrackerState {
    /// The stream's word that it may be one.
    pub(crate) appointment: Signed<Appointment>,
    /// The nearest other trackers of the stream.
    pub(crate) siblings: Vec<RingNode>,
    /// Peers registered there.
    pub(crate) members: u32,
    /// Capacity that its area lacks, in per mille of what it demands.
    pub(crate) short: u16,
}

/// What a peer needs to become a tracker.
pub(super) struct Office {
    pub(super) appointment: Signed<Appointment>,
    pub(super) peercaster: Option<RingNode>,
    pub(super) addrs: Vec<SocketAddr>,
}

impl Tracking {
    /// A tracker without members. `lists_host`: whether this node takes part in the stream as others do.
    pub(super) fn new(
        ctx: &Ctx<'_>,
        stream: StreamId,
        substreams: u8,
        office: Office,
        lists_host: bool,
    ) -> Self {
        let seed = ctx.config.seed ^ u64::from(stream.tag());
        let config = TrackerConfig {
            lists_host,
            split_above: ctx.config.split_above,
            neighbours_at: office.addrs.iter().map(|addr| addr.ip().to_canonical()).collect(),
            ..TrackerConfig::new(ctx.config.peer, substreams, seed)
        };
        Tracking {
            tracker: Tracker::new(config),
            greeting: Greeting::default(),
            calls: Calls::default(),
            appointment: office.appointment,
            peercaster: office.peercaster,
            addrs: office.addrs,
            area: Area::default(),
            siblings: Siblings::default(),
            papers: PeerMap::new(),
            next_news: ctx.now,
            deputy: None,
            next_replica: ctx.now,
            acting_for: None,
            acting_since: ctx.now,
        }
    }

    /// How many peers are registered here and with the trackers that this one knows: what a swarm's size decides should not
    /// depend on how it is divided.
    pub(super) fn everybody(&self) -> usize {
        let siblings = self.siblings.peers().filter_map(|peer| self.siblings.get(peer));
        let there = siblings.map(|sibling| sibling.news.members as usize);
        there.fold(self.tracker.members(), usize::saturating_add)
    }

    /// This tracker as others are told of it.
    pub(super) fn node(&self, ctx: &Ctx<'_>) -> RingNode {
        let addrs = self.addrs.iter().copied().collect();
        RingNode::new(ctx.config.peer, &ctx.coord, addrs)
    }

    /// The nearest siblings, nearest first.
    pub(super) fn nearest(&self, ctx: &Ctx<'_>) -> List<RingNode, MAX_RING_LIST> {
        let nearest = self.siblings.nearest(&ctx.coord);
        nearest
            .into_iter()
            .map(|sibling| sibling.news.node.clone())
            .collect()
    }

    /// Whether the connection to this peer is kept for the tracker's sake.
    pub(super) fn needs(&self, peer: PeerId) -> bool {
        let is = |node: &Option<RingNode>| node.as_ref().is_some_and(|node| node.peer == peer);
        self.siblings.get(peer).is_some()
            || is(&self.peercaster)
            || is(&self.acting_for)
            || self.area.concerns(peer)
            || self
                .deputy
                .as_ref()
                .is_some_and(|deputy| deputy.node.peer == peer)
    }
}

impl Stream {
    /// What a tracker does every so often.
    pub(super) fn tracking_tick(&mut self, ctx: &mut Ctx<'_>) {
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        tracking.tracker.handle_deadline(ctx.now);
        tracking.calls.expire(ctx.now);
        self.strike_off_gone(ctx);
        self.renew_greeting(ctx);
        self.deputy_tick(ctx);
        self.siblings_tick(ctx);
        self.end_acting(ctx.now);
        // Last, because it may be the end of the tracker.
        self.area_tick(ctx);
    }

    /// What is said of this node's tracker in the overlay's table, if it keeps one.
    pub(crate) fn tracker_state(&self, here: &Coord) -> Option<TrackerState> {
        let tracking = self.tracking.as_ref().filter(|_| self.tracks())?;
        let nearest = tracking.siblings.nearest(here);
        Some(TrackerState {
            appointment: tracking.appointment.clone(),
            siblings: nearest
                .into_iter()
                .map(|sibling| sibling.news.node.clone())
                .collect(),
            members: u32::try_from(tracking.tracker.members()).unwrap_or(u32::MAX),
            short: self.short().unwrap_or_default(),
        })
    }

    /// What the area of the tracker that this node keeps lacks, in per mille of what its members want.
    pub(crate) fn short(&self) -> Option<u16> {
        let tracking = self.tracking.as_ref()?;
        let own = if self.source.is_some() { self.slots } else { 0 };
        Some(tracking.tracker.short(own))
    }

    /// Whether this node keeps a tracker of the stream for others to find.
    pub(crate) fn tracks(&self) -> bool {
        self.tracking.is_some() && !self.ended
    }

    /// How many connections this node keeps for its tracker's members, on top of its own. The peercaster has enough.
    pub(crate) fn members_expected(&self) -> usize {
        let tracking = self.tracking.as_ref().filter(|_| self.source.is_none());
        tracking.map_or(0, |tracking| {
            crate::config::members_expected(tracking.tracker.config().split_above)
        })
    }

    /// Begins to keep a tracker, beside what else this node does in the stream.
    pub(super) fn begin_tracking(&mut self, ctx: &mut Ctx<'_>, office: Office) {
        let tracking = Tracking::new(ctx, self.id, self.k(), office, true);
        self.tracking = Some(tracking);
        let me = ctx.config.peer;
        self.register_with(ctx, me, None);
    }

    /// A peer asks this tracker.
    pub(crate) fn on_join(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: Join) {
        let Some(neighbour) = ctx.neighbours.get(&from) else {
            return;
        };
        let (listen, ip) = (neighbour.listen.clone(), neighbour.addr.ip());
        if message.record.role == Role::Peercaster && self.tracking.is_some() {
            // There is one, and it does not join.
            return ctx.penalise(from, Offence::Malformed);
        }
        let instead = match &self.tracking {
            None => Some(self.own_tracker(ctx)),
            Some(tracking) if tracking.tracker.is_member(from) => None,
            Some(tracking) => tracking.area.heir().map(|node| std::iter::once(node).collect()),
        };
        if let Some(trackers) = instead {
            return refuse(ctx, from, self.id, RefuseReason::UnknownStream, trackers);
        }
        match self.answer(ctx, from, (listen, ip), message) {
            Ok(Some(answer)) => ctx.send(from, answer),
            // Only a report: the transport's acknowledgement is answer enough.
            Ok(None) => {}
            Err(reason) => refuse(ctx, from, self.id, reason, List::default()),
        }
    }

    /// This node registers with its own tracker, and hears of peers there like everybody else.
    pub(super) fn ask_self(&mut self, ctx: &mut Ctx<'_>, join: Join) {
        let me = ctx.config.peer;
        let addrs = self.tracking.as_ref().map(|tracking| tracking.addrs.clone());
        let here = (addrs.unwrap_or_default(), Ipv4Addr::LOCALHOST.into());
        if let Ok(Some(answer)) = self.answer(ctx, me, here, join) {
            self.on_join_answer(ctx, me, answer);
        }
    }

    /// Registers who asks, and says what it is told: nothing if it only reports.
    pub(super) fn answer(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: PeerId,
        (listen, ip): (Vec<SocketAddr>, IpAddr),
        mut message: Join,
    ) -> Result<Option<JoinAnswer>, RefuseReason> {
        let stream = self.id;
        message.record.peer = from;
        message.record.addrs = listen.into_iter().collect();
        if message.known.is_some() && !message.need.is_empty() {
            // It has lost suppliers: whoever else is gone with them should not be named, nor keep a place here.
            self.call_roll(ctx);
        }
        let tracking = self.tracking.as_ref();
        let fresh = tracking.is_some_and(|tracking| !tracking.tracker.has_registered(from));
        let busy = ctx.uplink.control_share(ctx.now);
        let members = tracking.map_or(0, Tracking::everybody);
        if members > SMALL_SWARM as usize && message.known.is_none() {
            message.want = message.want.min(WANT_IN_A_CROWD);
        }
        if busy > BUSY_TRACKER {
            // A crowd must not take the host's uplink from the stream: who asks again waits, or hears of two if it lacks something;
            // who is new hears of few.
            message.want = match message.known {
                Some(_) if !message.need.is_empty() && busy <= OVERBUSY_TRACKER => {
                    message.want.min(WANT_WHEN_LACKING)
                }
                Some(_) => message.want.min(u8::from(fresh)),
                None => message.want.min(WANT_IN_A_CROWD),
            };
        }
        let primaries = self.place_newcomer(ctx, &mut message);
        let own_seats = self.seat_here(&message);
        let host = if self.source.is_none() {
            None
        } else if !own_seats.is_empty() || self.source_has_room_for(ctx, &message) {
            Some(self.own_record(ctx))
        } else {
            (message.known.is_none() && busy <= BUSY_TRACKER).then(|| for_the_past(self.own_record(ctx)))
        };
        let head = self.head();
        let head_at = self.generated_at(head).unwrap_or(ctx.now);
        let random_access = self.window.newest_random_access();
        let every = self.window.random_access_every();
        let (Some(tracking), Some((held, info))) = (&mut self.tracking, &self.info) else {
            return Err(RefuseReason::UnknownStream);
        };
        let source = tracking.peercaster.as_ref().map_or(ctx.coord, |node| node.coord);
        tracking.tracker.set_source(source);
        message.need = message.need.minus(own_seats);
        let answer = tracking.tracker.join(ctx.now, from, ip, &message)?;
        if message.want == 0 {
            return Ok(None);
        }
        let info = (message.known != Some((held.session, held.revision))).then(|| info.clone());
        let tell = fresh || info.is_some();
        let appointment = tell.then(|| tracking.appointment.clone());
        // One that has come since may be nearer to it than this one.
        let told = tracking.tracker.told_at(from);
        let siblings = if told.is_none_or(|at| at <= tracking.siblings.met_at()) {
            tracking.tracker.note_told(ctx.now, from);
            tracking.nearest(ctx)
        } else {
            List::default()
        };
        let members = u32::try_from(tracking.everybody()).unwrap_or(u32::MAX);
        let deputy = tracking.deputy.as_ref().and_then(Deputy::ready).map(Box::new);
        for (record, substreams) in answer.peers.iter().filter(|(_, set)| !set.is_empty()) {
            self.promise(ctx, record.peer, from, *substreams);
        }
        let named = host.map(|host| (host, own_seats)).into_iter().chain(answer.peers);
        let (peers, seats): (Vec<_>, Vec<_>) = named.unzip();
        self.keep(ctx.now, from, own_seats);
        Ok(Some(JoinAnswer {
            stream,
            info,
            peers: peers.into_iter().collect(),
            seats: seats.into_iter().collect(),
            refresh_ms: answer.refresh.as_millis().min(60_000) as u32,
            head,
            head_at,
            random_access,
            random_access_every_ms: every.map(|d| d.as_millis().min(u128::from(u32::MAX)) as u32),
            primaries,
            supply: answer.supply.into_iter().collect(),
            members,
            appointment,
            siblings,
            deputy,
        }))
    }

    /// Tells `at` that its slots are promised to a joiner: directly, or through the tracker that it is registered with.
    fn promise(&mut self, ctx: &mut Ctx<'_>, at: PeerId, joiner: PeerId, substreams: SubstreamSet) {
        let (stream, peer) = (self.id, joiner);
        if at == ctx.config.peer {
            return self.take_hold(ctx.now, joiner, substreams);
        }
        let area = self
            .tracking
            .as_ref()
            .and_then(|tracking| tracking.tracker.area_of(at));
        match area.filter(|area| ctx.neighbours.contains(area)) {
            Some(area) => ctx.send(
                area,
                HoldFor {
                    stream,
                    at,
                    peer,
                    substreams,
                },
            ),
            None => ctx.send(
                at,
                Hold {
                    stream,
                    peer,
                    substreams,
                },
            ),
        }
    }

    /// Another tracker promised slots of one of this one's members.
    pub(crate) fn on_hold_for(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: HoldFor) {
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        if tracking.siblings.get(from).is_none() {
            return ctx.penalise(from, Offence::Unauthorised);
        }
        let own = message.at == ctx.config.peer;
        if tracking.tracker.hold(message.at, message.substreams) || own {
            self.promise(ctx, message.at, message.peer, message.substreams);
        }
    }

    /// Who answers a newcomer: this node's own tracker, or the one that it is registered with.
    pub(crate) fn whom_to_ask(&self) -> Option<PeerId> {
        self.membership.tracker.filter(|_| self.membership.answered)
    }

    /// The tracker that this node is registered with, for who takes this node for one.
    fn own_tracker(&self, ctx: &Ctx<'_>) -> List<RingNode, MAX_TRACKERS> {
        let known = self
            .whom_to_ask()
            .and_then(|peer| Some((peer, ctx.neighbours.get(&peer)?)));
        known
            .map(|(peer, neighbour)| {
                // The address that led this node there first: it is one that others outside can reach, too.
                let dialled = self.membership.tracker_addr;
                let others = neighbour
                    .listen
                    .iter()
                    .copied()
                    .filter(|&addr| Some(addr) != dialled);
                RingNode::new(
                    peer,
                    &neighbour.coord,
                    dialled.into_iter().chain(others).collect(),
                )
            })
            .into_iter()
            .collect()
    }

    /// Names nobody any more who does not answer a call. Who is there all the same registers again at its next renewal.
    pub(super) fn strike_off_gone(&mut self, ctx: &Ctx<'_>) {
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        for (peer, _) in ctx.neighbours.iter().filter(|(_, n)| n.is_gone(ctx.now)) {
            tracking.tracker.leave(ctx.now, *peer);
        }
    }

    /// Gives a newcomer, which does not know the stream's rate yet, its slots and the substreams that are scarcest, so
    /// that those who join in the same moment do not all choose the same and hear of one another at once.
    fn place_newcomer(&self, ctx: &mut Ctx<'_>, join: &mut Join) -> SubstreamSet {
        // Who knows the stream and has no slots has none.
        let new = join.known.is_none() && join.want > 0;
        let record = &mut join.record;
        let gives = matches!(record.role, Role::Consumer | Role::Donor);
        if !new || !gives || record.slots > 0 || !record.primaries.is_empty() {
            return SubstreamSet::EMPTY;
        }
        record.slots = self.slots_for(join.upload, PROMISED);
        record.free_slots = record.slots;
        let Some(tracking) = &self.tracking else {
            return SubstreamSet::EMPTY;
        };
        let members = u32::try_from(tracking.everybody()).unwrap_or(u32::MAX);
        let count = primaries_for(record.role, record.slots, members);
        record.primaries = scarcest(&tracking.tracker.supply(), self.k(), count, ctx.rng);
        record.primaries
    }

    /// What the source can give a newcomer itself: it is connected already, and has the past, too. Only as long as slots are
    /// free; who passes on more takes the place later.
    fn seat_here(&self, join: &Join) -> SubstreamSet {
        let members = self.tracking.as_ref().map_or(usize::MAX, Tracking::everybody);
        if self.source.is_none()
            || join.want == 0
            || members >= usize::from(self.slots / u16::from(self.k().max(1))) * 4
        {
            return SubstreamSet::EMPTY;
        }
        let free = |&s: &Substream| self.children_of(s) + self.kept(s) < self.source_share(s);
        join.need
            .and(SubstreamSet::all(self.k()))
            .iter()
            .filter(free)
            .collect()
    }

    /// Whether the source would take this peer as a child: it has a free slot, or a child that is worth less.
    fn source_has_room_for(&self, ctx: &Ctx<'_>, join: &Join) -> bool {
        let record = &join.record;
        let way_ms = coords::coord::distance_ms(&ctx.coord, &record.coord) / 2.0;
        let fanout = record.slots / record.primaries.len().max(1) as u16;
        let newcomer = worth(fanout, Duration::from_secs_f64(way_ms.max(0.0) / 1000.0));
        (0..self.k()).map(Substream).any(|s| {
            let Some(sub) = self.sub(s) else { return false };
            let here = self.children_of(s);
            let weaker = |child: &super::Child| {
                let way = ctx
                    .neighbours
                    .get(&child.peer)
                    .map_or(Duration::ZERO, |n| n.rtt() / 2);
                worth(child.fanout, way) * WORTH_DISPLACING_AT_SOURCE < newcomer
            };
            here < self.source_share(s)
                || (fanout > 0 && record.primaries.contains(s) && sub.children.iter().any(weaker))
        })
    }
}

fn refuse(
    ctx: &mut Ctx<'_>,
    to: PeerId,
    stream: StreamId,
    reason: RefuseReason,
    trackers: List<RingNode, MAX_TRACKERS>,
) {
    ctx.send(
        to,
        JoinRefused {
            stream,
            reason,
            trackers,
        },
    );
}

/// A record that names the source to a joiner for what it has to spare beside its children, and not as a supplier.
fn for_the_past(record: PeerRecord) -> PeerRecord {
    PeerRecord {
        free_slots: 0,
        primaries: SubstreamSet::EMPTY,
        leaves: SubstreamSet::EMPTY,
        has: SubstreamSet::EMPTY,
        ..record
    }
}

#[cfg(test)]
#[path = "tracking_tests.rs"]
mod tests;
