//! One stream at one node: what it holds, whom it gets it from, whom it gives it to.

mod advert;
mod area;
mod calls;
mod candidates;
mod carrying;
mod deputy;
mod description;
mod exchange;
mod first_asks;
mod greeting;
mod holders;
mod holds;
mod joining_point;
mod lags;
mod leavers;
mod lost;
mod membership;
mod moving;
mod offers;
mod parents;
mod past;
mod paths;
mod racing;
mod rank;
mod repair;
mod reports;
mod restraint;
mod seats;
mod siblings;
mod source;
mod spending;
mod supply;
#[cfg(test)]
mod testing;
mod tracking;
mod watch;
mod way_in;

use std::net::SocketAddr;
use std::time::Duration;

use coords::Coord;
use incentives::{Account, Accounts, Contribution, Offence, Standings, Verdict};
use rand_chacha::ChaCha8Rng;
use wire::message::{Advert, PeerRecord, Role};
use wire::{PeerId, PeerMap, Seq, Signed, StreamId, StreamInfo, Substream, SubstreamSet, Time, Verifier};

use crate::clock::SourceClock;
use crate::config::NodeConfig;
use crate::io::Outbox;
use crate::neighbour::Neighbours;
use crate::node::Bookkeeping;
use crate::playout::Playout;
use crate::uplink::{Turn, Uplink};
use crate::window::Window;

pub(crate) use membership::Membership;
pub(crate) use racing::Found;
use repair::Repair;
use source::Source;
pub(crate) use tracking::{TrackerState, Tracking};
pub(crate) use way_in::DIAL_TIMEOUT;

/// What a stream may use of the node it belongs to.
pub(crate) struct Ctx<'a> {
    pub(crate) now: Time,
    pub(crate) config: &'a NodeConfig,
    pub(crate) neighbours: &'a mut Neighbours,
    pub(crate) uplink: &'a mut Uplink,
    pub(crate) rng: &'a mut ChaCha8Rng,
    /// This node's coordinate, and what it knows of the delay space besides.
    pub(crate) coord: Coord,
    pub(crate) vivaldi: &'a coords::Vivaldi,
    /// Addresses that lead into the overlay, if those of a stream do not.
    pub(crate) ways_in: &'a [SocketAddr],
    pub(crate) standings: &'a mut Standings,
    pub(crate) accounts: &'a mut Accounts,
    /// The accounts that both sides signed, if this node keeps any.
    pub(crate) signed: &'a Bookkeeping,
    /// Peers whose standing is used up: the node shuts them out when the stream has done its work.
    pub(crate) banned: &'a mut Vec<(PeerId, Offence)>,
    pub(crate) out: &'a mut Outbox,
}

impl Ctx<'_> {
    /// A ping for a first packet.
    pub(crate) fn first_ping(&mut self) -> wire::message::Ping {
        wire::message::Ping {
            nonce: self.neighbours.first_ping(self.now),
            sent_at: self.now,
            coord: self.coord,
            coord_error: self.vivaldi.error() as f32,
        }
    }

    pub(crate) fn send(&mut self, to: PeerId, message: impl Into<wire::Message>) {
        self.neighbours.send(self.now, self.uplink, self.out, to, message);
    }

    /// Enters that a peer gave this node so many bytes that were new to it.
    pub(crate) fn received(&mut self, peer: PeerId, stream: StreamId, to_me: u64) {
        let account = Account { to_me, by_me: 0 };
        self.neighbours
            .note_passed(self.now, peer, stream, account, self.accounts);
    }

    /// Enters that this node gave a peer so many bytes.
    pub(crate) fn sent(&mut self, peer: PeerId, stream: StreamId, by_me: u64) {
        let account = Account { to_me: 0, by_me };
        self.neighbours
            .note_passed(self.now, peer, stream, account, self.accounts);
    }

    /// How much a peer is worth to this node. What this node owes it is what both have signed, if it keeps such accounts: they
    /// outlast a run, and move with shifts.
    pub(crate) fn contribution(&self, peer: PeerId, stream: StreamId) -> Contribution {
        let contribution = self.neighbours.contribution(peer, stream, self.accounts);
        match self.signed.owed(self.now, peer) {
            Some(balance) => Contribution {
                balance,
                ..contribution
            },
            None => contribution,
        }
    }

    /// Counts what a peer did wrong.
    pub(crate) fn penalise(&mut self, peer: PeerId, offence: Offence) {
        if self.standings.penalise(self.now, peer, offence) == Verdict::Ban {
            self.banned.push((peer, offence));
        }
    }
}

/// A peer of this stream that this node is connected to.
#[derive(Debug, Default)]
pub(crate) struct StreamPeer {
    /// What it said last, and when.
    pub(crate) advert: Option<(Advert, Time)>,
    /// What the tracker said of it, until it speaks for itself. In a box, because it is seldom looked at, and all neighbours are
    /// looked through many times a second.
    pub(crate) record: Option<Box<PeerRecord>>,
    /// Whether the two tell each other adverts.
    pub(crate) interested: bool,
    /// When this node last said what it offers, and what of it mattered.
    told: Option<(Time, advert::News)>,
    /// Substreams it supplies to this node.
    pub(crate) supplies: SubstreamSet,
    /// Substreams asked of it, not answered yet, and when.
    pub(crate) asked: SubstreamSet,
    pub(crate) asked_at: Time,
    /// Substreams it refused, and until when not to ask again.
    pub(crate) refused: Vec<(Substream, Time)>,
    /// Substreams this node supplies to it.
    pub(crate) supplied: SubstreamSet,
    /// It could not help with a repair: not asked for another before.
    pub(crate) busy_until: Time,
    /// Repairs it could not help with in a row.
    pub(crate) refusals: u32,
    /// A supplier that went silent is not asked again before.
    pub(crate) distrusted_until: Time,
    /// Requests in a row that it neither answered nor declined.
    pub(crate) unanswered: u16,
}

/// A child of one substream.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) peer: PeerId,
    /// How many further copies of the substream it can send.
    pub(crate) fanout: u16,
    pub(crate) since: Time,
    /// Whose copies its own wait for.
    pub(crate) turn: Turn,
    /// Displaced: served until then, and not counted any more.
    pub(crate) leaves_at: Option<Time>,
}

/// One substream.
#[derive(Debug, Default)]
pub(crate) struct SubstreamState {
    pub(crate) parent: Option<PeerId>,
    /// When the parent agreed.
    pub(crate) parent_since: Time,
    /// Asked, not answered.
    pub(crate) pending: Option<PeerId>,
    /// Ancestors by tag, the parent first.
    pub(crate) path: Vec<u32>,
    /// Whether the supplier says that the way to the peercaster is whole.
    pub(crate) attached: bool,
    /// When the children were told of the path last, and whether it has changed since.
    pub(crate) path_told: Time,
    pub(crate) path_news: bool,
    /// Children, those that can pass on most first.
    pub(crate) children: Vec<Child>,
    /// Newest chunk that came by subscription.
    pub(crate) last_seq: Option<Seq>,
    /// When it came.
    pub(crate) last_arrival: Option<Time>,
    /// Mean of arrival time (this node's clock) minus generation time (the peercaster's), in microseconds, and its mean
    /// deviation. Only differences have a meaning until the clock is known.
    pub(crate) delay_us: f64,
    pub(crate) delay_dev_us: f64,
    pub(crate) delay_samples: u32,
    /// Whether there ever was a sample.
    pub(crate) measured: bool,
    pub(crate) hops: u8,
    /// The lag foreseen when the supplier was asked, in microseconds: what counts until its chunks tell.
    pub(crate) expected_us: f64,
    /// Where the tracker holds a slot, and since when.
    pub(crate) seat: Option<(PeerId, Time)>,
    /// Without a supplier since then.
    pub(crate) orphan_since: Option<Time>,
    /// Since it has none, somebody who was asked had no room.
    pub(crate) met_full: bool,
}

impl SubstreamState {
    /// Whether a supplier has been found, and chunks have come.
    pub(crate) fn flows(&self) -> bool {
        self.parent.is_some() && self.measured
    }

    /// Whether the peercaster itself supplies it: whoever has nobody above is that.
    fn is_from_source(&self) -> bool {
        self.parent.is_some_and(|parent| self.path == [parent.tag()])
    }

    /// Children that are to stay.
    fn staying(&self) -> u16 {
        self.children.iter().filter(|c| c.leaves_at.is_none()).count() as u16
    }

    /// The supplier is gone: whoever is below must know.
    fn detach(&mut self) {
        self.parent = None;
        self.path.clear();
        self.attached = false;
        self.path_news = true;
        self.met_full = false;
    }
}

/// Counters of one stream.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_duplicate: u64,
    pub(crate) repairs_requested: u64,
    pub(crate) arrival_us: Option<i64>,
}

/// One stream at one node.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) role: Role,
    verifier: Verifier,
    pub(crate) info: Option<(StreamInfo, Signed<StreamInfo>)>,
    /// First chunk number of the peercaster's present session: known from the description or from a chunk.
    session: Seq,
    pub(crate) source: Option<Source>,
    /// The local tracker, where this node keeps one.
    pub(crate) tracking: Option<Tracking>,
    /// What this node would go on with in its tracker's place, where it is its deputy.
    standby: Option<deputy::Standby>,
    pub(crate) membership: Membership,
    pub(crate) peers: PeerMap<StreamPeer>,
    pub(crate) window: Window,
    /// Chunks before this one were made before this node was in the stream: they say nothing about its lag.
    live_from: Seq,
    /// Playout will not begin before this chunk, about where the next one is that a player can start with.
    begin_at: Seq,
    /// From this chunk on every substream had its supplier: a chunk that had to be fetched is late by the network's
    /// doing, not by the joiner's. `None` until then.
    settled_from: Option<Seq>,
    pub(crate) subs: Vec<SubstreamState>,
    /// Substreams that came from the peercaster itself when it fell silent or the connection to it was lost: asked for there again
    /// when it is back.
    from_source: SubstreamSet,
    /// When it was left last because it was silent.
    left_source_at: Time,
    pub(crate) primaries: SubstreamSet,
    /// Primaries beyond what the slots are good for, taken because most slots lay idle.
    extra_primaries: u32,
    next_expansion: Time,
    next_ranking: Time,
    pub(crate) slots: u16,
    /// Slots kept for joiners by the tracker's word.
    holds: Vec<holds::Held>,
    pub(crate) clock: SourceClock,
    pub(crate) playout: Option<Playout>,
    repair: Repair,
    pub(crate) counters: Counters,
    /// Mean bytes of a chunk frame, for slot counts.
    mean_frame: f64,
    first_chunk_seen: bool,
    /// When this node came to the stream.
    began: Time,
    /// Since when chunks have come without a pause of the encoder; `None` during one.
    flowing_since: Option<Time>,
    /// It has flowed and stopped at least once.
    has_paused: bool,
    /// When each periodic duty is due.
    next_tick: Time,
    next_improvement: Time,
    next_repair_scan: Time,
    /// What the last adverts said that matters at once.
    advertised: Option<advert::News>,
    /// Since when a donor knows that nothing follows.
    over_since: Option<Time>,
    pub(crate) ended: bool,
}

/// How often a stream looks at itself.
const TICK: Duration = Duration::from_millis(50);

/// Periodic duties wait so long for something else to wake the node up: a wake-up costs more than most of them, and chunks
/// come every few milliseconds.
const DUTY_PATIENCE: Duration = Duration::from_millis(10);

impl Stream {
    fn new(id: StreamId, role: Role, verifier: Verifier, via: Vec<SocketAddr>, now: Time) -> Self {
        Stream {
            id,
            role,
            verifier,
            info: None,
            session: Seq(0),
            source: None,
            tracking: None,
            standby: None,
            membership: Membership::new(via, now),
            peers: PeerMap::new(),
            window: Window::new(Seq(0)),
            live_from: Seq(0),
            begin_at: Seq(0),
            settled_from: None,
            subs: Vec::new(),
            from_source: SubstreamSet::EMPTY,
            left_source_at: Time::ZERO,
            primaries: SubstreamSet::EMPTY,
            extra_primaries: 0,
            next_expansion: now + supply::EXPAND_EVERY,
            next_ranking: now,
            slots: 0,
            holds: Vec::new(),
            clock: SourceClock::default(),
            playout: None,
            repair: Repair::default(),
            counters: Counters::default(),
            mean_frame: 0.0,
            first_chunk_seen: false,
            began: now,
            flowing_since: None,
            has_paused: false,
            next_tick: now,
            next_improvement: now,
            next_repair_scan: now,
            advertised: None,
            over_since: None,
            ended: false,
        }
    }

    /// K, zero while the description is not known.
    pub(crate) fn k(&self) -> u8 {
        self.subs.len() as u8
    }

    /// The newest chunk known to exist.
    pub(crate) fn head(&self) -> Seq {
        Seq(self.window.end().0.saturating_sub(1))
    }

    pub(crate) fn chunk_duration(&self) -> Duration {
        self.info
            .as_ref()
            .map_or(Duration::from_millis(8), |(info, _)| info.chunk_duration())
    }

    /// The time between two chunks: as described, or longer where a stream's rate is so low that chunks wait until they are worth
    /// a packet.
    pub(super) fn spacing(&self) -> Duration {
        self.chunk_duration().max(self.repair.spacing())
    }

    /// The time between two chunks of one substream.
    fn period(&self) -> Duration {
        self.spacing() * u32::from(self.k().max(1))
    }

    pub(crate) fn sub(&self, substream: Substream) -> Option<&SubstreamState> {
        self.subs.get(usize::from(substream.0))
    }

    fn sub_mut(&mut self, substream: Substream) -> Option<&mut SubstreamState> {
        self.subs.get_mut(usize::from(substream.0))
    }

    /// The substreams that come from a supplier; at the peercaster all.
    fn flowing(&self) -> SubstreamSet {
        if self.source.is_some() {
            return SubstreamSet::all(self.k());
        }
        self.subs_that(SubstreamState::flows)
    }

    /// The substreams of which something is true.
    fn subs_that(&self, is: impl Fn(&SubstreamState) -> bool) -> SubstreamSet {
        let set = self.subs.iter().enumerate().filter(|(_, sub)| is(sub));
        set.map(|(s, _)| Substream(s as u8)).collect()
    }

    /// Copies in use, displaced children not counted.
    pub(crate) fn slots_used(&self) -> u16 {
        self.subs.iter().map(SubstreamState::staying).sum()
    }

    /// Children of a substream that are to stay.
    fn children_of(&self, substream: Substream) -> u16 {
        self.sub(substream).map_or(0, SubstreamState::staying)
    }

    pub(crate) fn free_slots(&self) -> u16 {
        self.slots.saturating_sub(self.slots_used() + self.slots_held())
    }

    /// How late the slowest substream comes by its supplier, most of its jitter included; this node's clock minus the
    /// peercaster's. `None` while none is measured.
    fn slowest_us(&self) -> Option<i64> {
        self.subs
            .iter()
            .filter(|sub| sub.parent.is_some() && sub.delay_samples > 0)
            .map(|sub| (sub.delay_us + JITTER_DEVIATIONS * sub.delay_dev_us) as i64)
            .max()
            .map(|us| us.saturating_add(if self.is_disturbed() { DISTURBED_US } else { 0 }))
    }

    /// Whether supply that once was complete is not now: what is missing has to be fetched, and that takes longer.
    fn is_disturbed(&self) -> bool {
        self.settled_from.is_some()
            && self.wanted().iter().any(|s| {
                self.sub(s)
                    .is_some_and(|sub| sub.parent.is_none() || !sub.attached)
            })
    }

    /// The time a chunk with this number was generated, estimated from its neighbours in number.
    fn generated_at(&self, seq: Seq) -> Option<Time> {
        if let Some(chunk) = self.window.get(seq) {
            return Some(chunk.header().generated_at);
        }
        let (near, at) = self.repair.anchor?;
        let us = self.spacing().as_micros() as i64;
        let distance = seq.0.wrapping_sub(near.0) as i64;
        Some(at.offset_by(distance.saturating_mul(us)))
    }

    /// When this stream wants [`Stream::handle_deadline`] even if nothing happens before.
    pub(crate) fn next_deadline(&self) -> Time {
        let playout = self
            .playout
            .as_ref()
            .and_then(Playout::next_deadline)
            .unwrap_or(Time::NEVER);
        playout.min(self.next_duty() + DUTY_PATIENCE)
    }

    /// When the next periodic duty is due, to be done with whatever happens then.
    fn next_duty(&self) -> Time {
        if self.wants_repair() {
            self.next_tick.min(self.next_repair_scan)
        } else {
            self.next_tick
        }
    }

    /// Whether a periodic duty is due.
    pub(crate) fn has_duty(&self, now: Time) -> bool {
        self.next_duty() <= now
    }

    /// Does what is due.
    pub(crate) fn handle_deadline(&mut self, ctx: &mut Ctx<'_>) {
        self.play(ctx);
        self.do_duties(ctx);
    }

    /// Does the periodic duties that are due.
    pub(crate) fn do_duties(&mut self, ctx: &mut Ctx<'_>) {
        if self.wants_repair() && self.next_repair_scan <= ctx.now {
            self.repair_scan(ctx);
        }
        if self.next_tick <= ctx.now {
            self.next_tick = ctx.now + TICK;
            self.tick(ctx);
        }
    }

    fn tick(&mut self, ctx: &mut Ctx<'_>) {
        self.membership_tick(ctx);
        if self.info.is_none() {
            return;
        }
        self.count_slots(ctx);
        self.end_holds(ctx.now);
        self.end_displaced(ctx);
        self.evict_gone(ctx);
        self.rank_children(ctx);
        self.expand_primaries(ctx);
        self.watch_parents(ctx);
        self.seek_parents(ctx);
        self.pass_paths_on(ctx);
        if self.next_improvement <= ctx.now {
            let early = ctx.now.since(self.began) < parents::EARLY;
            let every = if early {
                parents::IMPROVE_EVERY_EARLY
            } else {
                parents::IMPROVE_EVERY
            };
            self.next_improvement = ctx.now + every;
            self.improve_one(ctx);
            self.spend(ctx);
        }
        self.advert_tick(ctx);
        self.end_carrying(ctx);
        let slowest = self.slowest_us();
        if let Some(playout) = &mut self.playout {
            playout.expect_delays_below(slowest);
        }
        self.trim();
    }

    /// Lets go of chunks that nobody will ask for.
    fn trim(&mut self) {
        let chunk_us = self.chunk_duration().as_micros().max(1) as u64;
        let keep = KEEP.as_micros() as u64 / chunk_us;
        let mut keep_from = Seq(self.window.end().0.saturating_sub(keep));
        if let Some(playout) = &self.playout {
            keep_from = keep_from.min(playout.point().unwrap_or(keep_from));
        }
        // A joiner starts with the newest key frame, however old it is, as far as the window's own bounds allow.
        if let Some(point) = self.window.newest_random_access() {
            keep_from = keep_from.min(point);
        }
        self.window.trim(keep_from);
    }
}

/// Mean deviations within which nearly all chunks of one supplier come.
const JITTER_DEVIATIONS: f64 = 4.0;

/// What chunks may be later than usual that are fetched because their supplier is gone: noticing that, asking, being declined
/// by those who are gone, too, and asking again.
const DISTURBED_US: i64 = 400_000;

/// How long chunks are kept for repair and for joiners: longer than any playout buffer, and two groups of pictures of
/// the usual second.
const KEEP: Duration = Duration::from_millis(2_500);
