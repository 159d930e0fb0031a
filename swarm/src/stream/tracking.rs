//! The tracker's host: what the peercaster answers to who asks for a way into its stream.

use std::time::Duration;

use incentives::Offence;
use wire::message::{
    Hold, Join, JoinAnswer, JoinRefused, MAX_TRACKERS, PeerRecord, RefuseReason, RingNode, Role,
};
use wire::{List, PeerId, StreamId, Substream, SubstreamSet};

use super::seats::SMALL_SWARM;
use super::supply::{PROMISED, WORTH_DISPLACING_AT_SOURCE, primaries_for, scarcest, worth};
use super::{Ctx, Stream};

/// Share of the peercaster's uplink that tracking may take before it answers only newcomers, and those with less: our
/// judgement.
pub(super) const BUSY_TRACKER: f64 = 0.15;

/// Peers named to a newcomer then, and in a swarm that is not small: enough for a seat in each substream, and no more, because
/// each is 100 bytes here, a promise of 160, and two handshakes of 4 KB (docs/results/swarm.md).
const WANT_IN_A_CROWD: u8 = 10;

impl Stream {
    /// A peer asks this tracker.
    pub(crate) fn on_join(&mut self, ctx: &mut Ctx<'_>, from: PeerId, mut message: Join) {
        let stream = self.id;
        let Some(listen) = ctx.neighbours.get(&from).map(|n| n.listen.clone()) else {
            return;
        };
        if self.source.is_none() {
            let trackers = self.own_tracker(ctx);
            return refuse(ctx, from, stream, RefuseReason::UnknownStream, trackers);
        }
        if message.record.role == Role::Peercaster {
            // There is one, and it does not join.
            return ctx.penalise(from, Offence::Malformed);
        }
        message.record.peer = from;
        message.record.addrs = listen.into_iter().collect();
        if message.known.is_some() && !message.need.is_empty() {
            // It has lost suppliers: whoever else is gone with them should not be named, nor keep a place here.
            self.call_roll(ctx);
        }
        let busy = ctx.uplink.control_share(ctx.now);
        let members = self.source.as_ref().map_or(0, |source| source.tracker.members());
        if members > SMALL_SWARM as usize && message.known.is_none() {
            message.want = message.want.min(WANT_IN_A_CROWD);
        }
        if busy > BUSY_TRACKER {
            // A crowd must not take the peercaster's uplink from the stream: who asks again waits, who is new hears of few.
            message.want = match message.known {
                Some(_) => 0,
                None => message.want.min(WANT_IN_A_CROWD),
            };
        }
        let primaries = self.place_newcomer(ctx, &mut message);
        let own_seats = self.seat_here(&message);
        let host = if !own_seats.is_empty() || self.source_has_room_for(ctx, &message) {
            Some(self.own_record(ctx))
        } else {
            (message.known.is_none() && busy <= BUSY_TRACKER).then(|| for_the_past(self.own_record(ctx)))
        };
        let head = self.head();
        let head_at = self.repair.anchor.map_or(ctx.now, |(_, at)| at);
        let random_access = self.window.newest_random_access();
        let every = self.window.random_access_every();
        let (Some(source), Some((held, info))) = (&mut self.source, &self.info) else {
            return refuse(ctx, from, stream, RefuseReason::UnknownStream, List::default());
        };
        source.tracker.set_source(ctx.coord);
        message.need = message.need.minus(own_seats);
        let answer = match source.tracker.join(ctx.now, from, &message) {
            Ok(answer) => answer,
            Err(reason) => return refuse(ctx, from, stream, reason, List::default()),
        };
        if message.want == 0 {
            // Only a report: the transport's acknowledgement is answer enough.
            return;
        }
        for (record, substreams) in answer.peers.iter().filter(|(_, set)| !set.is_empty()) {
            let hold = Hold {
                stream,
                peer: from,
                substreams: *substreams,
            };
            ctx.send(record.peer, hold);
        }
        let named = host.map(|host| (host, own_seats)).into_iter().chain(answer.peers);
        let (peers, seats): (Vec<_>, Vec<_>) = named.unzip();
        let info = (message.known != Some((held.session, held.revision))).then(|| info.clone());
        let appointment = info.as_ref().map(|_| source.appointment.clone());
        let answer = JoinAnswer {
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
            members: answer.members,
            appointment,
            siblings: List::default(),
            deputy: None,
        };
        self.keep(ctx.now, from, own_seats);
        ctx.send(from, answer);
    }

    /// The tracker that this node is registered with, for who takes this node for one.
    fn own_tracker(&self, ctx: &Ctx<'_>) -> List<RingNode, MAX_TRACKERS> {
        let tracker = self.membership.tracker.filter(|_| self.membership.answered);
        let known = tracker.and_then(|peer| Some((peer, ctx.neighbours.get(&peer)?)));
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
        let Some(source) = &mut self.source else { return };
        for (peer, _) in ctx.neighbours.iter().filter(|(_, n)| n.is_gone(ctx.now)) {
            source.tracker.leave(ctx.now, *peer);
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
        let Some(source) = &self.source else {
            return SubstreamSet::EMPTY;
        };
        let members = u32::try_from(source.tracker.members()).unwrap_or(u32::MAX);
        let count = primaries_for(record.role, record.slots, members);
        record.primaries = scarcest(&source.tracker.supply(), self.k(), count, ctx.rng);
        record.primaries
    }

    /// What the source can give a newcomer itself: it is connected already, and has the past, too. Only as long as slots are
    /// free; who passes on more takes the place later.
    fn seat_here(&self, join: &Join) -> SubstreamSet {
        let members = self
            .source
            .as_ref()
            .map_or(usize::MAX, |source| source.tracker.members());
        if join.want == 0 || members >= usize::from(self.slots / u16::from(self.k().max(1))) * 4 {
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
