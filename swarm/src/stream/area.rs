//! A tracker's area: when it is split and merged, and how its members are handed over.
//!
//! Nobody is dropped. The members' records go to their new tracker first, in small pieces; when that has them, each member is
//! told, and registers there when it likes within two seconds. Until it says that it has, it stays a member here, too.

mod handover;

use std::time::Duration;

use incentives::Offence;
use tracker::{Balance, Need, News};
use wire::message::{Appoint, Appointed, Appointment, MAX_RING_LIST, RingNode, Role};
use wire::{List, PeerId, Signed, Time};

use super::siblings::as_seen;
use super::tracking::{BUSY_TRACKER, Tracking};
use super::{Ctx, Stream};
use crate::io::{Event, Output, TrackingChange};

/// Between two pieces of a hand-over: 4 KB each, so it takes a third of a megabit of the host's uplink.
const PIECE_EVERY: Duration = Duration::from_millis(100);

/// Members told at once, every 50 ms: as much.
const TOLD_AT_ONCE: usize = 8;

/// Whoever is to answer has so long for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// After a merge the host goes on for so long for members who have not moved.
const LINGER: Duration = Duration::from_secs(6);

/// Peers that declined to keep a tracker.
const MAX_UNWILLING: usize = 16;

/// What is being done about an area.
#[derive(Debug, Default)]
enum Change {
    /// Nothing.
    #[default]
    None,
    /// The peercaster is asked to appoint the new host.
    Appointing {
        host: PeerId,
        members: Vec<PeerId>,
        until: Time,
    },
    /// Members are being handed over.
    Handing(Handing),
    /// Members are told, the last ones first.
    Telling {
        to: RingNode,
        paper: Signed<Appointment>,
        left: Vec<PeerId>,
        all: bool,
        until: Time,
    },
}

/// A hand-over under way.
#[derive(Debug)]
struct Handing {
    to: RingNode,
    paper: Signed<Appointment>,
    members: Vec<PeerId>,
    /// How many of them have been handed over.
    done: usize,
    next: Time,
    /// Whether the last piece is sent.
    sent: bool,
    /// The whole area goes, and this node is no tracker then.
    all: bool,
    until: Time,
}

/// An area as its tracker sees it.
#[derive(Debug, Default)]
pub(super) struct Area {
    balance: Balance,
    change: Change,
    pub(super) unwilling: Vec<PeerId>,
}

impl Area {
    /// Who has the members, or most of them, while this node is about to end its tracker.
    pub(super) fn heir(&self) -> Option<RingNode> {
        match &self.change {
            Change::Telling { to, all: true, .. } => Some(to.clone()),
            _ => None,
        }
    }

    /// Whether something is going on with this peer.
    pub(super) fn concerns(&self, peer: PeerId) -> bool {
        match &self.change {
            Change::None => false,
            Change::Appointing { host, .. } => *host == peer,
            Change::Handing(handing) => handing.to.peer == peer,
            Change::Telling { to, .. } => to.peer == peer,
        }
    }

    /// Leaves the area as it is for a while.
    pub(super) fn settle(&mut self, now: Time) {
        self.balance.settle(now);
    }

    /// Somebody does not want to, or cannot, keep a tracker.
    pub(super) fn declined(&mut self, peer: PeerId) {
        if self.unwilling.len() >= MAX_UNWILLING {
            self.unwilling.remove(0);
        }
        self.unwilling.push(peer);
    }
}

impl Stream {
    /// What is to be done about the area's size, and goes on with what is being done.
    pub(super) fn area_tick(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now;
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        match std::mem::take(&mut tracking.area.change) {
            Change::None => {
                let members = tracking.tracker.members();
                let split_above = tracking.tracker.config().split_above;
                let busy = ctx.uplink.control_share(now) > BUSY_TRACKER;
                match tracking.area.balance.look(now, members, split_above, busy) {
                    Some(Need::Split) => self.begin_split(ctx),
                    Some(Need::Merge) if self.source.is_none() => self.begin_merge(ctx, None),
                    _ => {}
                }
            }
            Change::Appointing { host, members, until } if now < until => {
                tracking.area.change = Change::Appointing { host, members, until };
            }
            Change::Appointing { .. } => tracking.area.balance.settle(now),
            Change::Handing(handing) => self.hand_on(ctx, handing),
            Change::Telling {
                to,
                paper,
                left,
                all,
                until,
            } => self.tell_on(ctx, to, paper, left, all, until),
        }
    }

    /// Plans a split and asks for the new host's appointment.
    fn begin_split(&mut self, ctx: &mut Ctx<'_>) {
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        // Whatever comes of it, the next attempt is later.
        tracking.area.balance.settle(ctx.now);
        let avoid = tracking.area.unwilling.clone();
        let Some(split) = tracking.tracker.split(ctx.now, &ctx.coord, &avoid) else {
            return;
        };
        let connected = split.hosts.into_iter().find(|host| ctx.neighbours.contains(host));
        let Some(host) = connected else { return };
        tracking.area.change = Change::Appointing {
            host,
            members: split.members,
            until: ctx.now + PATIENCE,
        };
        self.want_appointed(ctx, host);
    }

    /// Asks for somebody's appointment, or signs it here.
    pub(super) fn want_appointed(&mut self, ctx: &mut Ctx<'_>, peer: PeerId) {
        if let Some(appointment) = self.appoint(ctx.now, peer) {
            return self.use_appointment(ctx, peer, appointment);
        }
        let Some(tracking) = &self.tracking else { return };
        let Some(peercaster) = tracking.peercaster.clone() else {
            return;
        };
        let own = tracking.appointment.clone();
        let stream = self.id;
        if ctx.neighbours.contains(&peercaster.peer) {
            ctx.send(peercaster.peer, Appoint { stream, own, peer });
        } else {
            // It is asked again later.
            self.call(ctx, &peercaster);
        }
    }

    /// A tracker asks this peercaster to appoint somebody.
    pub(crate) fn on_appoint(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: Appoint) {
        if self.source.is_none() {
            return;
        }
        if Appointment::open(&message.own, self.id, from).is_err() {
            return ctx.penalise(from, Offence::WrongSignature);
        }
        if !self
            .source
            .as_mut()
            .is_some_and(|source| source.may_ask(ctx.now, from))
        {
            return;
        }
        if let Some(appointment) = self.appoint(ctx.now, message.peer) {
            let (stream, peer) = (self.id, message.peer);
            let appointed = Appointed {
                stream,
                peer,
                appointment,
            };
            ctx.send(from, appointed);
        }
    }

    /// The peercaster appointed somebody.
    pub(crate) fn on_appointed(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: Appointed) {
        if self.tracking.is_none() {
            return;
        }
        if Appointment::open(&message.appointment, self.id, message.peer).is_err() {
            return ctx.penalise(from, Offence::WrongSignature);
        }
        self.use_appointment(ctx, message.peer, message.appointment);
    }

    fn use_appointment(&mut self, ctx: &mut Ctx<'_>, peer: PeerId, paper: Signed<Appointment>) {
        let now = ctx.now;
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        if let Some(deputy) = tracking.deputy.as_mut().filter(|deputy| deputy.node.peer == peer) {
            deputy.appoint(now, &paper);
        }
        let change = std::mem::take(&mut tracking.area.change);
        tracking.area.change = match change {
            Change::Appointing { host, members, .. } if host == peer => match tracking.tracker.record(host) {
                Some(record) => Change::Handing(Handing {
                    to: RingNode::new(host, &record.coord, record.addrs),
                    paper,
                    members,
                    done: 0,
                    next: now,
                    sent: false,
                    all: false,
                    until: now + PATIENCE,
                }),
                None => Change::None,
            },
            other => other,
        };
    }

    /// The area goes to another tracker as a whole: to this one, or to the nearest with room.
    pub(super) fn begin_merge(&mut self, ctx: &mut Ctx<'_>, into: Option<PeerId>) {
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        if !matches!(tracking.area.change, Change::None) {
            return;
        }
        tracking.area.balance.settle(ctx.now);
        let members = tracking.tracker.members();
        let split_above = tracking.tracker.config().split_above;
        let heir = into.or_else(|| tracking.siblings.heir(&ctx.coord, members, split_above));
        let known = heir.and_then(|peer| Some((tracking.siblings.get(peer)?, tracking.papers.get(&peer)?)));
        let Some((sibling, paper)) = known else { return };
        tracking.area.change = Change::Handing(Handing {
            to: sibling.news.node.clone(),
            paper: paper.clone(),
            members: tracking.tracker.records().map(|record| record.peer).collect(),
            done: 0,
            next: ctx.now,
            sent: false,
            all: true,
            until: ctx.now + PATIENCE,
        });
    }

    /// A member has registered with another tracker.
    pub(crate) fn on_moved(&mut self, now: Time, from: PeerId) {
        if let Some(tracking) = &mut self.tracking {
            tracking.tracker.leave(now, from);
        }
    }

    /// Whether this node can keep a tracker: it is in the stream with what others need to know, and can be reached.
    pub(super) fn can_track(&self, ctx: &Ctx<'_>) -> bool {
        let takes_part = matches!(self.role, Role::Consumer | Role::Donor);
        takes_part && !self.ended && self.info.is_some() && !ctx.config.listen.is_empty()
    }

    pub(super) fn note_tracking(&self, ctx: &mut Ctx<'_>, change: TrackingChange) {
        let stream = self.id;
        ctx.out.push(Output::Event(Event::Tracking { stream, change }));
    }
}

/// The peercaster as the sender says; the sender itself may be it.
pub(super) fn peercaster_seen(ctx: &Ctx<'_>, from: PeerId, node: RingNode) -> RingNode {
    if node.peer == from {
        as_seen(ctx, from, node)
    } else {
        node
    }
}

impl Tracking {
    /// This tracker and its nearest siblings.
    pub(super) fn with_siblings(&self, ctx: &Ctx<'_>) -> List<RingNode, MAX_RING_LIST> {
        let nearest = self.nearest(ctx);
        let all = std::iter::once(self.node(ctx)).chain(nearest);
        all.take(MAX_RING_LIST).collect()
    }

    /// A tracker hands something over and says who it and its siblings are.
    pub(super) fn meet(&mut self, ctx: &Ctx<'_>, from: PeerId, nodes: &[RingNode]) {
        let me = ctx.config.peer;
        let root = self.peercaster.as_ref().map(|node| node.peer);
        if let Some(node) = nodes.iter().find(|node| node.peer == from)
            && self.siblings.get(from).is_none()
        {
            let news = News {
                node: as_seen(ctx, from, node.clone()),
                members: 0,
                short: 0,
            };
            self.siblings.hear(ctx.now, &ctx.coord, root, news);
            self.next_news = ctx.now;
        }
        self.siblings.hear_of(ctx.now, me, nodes);
    }
}
