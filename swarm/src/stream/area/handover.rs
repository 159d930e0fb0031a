//! The hand-over of an area's members, on both sides.

use incentives::Offence;
use tracker::News;
use wire::message::{Appointment, HandOver, HandedOver, MAX_HANDED, Moved, RingNode, TrackerIs};
use wire::{List, PeerId, Signed, StreamId, Time};

use super::super::tracking::Office;
use super::{Change, Ctx, Handing, LINGER, PATIENCE, PIECE_EVERY, Stream, TOLD_AT_ONCE, peercaster_seen};
use crate::io::TrackingChange;

impl Stream {
    /// Sends the next piece, if it is time.
    pub(super) fn hand_on(&mut self, ctx: &mut Ctx<'_>, mut handing: Handing) {
        let now = ctx.now;
        let stream = self.id;
        let me = ctx.config.peer;
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        let there = ctx.neighbours.contains(&handing.to.peer);
        if !there || (handing.sent && handing.until <= now) {
            tracking.area.declined(handing.to.peer);
            tracking.area.balance.settle(now);
            return;
        }
        if !handing.sent && handing.next <= now {
            let piece = handing.members.iter().skip(handing.done).take(MAX_HANDED);
            let records: List<_, MAX_HANDED> = piece
                .filter(|peer| **peer != me)
                .filter_map(|peer| tracking.tracker.record(*peer))
                .collect();
            handing.done += MAX_HANDED;
            handing.sent = handing.done >= handing.members.len();
            handing.next = now + PIECE_EVERY;
            handing.until = now + PATIENCE;
            let message = HandOver {
                stream,
                appointment: (!handing.all).then(|| handing.paper.clone()),
                peercaster: Some(tracking.peercaster.clone().unwrap_or_else(|| tracking.node(ctx))),
                siblings: tracking.with_siblings(ctx),
                records,
                last: handing.sent,
            };
            ctx.send(handing.to.peer, message);
        }
        tracking.area.change = Change::Handing(handing);
    }

    /// The other side has all pieces, or does not want them.
    pub(crate) fn on_handed_over(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: HandedOver) {
        let now = ctx.now;
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        let change = std::mem::take(&mut tracking.area.change);
        let Change::Handing(handing) = change else {
            tracking.area.change = change;
            return;
        };
        if handing.to.peer != from || !handing.sent {
            tracking.area.change = Change::Handing(handing);
            return;
        }
        tracking.area.balance.settle(now);
        if !message.accepted {
            tracking.area.declined(from);
            return;
        }
        let Handing {
            to,
            paper,
            members,
            all,
            ..
        } = handing;
        if !all {
            let news = News {
                node: to.clone(),
                members: members.len() as u32,
                short: 0,
            };
            tracking.papers.insert(from, paper.clone());
            tracking.siblings.hear(
                now,
                &ctx.coord,
                tracking.peercaster.as_ref().map(|node| node.peer),
                news,
            );
            tracking.next_news = now;
        }
        tracking.area.change = Change::Telling {
            left: members.into_iter().filter(|peer| *peer != from).collect(),
            to,
            paper,
            all,
            until: now + LINGER,
        };
        if !all {
            self.note_tracking(ctx, TrackingChange::Split);
        }
    }

    /// Tells some more members.
    pub(super) fn tell_on(
        &mut self,
        ctx: &mut Ctx<'_>,
        to: RingNode,
        paper: Signed<Appointment>,
        mut left: Vec<PeerId>,
        all: bool,
        until: Time,
    ) {
        let stream = self.id;
        let me = ctx.config.peer;
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        let rest = left.split_off(left.len().saturating_sub(TOLD_AT_ONCE));
        for peer in rest.into_iter().filter(|peer| tracking.tracker.is_member(*peer)) {
            let message = TrackerIs {
                stream,
                tracker: to.clone(),
                appointment: paper.clone(),
            };
            ctx.send(peer, message);
        }
        if !left.is_empty() {
            tracking.area.change = Change::Telling {
                to,
                paper,
                left,
                all,
                until: ctx.now + LINGER,
            };
        } else if all {
            let others = tracking.tracker.records().any(|record| record.peer != me);
            if others && ctx.now < until {
                tracking.area.change = Change::Telling {
                    to,
                    paper,
                    left,
                    all,
                    until,
                };
            } else {
                self.end_tracking(ctx, to, paper);
            }
        } else {
            tracking.area.balance.settle(ctx.now);
        }
    }

    /// This node is no tracker any more: who has its members now is its own tracker.
    fn end_tracking(&mut self, ctx: &mut Ctx<'_>, heir: RingNode, paper: Signed<Appointment>) {
        let Some(tracking) = self.tracking.take() else {
            return;
        };
        let siblings: Vec<PeerId> = tracking.siblings.peers().collect();
        let deputy = tracking.deputy.map(|deputy| deputy.node.peer);
        for peer in siblings.into_iter().chain(deputy) {
            let message = TrackerIs {
                stream: self.id,
                tracker: heir.clone(),
                appointment: paper.clone(),
            };
            ctx.send(peer, message);
        }
        self.end_greeting(ctx);
        self.note_tracking(ctx, TrackingChange::Merged);
        self.membership.tracker = None;
        self.go_to(ctx, &heir);
    }

    /// A tracker hands members over.
    pub(crate) fn on_hand_over(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: HandOver) {
        let stream = self.id;
        if let Some(tracking) = &self.tracking {
            if tracking.siblings.get(from).is_none() {
                return ctx.penalise(from, Offence::Unauthorised);
            }
            if !self.may_take_in(ctx, from) {
                if message.last {
                    decline(ctx, from, stream);
                }
                return;
            }
        } else {
            if !self.is_my_tracker(from, ctx.now) {
                return self.refuse_tracker(ctx, from);
            }
            let Some(appointment) = message.appointment.clone() else {
                return;
            };
            if Appointment::open(&appointment, self.id, ctx.config.peer).is_err() {
                return ctx.penalise(from, Offence::WrongSignature);
            }
            if !self.can_track(ctx) {
                if message.last {
                    decline(ctx, from, stream);
                }
                return;
            }
            let office = Office {
                appointment,
                peercaster: message
                    .peercaster
                    .clone()
                    .map(|node| peercaster_seen(ctx, from, node)),
                addrs: self.seen_addrs(ctx, &message),
            };
            self.begin_tracking(ctx, office);
        }
        self.take_over_members(ctx, from, message);
    }

    /// Whether a whole area may come here: not while this one goes elsewhere. Of two that would go to each other the one with the
    /// smaller id stays.
    fn may_take_in(&mut self, ctx: &Ctx<'_>, from: PeerId) -> bool {
        let Some(tracking) = &mut self.tracking else {
            return false;
        };
        match &tracking.area.change {
            Change::Handing(handing) if handing.all => {
                let stays = handing.to.peer == from && ctx.config.peer < from;
                if stays {
                    tracking.area.change = Change::None;
                }
                stays
            }
            Change::Telling { all, .. } => !all,
            _ => true,
        }
    }

    fn take_over_members(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: HandOver) {
        let (now, stream) = (ctx.now, self.id);
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        for record in &message.records {
            tracking.tracker.take_in(now, record);
        }
        tracking.area.balance.settle(now);
        tracking.meet(ctx, from, &message.siblings);
        if message.last {
            ctx.send(
                from,
                HandedOver {
                    stream,
                    accepted: true,
                },
            );
            ctx.send(from, Moved { stream });
        }
    }

    /// Where this node can be reached, as the tracker that hands over sees it.
    fn seen_addrs(&self, ctx: &Ctx<'_>, message: &HandOver) -> Vec<std::net::SocketAddr> {
        let own = message
            .records
            .iter()
            .find(|record| record.peer == ctx.config.peer);
        match own {
            Some(record) if !record.addrs.is_empty() => record.addrs.to_vec(),
            _ => ctx.config.listen.clone(),
        }
    }
}

fn decline(ctx: &mut Ctx<'_>, to: PeerId, stream: StreamId) {
    ctx.send(
        to,
        HandedOver {
            stream,
            accepted: false,
        },
    );
}
