//! The tracker's deputy: whoever could go on in its place knows the members, and does when the tracker is gone.

use std::time::Duration;

use incentives::Offence;
use tracker::{Change, Mirror, Replica};
use wire::message::{Appointment, MAX_RING_LIST, ReplicaNews, RingNode, TrackerIs};
use wire::{List, PeerId, Signed, Time};

use super::area::peercaster_seen;
use super::siblings::as_seen;
use super::tracking::Office;
use super::{Ctx, Stream};
use crate::io::TrackingChange;

/// Between two reports to the deputy. What is missing at a take-over are the newcomers of this time, and they look for a
/// tracker themselves.
const REPLICA_EVERY: Duration = Duration::from_secs(2);

/// Messages in one report: a hundred members, 16 KB.
const REPLICA_BURST: usize = 4;

/// A tracker whose connection is lost may come back within so long: then nothing needs to be done. A peercaster that is started
/// again takes about a second.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// An appointment that was asked for is asked for again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Whoever goes on in a tracker's place is there for it to come back for so long, if that is not the peercaster.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(60);

/// The tracker's side.
#[derive(Debug)]
pub(super) struct Deputy {
    pub(super) node: RingNode,
    asked_at: Time,
    appointment: Option<Signed<Appointment>>,
    /// Whether it has been told that it is the deputy.
    told: bool,
    replica: Replica,
}

impl Deputy {
    /// Who it is, once it could take over.
    pub(super) fn ready(&self) -> Option<RingNode> {
        self.told.then(|| self.node.clone())
    }

    pub(super) fn appoint(&mut self, now: Time, paper: &Signed<Appointment>) {
        self.asked_at = now;
        self.appointment.get_or_insert_with(|| paper.clone());
    }

    /// Who it is with its appointment, if it could take over.
    fn in_office(&self) -> Option<(RingNode, Signed<Appointment>)> {
        self.ready().zip(self.appointment.clone())
    }
}

/// The deputy's side: what it would go on with.
#[derive(Debug)]
pub(super) struct Standby {
    /// The tracker, and where to find it.
    of: RingNode,
    appointment: Signed<Appointment>,
    peercaster: Option<RingNode>,
    siblings: Vec<RingNode>,
    mirror: Mirror,
    lost_at: Option<Time>,
}

impl Stream {
    /// Chooses a deputy, tells it the news; and, at a deputy, takes over when the time has come.
    pub(super) fn deputy_tick(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now;
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        if tracking.next_replica > now {
            return;
        }
        tracking.next_replica = now + REPLICA_EVERY;
        let fits = |peer: PeerId, ctx: &Ctx<'_>| {
            ctx.neighbours
                .get(&peer)
                .is_some_and(|neighbour| !neighbour.is_mute(ctx.now))
        };
        let stays = tracking.deputy.as_ref().is_some_and(|deputy| {
            tracking.tracker.is_member(deputy.node.peer) && fits(deputy.node.peer, ctx)
        });
        if !stays {
            let candidates = tracking
                .tracker
                .deputies(now, &ctx.coord, &tracking.area.unwilling);
            let chosen = candidates.into_iter().find(|peer| fits(*peer, ctx));
            let record = chosen.and_then(|peer| tracking.tracker.record(peer));
            tracking.deputy = record.map(|record| Deputy {
                node: RingNode::new(record.peer, &record.coord, record.addrs),
                asked_at: Time::ZERO,
                appointment: None,
                told: false,
                replica: Replica::default(),
            });
        }
        let Some(deputy) = &mut tracking.deputy else {
            return;
        };
        if deputy.appointment.is_none() {
            let peer = deputy.node.peer;
            if deputy.asked_at == Time::ZERO || now.since(deputy.asked_at) >= ASK_AGAIN {
                deputy.asked_at = now;
                self.want_appointed(ctx, peer);
            }
        }
        self.tell_deputy(ctx);
    }

    fn tell_deputy(&mut self, ctx: &mut Ctx<'_>) {
        let stream = self.id;
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        let siblings: List<RingNode, MAX_RING_LIST> = tracking.with_siblings(ctx);
        let peercaster = tracking.peercaster.clone().unwrap_or_else(|| tracking.node(ctx));
        let Some(deputy) = &mut tracking.deputy else {
            return;
        };
        let Some(appointment) = deputy.appointment.clone() else {
            return;
        };
        for _ in 0..REPLICA_BURST {
            let news = deputy.replica.news(&tracking.tracker);
            if news.is_none() && deputy.told {
                return;
            }
            let Change { records, gone } = news.unwrap_or_default();
            let message = ReplicaNews {
                stream,
                appointment: (!deputy.told).then(|| appointment.clone()),
                peercaster: Some(peercaster.clone()),
                siblings: siblings.clone(),
                records: records.into_iter().collect(),
                gone: gone.into_iter().collect(),
            };
            ctx.send(deputy.node.peer, message);
            deputy.told = true;
        }
    }

    /// The tracker tells its deputy what it would have to go on with.
    pub(crate) fn on_replica_news(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: ReplicaNews) {
        if !self.is_my_tracker(from, ctx.now) {
            return self.refuse_tracker(ctx, from);
        }
        if let Some(appointment) = message.appointment {
            if Appointment::open(&appointment, self.id, ctx.config.peer).is_err() {
                return ctx.penalise(from, Offence::WrongSignature);
            }
            let of = message.siblings.iter().find(|node| node.peer == from);
            let Some(of) = of.filter(|_| self.can_track(ctx)).cloned() else {
                return;
            };
            self.standby = Some(Standby {
                of: as_seen(ctx, from, of),
                appointment,
                peercaster: None,
                siblings: Vec::new(),
                mirror: Mirror::default(),
                lost_at: None,
            });
        }
        let Some(standby) = self.standby.as_mut().filter(|standby| standby.of.peer == from) else {
            return;
        };
        standby.peercaster = message.peercaster.map(|node| peercaster_seen(ctx, from, node));
        standby.siblings = message.siblings.to_vec();
        standby.mirror.apply(Change {
            records: message.records.to_vec(),
            gone: message.gone.to_vec(),
        });
    }

    /// At a deputy: whether the tracker is gone for good.
    pub(super) fn standby_tick(&mut self, ctx: &mut Ctx<'_>) {
        let Some(standby) = &mut self.standby else { return };
        let of = standby.of.peer;
        if self.membership.tracker.is_some_and(|tracker| tracker != of) {
            // Registered elsewhere: others know better who is there.
            self.standby = None;
            return;
        }
        if ctx.neighbours.contains(&of) {
            standby.lost_at = None;
            return;
        }
        let lost_at = *standby.lost_at.get_or_insert(ctx.now);
        if ctx.now.since(lost_at) >= GRACE && !self.ended {
            self.take_over(ctx);
        }
    }

    /// Goes on in the tracker's place.
    pub(super) fn take_over(&mut self, ctx: &mut Ctx<'_>) {
        if self.tracking.is_some() {
            return;
        }
        let Some(standby) = self.standby.take() else {
            return;
        };
        let me = ctx.config.peer;
        let own = standby.mirror.records().find(|record| record.peer == me);
        let addrs = own
            .map(|record| record.addrs.to_vec())
            .filter(|addrs| !addrs.is_empty());
        let office = Office {
            appointment: standby.appointment,
            peercaster: standby.peercaster,
            addrs: addrs.unwrap_or_else(|| ctx.config.listen.clone()),
        };
        self.begin_tracking(ctx, office);
        if let Some(tracking) = &mut self.tracking {
            for record in standby.mirror.records() {
                tracking.tracker.take_in(ctx.now, record);
            }
            tracking.siblings.hear_of(ctx.now, me, &standby.siblings);
            tracking.area.settle(ctx.now);
            tracking.acting_for = Some(standby.of);
            tracking.acting_since = ctx.now;
        }
        self.note_tracking(ctx, TrackingChange::TookOver);
    }

    /// Stands in for nobody any more who has been away for too long; the peercaster may always come back.
    pub(super) fn end_acting(&mut self, now: Time) {
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        let peercaster = tracking.peercaster.as_ref().map(|node| node.peer);
        let other = tracking
            .acting_for
            .as_ref()
            .is_some_and(|node| Some(node.peer) != peercaster);
        if other && now.since(tracking.acting_since) > GIVE_BACK_WITHIN {
            tracking.acting_for = None;
        }
    }

    /// This node leaves the stream: what its members are told, who go to its deputy.
    pub(crate) fn heirs_of_members(&self) -> Vec<(PeerId, TrackerIs)> {
        let tracking = self.tracking.as_ref().filter(|_| self.source.is_none());
        let office = tracking.and_then(|tracking| Some((tracking, tracking.deputy.as_ref()?.in_office()?)));
        let Some((tracking, (tracker, appointment))) = office else {
            return Vec::new();
        };
        let message = TrackerIs {
            stream: self.id,
            tracker,
            appointment,
        };
        let siblings = tracking.siblings.peers();
        let all = tracking
            .tracker
            .records()
            .map(|record| record.peer)
            .chain(siblings);
        all.map(|peer| (peer, message.clone())).collect()
    }
}
