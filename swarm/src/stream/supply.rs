//! Children: who is let in, who has to make room, who is sent elsewhere.
//!
//! A supplier gives its slots to few substreams (its *primaries*), so that in those it has many children and the trees
//! stay shallow. When it is full, a newcomer that can pass on more than the weakest child takes that child's place and
//! is named to it as its new supplier: strong peers drift to the source.

use std::cmp::Reverse;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use wire::message::{Referral, RefuseReason, Refused, Role, Subscribe, Subscribed};
use wire::{Bitrate, List, PeerId, Substream, SubstreamSet};

use super::leavers::CHILD_SPEAKS;
use super::seats::SMALL_SWARM;
use super::{Child, Ctx, Stream};
use crate::uplink::{Turn, bytes_on_link};

/// Part of the uplink, less what control messages take, that is promised to children. Repairs have the slots that are not taken,
/// and what is no whole slot: three in a hundred at sixteen. With 0.94, a swarm with 1.2 times the capacity that its media needs has
/// fewer slots than it needs (docs/results/swarm.md, "What is promised").
pub(super) const PROMISED: f64 = 0.99;

/// The peercaster promises less: a queue on its uplink is a queue for everybody.
const PROMISED_BY_SOURCE: f64 = 0.85;

/// The same of what control messages leave, where they take more.
const PROMISED_BY_BUSY_SOURCE: f64 = 0.94;

/// Children per primary substream aimed at: measured in a model to give the shallowest trees without making each tree
/// depend on one peer.
const CHILDREN_PER_PRIMARY: u32 = 8;

/// Where so many peers are not there, a donor has room left that nobody can use, while viewers look in vain for the substreams
/// it does not carry: it aims at a quarter of the members as children, and at no fewer than this (`demo`, ten runs each:
/// with 8, 5, 4, 3 children 15, 8, 3, 0 chunks late or missed; with 3 a donor sends each byte it gets less often).
const FEWEST_CHILDREN: u32 = 4;

/// Idle slots are looked at this often: a new substream takes about a second to find its children.
pub(super) const EXPAND_EVERY: Duration = Duration::from_millis(1_000);

/// Slots that only a peer without any supplier gets: a peer with some of its uplink to spare answers repairs soon, and
/// newcomers find a place at once. So nobody moves to where more than 0.88 of the uplink is taken: with 0.83 a crowd fared no better
/// and the trees were 20 ms deeper; with 0.91 twice as many chunks were missed (docs/results/swarm.md).
pub(super) fn reserve(slots: u16) -> u16 {
    slots / 9
}

/// A newcomer is not let in while live copies would wait longer than this for the uplink: it would begin with a substream
/// that is late (docs/results/swarm.md has what it and the room at playout's start did together).
const BOOKED_AHEAD: Duration = Duration::from_millis(40);

/// A child that passes something on is not displaced before this: it could not have shown it yet.
pub(super) const SETTLED: Duration = Duration::from_millis(1_000);

/// The same at the peercaster, where a quarter of all hang on each child, and wait while it looks for another place (`paper-fig5`
/// with 400 + 40 peers and eight times the capacity needed: 913 of 1518 children displaced were the peercaster's own).
const SETTLED_AT_SOURCE: Duration = Duration::from_millis(5_000);

/// The rate assumed until the peercaster has measured it, in bits a second.
const RATE_UNKNOWN: f64 = 4e6;

/// A lag beyond which nothing is gained any more: the yardstick for a child's distance.
const HORIZON: Duration = Duration::from_millis(300);

/// A newcomer must be worth this much more than the child whose place it takes, or the two would take turns.
const WORTH_DISPLACING: f64 = 1.15;

/// The same at the peercaster.
pub(super) const WORTH_DISPLACING_AT_SOURCE: f64 = 1.5;

/// Slots beyond those promised that one whom the tracker has sent may have: its promise and somebody else's request cross. The
/// uplink bears a sixteenth more as long as others have not all begun to take what they were given.
fn beyond(slots: u16) -> u16 {
    slots.saturating_add(4) / 16
}

/// What a child is worth to the swarm: itself and all whom it can pass the substream on to, each the better off the
/// sooner it gets the chunk.
pub(super) fn worth(fanout: u16, way: Duration) -> f64 {
    let ahead = HORIZON.saturating_sub(way).max(HORIZON / 10);
    (f64::from(fanout) + 1.0) * ahead.as_secs_f64()
}

/// How many substreams so many slots are good for, in a swarm of so many members.
pub(super) fn primaries_for(role: Role, slots: u16, members: u32) -> u32 {
    let children = match role {
        Role::Donor => (members / 4).clamp(FEWEST_CHILDREN, CHILDREN_PER_PRIMARY),
        _ => CHILDREN_PER_PRIMARY,
    };
    u32::from(slots).div_ceil(children)
}

/// The `count` substreams with the least supply, chance breaking ties.
pub(super) fn scarcest(supply: &[u16], k: u8, count: u32, rng: &mut ChaCha8Rng) -> SubstreamSet {
    let mut ranked: Vec<(u16, u32, Substream)> = (0..k)
        .map(|s| {
            (
                supply.get(usize::from(s)).copied().unwrap_or(0),
                rng.random(),
                Substream(s),
            )
        })
        .collect();
    ranked.sort();
    ranked
        .into_iter()
        .take(count as usize)
        .map(|(_, _, substream)| substream)
        .collect()
}

/// Who is here for less than this lacks suppliers because it is new.
pub(super) const NEW_HERE: Duration = Duration::from_secs(5);

/// What becomes of a request for one substream.
enum Verdict {
    Accept,
    Displace(PeerId, Substream),
    Refuse(RefuseReason),
}

impl Stream {
    /// Counts how many copies the uplink can send, and how many substreams to concentrate on.
    pub(super) fn count_slots(&mut self, ctx: &mut Ctx<'_>) {
        if self.info.is_none() {
            return;
        }
        if !self.contributes() {
            self.slots = 0;
            self.primaries = SubstreamSet::EMPTY;
            return;
        }
        if self.source.is_some() {
            // What is not promised is for a crowd's messages, too: a child less for each would break whole trees.
            let busy = self.slots_for(ctx.uplink.rate_for_chunks(), PROMISED_BY_BUSY_SOURCE);
            self.slots = busy.min(self.slots_for(ctx.uplink.rate(), PROMISED_BY_SOURCE));
            self.slots -= self.slots_given_up(ctx);
        } else {
            self.slots = self.slots_for(ctx.uplink.rate_for_children(), PROMISED);
            self.shrink_primaries(ctx);
        }
        self.shed_excess(ctx);
    }

    /// Copies of one substream that an uplink can send when this part of it is promised.
    pub(super) fn slots_for(&self, upload: Bitrate, promised: f64) -> u16 {
        let Some((info, _)) = &self.info else { return 0 };
        let rate = if info.rate.as_bps() > 0 {
            info.rate.as_bps() as f64
        } else {
            RATE_UNKNOWN
        };
        let nominal = rate / 8.0 * info.chunk_duration().as_secs_f64();
        let frame = if self.mean_frame > 0.0 {
            self.mean_frame
        } else {
            nominal + wire::CHUNK_HEADER_LEN as f64
        };
        let payload = (frame - wire::CHUNK_HEADER_LEN as f64).max(1.0);
        let on_link = rate * bytes_on_link(frame as usize) as f64 / payload;
        let slots = promised * upload.as_bps() as f64 * f64::from(info.substreams) / on_link;
        slots.min(f64::from(u16::MAX)) as u16
    }

    /// Share of the uplink that the children's live copies leave, control messages as they were of late taken off; the
    /// copies of those whose turn comes later leave theirs.
    pub(super) fn left_by_live(&self, ctx: &Ctx<'_>, turn: Turn) -> f64 {
        let chunks =
            ctx.uplink.rate_for_chunks().as_bps() as f64 / (ctx.uplink.rate().as_bps() as f64).max(1.0);
        let children = self.subs.iter().flat_map(|sub| &sub.children);
        let before = children.filter(|child| child.leaves_at.is_none() && child.turn <= turn);
        let used = before.count() as f64 / f64::from(self.slots.max(1));
        chunks * (1.0 - self.promised() * used)
    }

    /// Part of this node's uplink that is promised to children.
    fn promised(&self) -> f64 {
        if self.source.is_some() {
            PROMISED_BY_SOURCE
        } else {
            PROMISED
        }
    }

    pub(super) fn max_primaries(&self) -> u32 {
        let good_for = primaries_for(self.role, self.slots, self.membership.members);
        (good_for + self.extra_primaries).min(u32::from(self.k()))
    }

    /// A donor most of whose slots lie idle takes one more substream: in a small swarm nobody has eight children for
    /// each, and what the donor does not take it cannot give.
    pub(super) fn expand_primaries(&mut self, ctx: &mut Ctx<'_>) {
        if self.role != Role::Donor || ctx.now < self.next_expansion {
            return;
        }
        self.next_expansion = ctx.now + EXPAND_EVERY;
        let settled = self.orphans().is_empty();
        let free = self.free_slots();
        // A substream that nobody has room in is worth more than a well-filled tree of another.
        let supply = &self.membership.supply;
        let short = (0..self.k())
            .map(Substream)
            .filter(|&s| !self.primaries.contains(s))
            .any(|s| supply.get(usize::from(s.0)) == Some(&0));
        let worth_it = free > self.slots / 3 || (free >= 2 && short);
        if settled && worth_it && self.max_primaries() < u32::from(self.k()) {
            self.extra_primaries += 1;
        }
    }

    /// Gives up primaries beyond the number that the slots are good for, as far as nobody depends on them.
    fn shrink_primaries(&mut self, ctx: &mut Ctx<'_>) {
        while self.primaries.len() > self.max_primaries() {
            let childless = self
                .primaries
                .iter()
                .find(|&s| self.sub(s).is_some_and(|sub| sub.children.is_empty()));
            let Some(substream) = childless else { return };
            self.primaries.remove(substream);
            if self.role == Role::Donor {
                self.stop_taking(ctx, substream);
            }
        }
    }

    /// Further copies of a substream that this node could send: what it is worth to a supplier.
    pub(super) fn fanout(&self, substream: Substream) -> u16 {
        if self.primaries.contains(substream) {
            self.slots / (self.primaries.len().max(1) as u16)
        } else {
            0
        }
    }

    /// The substreams in which a child that passes nothing on holds a place.
    pub(super) fn leaves(&self) -> SubstreamSet {
        let is_leaf = |child: &Child| child.fanout == 0 && child.leaves_at.is_none();
        self.subs_that(|sub| sub.children.iter().any(is_leaf))
    }

    /// More children than slots: the uplink turned out slower. The weakest go.
    fn shed_excess(&mut self, ctx: &mut Ctx<'_>) {
        // The count wavers by one with every control message; nobody is sent away for that.
        let bearable = self.slots.saturating_add((self.slots / 16).max(1));
        if self.slots_used() <= bearable {
            return;
        }
        while self.slots_used() > self.slots {
            // A substream below its share at the source would be given to the next who asks, and be the weakest again.
            let spared = |s: usize| {
                let substream = Substream(s as u8);
                self.source.is_some() && self.children_of(substream) <= self.source_share(substream)
            };
            let weakest = self
                .subs
                .iter()
                .enumerate()
                .filter(|(s, _)| !spared(*s))
                .flat_map(|(s, sub)| sub.children.iter().map(move |child| (s, child)))
                .filter(|(_, child)| child.leaves_at.is_none())
                .min_by_key(|(_, child)| (child.fanout, self.rank(ctx, child.peer)))
                .map(|(s, child)| (Substream(s as u8), child.peer));
            let Some((substream, peer)) = weakest else { return };
            self.displace(ctx, peer, substream, None);
        }
    }

    /// A peer asks for substreams.
    pub(crate) fn on_subscribe(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: &Subscribe) {
        let mut accepted = SubstreamSet::EMPTY;
        let mut fresh = SubstreamSet::EMPTY;
        let mut refused = SubstreamSet::EMPTY;
        let mut why = RefuseReason::Full;
        let wanted = message.substreams.and(SubstreamSet::all(self.k()));
        if message.orphan {
            if ctx
                .neighbours
                .get(&from)
                .is_some_and(|n| ctx.now.since(n.since) > NEW_HERE)
            {
                // It has lost a supplier, and seldom does one alone.
                self.call_roll(ctx);
            }
            self.evict(ctx, CHILD_SPEAKS);
        }
        for substream in wanted.iter() {
            match self.judge(ctx, from, substream, message.fanout, message.orphan) {
                Verdict::Accept => {}
                Verdict::Displace(child, of) => {
                    // There is no place at who passes nothing on.
                    let by = (message.fanout > 0).then_some(from);
                    self.displace(ctx, child, of, by);
                }
                Verdict::Refuse(reason) => {
                    refused.insert(substream);
                    why = reason;
                    continue;
                }
            }
            accepted.insert(substream);
            self.end_hold(from, substream);
            // Who asks twice has got what there was.
            let serves = |child: &Child| child.peer == from && child.leaves_at.is_none();
            if !self
                .sub(substream)
                .is_some_and(|sub| sub.children.iter().any(serves))
            {
                fresh.insert(substream);
            }
            self.adopt(ctx, from, substream, message.fanout);
        }
        if !accepted.is_empty() {
            ctx.send(
                from,
                Subscribed {
                    stream: self.id,
                    substreams: accepted,
                },
            );
            for substream in fresh.iter() {
                self.send_path(ctx, from, substream);
            }
            self.send_past(ctx, from, fresh, message.from);
        }
        if !refused.is_empty() {
            // Everybody asks the peercaster, and its uplink is the one that counts: a plain no must do.
            let instead = if self.source.is_some() {
                List::default()
            } else {
                self.referrals(ctx, from, refused)
            };
            ctx.send(
                from,
                Refused {
                    stream: self.id,
                    substreams: refused,
                    reason: why,
                    instead,
                },
            );
        }
    }

    fn judge(&self, ctx: &Ctx<'_>, from: PeerId, substream: Substream, fanout: u16, orphan: bool) -> Verdict {
        let Some(sub) = self.sub(substream) else {
            return Verdict::Refuse(RefuseReason::NoData);
        };
        if sub
            .children
            .iter()
            .any(|c| c.peer == from && c.leaves_at.is_none())
        {
            return Verdict::Accept;
        }
        let (own, kept) = self.held_for(from, substream);
        if self.source.is_none() {
            // Right after its own handshakes a poor uplink is booked ahead. Who was sent here by the tracker, or by the supplier that
            // let this node in, has nowhere else to go; who looks around has, unless a great crowd does.
            let choice = orphan && !kept && self.membership.members <= SMALL_SWARM;
            if choice && ctx.uplink.backlog(ctx.now) > BOOKED_AHEAD {
                return Verdict::Refuse(RefuseReason::Full);
            }
            if sub.parent == Some(from) || sub.path.contains(&from.tag()) {
                return Verdict::Refuse(RefuseReason::Loop);
            }
            // A leaf may wait below a peer that is only just getting its own supplier: the trees of a crowd that comes at
            // once grow from all ends. But only in a substream that this peer is to pass on, and one that passes on
            // itself needs a supplier with chunks: or newcomers would hang on newcomers, or wait for each other.
            // Whom the tracker sends waits in any case: elsewhere it would have to ask by chance. Two that wait for each other find
            // out by their paths.
            let sought = sub.pending.is_some() || sub.parent.is_some();
            let on_the_way = sought && fanout == 0 && self.primaries.contains(substream)
                || kept && (sought || sub.seat.is_some());
            if !sub.flows() && !on_the_way {
                return Verdict::Refuse(RefuseReason::NoData);
            }
        }
        let used = self.slots_used() + self.slots_held() - own;
        // Where nothing is owed to it a node that gives nothing may lose its place at any time: it is as badly off as without one.
        let urgent = orphan || self.spends_here(ctx, from);
        // Whoever of those who were promised too much comes first has it.
        if kept && self.slots_used() < self.slots.saturating_add(beyond(self.slots)) {
            return Verdict::Accept;
        }
        if self.source.is_some() {
            let here = self.children_of(substream);
            if here + self.kept(substream) < self.source_share(substream) {
                return Verdict::Accept;
            }
        } else if used < self.slots {
            let fits = self.primaries.contains(substream) || self.primaries.len() < self.max_primaries();
            // Outside its primaries a peer helps who has nobody and whom it owes, or when most of its uplink would lie idle.
            let room = used + reserve(self.slots) < self.slots;
            if urgent || (fits && room) || used < self.slots / 2 {
                return Verdict::Accept;
            }
            if fanout == 0 || !self.primaries.contains(substream) {
                return Verdict::Refuse(RefuseReason::Full);
            }
        }
        if fanout == 0 {
            return match urgent.then(|| self.gives_way(ctx, from, substream)).flatten() {
                Some((child, of)) => Verdict::Displace(child, of),
                None => Verdict::Refuse(RefuseReason::Full),
            };
        }
        let way = |peer: PeerId| ctx.neighbours.get(&peer).map_or(Duration::ZERO, |n| n.rtt() / 2);
        let newcomer = worth(fanout, way(from));
        let (settled_after, worth_it) = match self.source {
            Some(_) => (SETTLED_AT_SOURCE, WORTH_DISPLACING_AT_SOURCE),
            None => (SETTLED, WORTH_DISPLACING),
        };
        // Of those worth less than the newcomer the one that passes on least goes, then who has the least rank, then the
        // farthest.
        let weakest = sub
            .children
            .iter()
            .filter(|child| {
                let settled = child.fanout == 0 || ctx.now.since(child.since) >= settled_after;
                child.leaves_at.is_none() && child.peer != from && settled
            })
            .filter(|child| newcomer > worth(child.fanout, way(child.peer)) * worth_it)
            .min_by_key(|child| {
                let rank = self.rank(ctx, child.peer);
                (child.fanout, rank, Reverse(way(child.peer)), child.peer)
            });
        match weakest {
            Some(child) => Verdict::Displace(child.peer, substream),
            None => Verdict::Refuse(RefuseReason::Full),
        }
    }

    fn adopt(&mut self, ctx: &mut Ctx<'_>, peer: PeerId, substream: Substream, fanout: u16) {
        let now = ctx.now;
        if self.source.is_none() && self.primaries.len() < self.max_primaries() {
            self.primaries.insert(substream);
        }
        let turn = self.turn(ctx, peer);
        let Some(sub) = self.sub_mut(substream) else {
            return;
        };
        sub.children.retain(|child| child.peer != peer);
        let at = sub.children.partition_point(|child| child.fanout >= fanout);
        sub.children.insert(
            at,
            Child {
                peer,
                fanout,
                since: now,
                turn,
                leaves_at: None,
            },
        );
        let entry = self.peers.entry(peer).or_default();
        entry.supplied.insert(substream);
        entry.interested = true;
    }

    pub(super) fn referral_to(&self, ctx: &Ctx<'_>, peer: PeerId) -> Option<Referral> {
        let addrs = self.addresses(ctx, peer);
        (!addrs.is_empty()).then(|| Referral {
            peer,
            addrs: addrs.into_iter().collect(),
        })
    }

    /// Whom else to ask: own children that can pass the substreams on, then neighbours that have room.
    pub(super) fn referrals(
        &self,
        ctx: &Ctx<'_>,
        asker: PeerId,
        substreams: SubstreamSet,
    ) -> List<Referral, { wire::message::MAX_REFERRALS }> {
        let mut ranked: Vec<(bool, u16, PeerId)> = Vec::new();
        for (peer, state) in &self.peers {
            if *peer == asker {
                continue;
            }
            let Some((advert, _)) = &state.advert else {
                continue;
            };
            if advert.role == Role::Peercaster {
                continue;
            }
            let child = !state.supplied.and(substreams).is_empty();
            let helps = !advert.primaries.and(substreams).is_empty() || child;
            if advert.free_slots > 0 && helps {
                ranked.push((child, advert.free_slots, *peer));
            }
        }
        ranked.sort_by(|a, b| b.cmp(a));
        ranked
            .into_iter()
            .filter_map(|(_, _, peer)| self.referral_to(ctx, peer))
            .collect()
    }
}

#[cfg(test)]
#[path = "supply_tests.rs"]
mod tests;
