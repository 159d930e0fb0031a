//! The race for a tracker: of those that a look-up, a refusal or another tracker named a few are dialled at once, the first that
//! answers is asked, and a clearly nearer one that turns up later takes its place.

use std::time::Duration;

use doat::Race;
use rand::RngExt;
use wire::message::{MAX_EXCEPTED, RingNode, TrackerLease};
use wire::{PeerId, Time};

use super::way_in::DIAL_TIMEOUT;
use super::{Ctx, Stream};

/// A tracker that turns up later is changed to if its round trip is shorter by this...
const NEARER: Duration = Duration::from_millis(3);

/// ...and by this share: a change costs a registration, and what is nearer by less is not worth it.
const NEARER_SHARE: f64 = 0.9;

/// Who was asked first is waited for so long beyond two round trips, before one that is farther is asked instead.
pub(super) const ANSWER_SLACK: Duration = Duration::from_millis(200);

/// Those who are dialled as trackers are waited for so long before others are: the longest round trip between PlanetLab's hosts is half
/// of it, and the transport repeats a lost first packet after 0.3 s.
const RACE_PATIENCE: Duration = Duration::from_millis(1_500);

/// A look-up that is under way is waited for so long before the link's own addresses are dialled again.
pub(super) const LOOK_UP_PATIENCE: Duration = Duration::from_millis(1_500);

/// The tracker is measured against its siblings anew after so long, and twice as long after each such time, up to [`ANEW_MOST`]: by
/// then this node's coordinate says more than a newcomer's, and areas may have been split. Both are our judgement: coordinates come
/// to rest within half a minute, and each time costs three dials or so (docs/results/doat.md, "PlanetLab").
pub(super) const ANEW: Duration = Duration::from_secs(30);
const ANEW_MOST: Duration = Duration::from_secs(600);

/// Most trackers that the overlay is not asked for again: what a question holds, and this node itself.
const MAX_FAILED: usize = MAX_EXCEPTED - 1;

/// What a look-up in the overlay's table came to in one direction.
#[derive(Debug)]
pub(crate) struct Found {
    /// The tracker's word, which the stream's key allows it to give; checked.
    pub(crate) lease: Option<Box<TrackerLease>>,
    /// Both directions have answered.
    pub(crate) over: bool,
}

/// The search for a tracker.
#[derive(Debug)]
pub(super) struct Racing {
    /// Those that were named, and which of them are worth a dial.
    race: Option<Race>,
    /// Dialled, and not heard of yet.
    dialled: Vec<PeerId>,
    /// When the last of them was.
    dialled_at: Time,
    /// Who was asked with the first packet: the likeliest to win of the first who were dialled.
    asked: Option<PeerId>,
    /// Those that did not answer, the last one at the end. Their leases outlast them, so the overlay is asked for others.
    failed: Vec<PeerId>,
    /// When the overlay is to be asked; [`Time::NEVER`] if not at all.
    pub(super) look_up_at: Time,
    /// It was asked, and has not answered.
    pub(super) looking: bool,
    /// When the race is run anew, and how long after that again.
    anew_at: Time,
    anew_wait: Duration,
}

impl Racing {
    pub(super) fn new() -> Self {
        Racing {
            race: None,
            dialled: Vec::new(),
            dialled_at: Time::ZERO,
            asked: None,
            failed: Vec::new(),
            look_up_at: Time::NEVER,
            looking: false,
            anew_at: Time::NEVER,
            anew_wait: ANEW,
        }
    }

    /// A tracker takes part from now on.
    pub(super) fn hear_of(&mut self, ctx: &Ctx<'_>, node: &RingNode) {
        if node.peer != ctx.config.peer && !node.addrs.is_empty() {
            let race = self
                .race
                .get_or_insert_with(|| Race::new(ctx.vivaldi.estimator()));
            race.offer(node);
        }
    }

    /// Whether a connection to this peer is what the race is about.
    pub(super) fn runs(&self, peer: &PeerId) -> bool {
        self.dialled.contains(peer)
    }

    /// A dial failed, or who was dialled is no tracker.
    pub(super) fn drop_out(&mut self, peer: &PeerId) {
        self.fail(*peer);
        self.dialled.retain(|dialled| dialled != peer);
        self.asked = self.asked.filter(|asked| asked != peer);
        if let Some(race) = &mut self.race {
            race.failed(*peer);
        }
    }

    /// Whether this peer has dropped out of this race or one before. It may answer all the same, later than it was waited for.
    pub(super) fn has_failed(&self, peer: &PeerId) -> bool {
        self.failed.contains(peer)
    }

    /// Whoever is dialled and has not been heard of for too long drops out. Whether anybody did.
    fn give_up_dials(&mut self, now: Time) -> bool {
        let over = self.is_on() && now.since(self.dialled_at) >= RACE_PATIENCE;
        if over {
            for peer in std::mem::take(&mut self.dialled) {
                self.drop_out(&peer);
            }
        }
        over
    }

    /// The overlay is asked for others than this one from now on; who failed longest ago is forgotten for it.
    fn fail(&mut self, peer: PeerId) {
        self.failed.retain(|failed| *failed != peer);
        if self.failed.len() >= MAX_FAILED {
            self.failed.remove(0);
        }
        self.failed.push(peer);
    }

    /// Whether this peer was asked to be the tracker when it was dialled.
    pub(super) fn has_asked(&self, peer: &PeerId) -> bool {
        self.asked == Some(*peer)
    }

    /// A connection stands, with this round trip.
    fn arrives(&mut self, peer: &PeerId, rtt: Duration) {
        self.dialled.retain(|dialled| dialled != peer);
        if let Some(race) = &mut self.race {
            race.answered(*peer, rtt.as_secs_f64() * 1000.0);
        }
    }

    /// It is known now how far away one is that may have arrived before.
    fn correct(&mut self, peer: &PeerId, rtt: Duration) {
        if let Some(race) = &mut self.race {
            race.corrected(*peer, rtt.as_secs_f64() * 1000.0);
        }
    }

    /// The nearest of those whose connection stands.
    fn nearest(&self) -> Option<PeerId> {
        let best = self.race.as_ref().and_then(Race::best);
        best.map(|(node, _)| node.peer)
    }

    /// Somebody is being dialled.
    pub(super) fn is_on(&self) -> bool {
        !self.dialled.is_empty()
    }

    /// Nobody was named yet.
    pub(super) fn knows_nobody(&self) -> bool {
        self.race.is_none()
    }

    /// There is a tracker.
    pub(super) fn end(&mut self, ctx: &mut Ctx<'_>) {
        self.failed.clear();
        self.look_up_at = Time::NEVER;
        if self.anew_at == Time::NEVER {
            self.wait_for_anew(ctx);
        }
    }

    fn wait_for_anew(&mut self, ctx: &mut Ctx<'_>) {
        self.anew_at = ctx.now + self.anew_wait.mul_f64(ctx.rng.random_range(0.75..1.25));
        self.anew_wait = (self.anew_wait * 2).min(ANEW_MOST);
    }

    /// Forgets how the race went, if that was long ago: those who lost it by where they seemed to be get another chance.
    fn run_anew(&mut self, ctx: &mut Ctx<'_>) {
        if self.anew_at <= ctx.now && !self.is_on() && !self.looking {
            self.race = None;
            self.wait_for_anew(ctx);
        }
    }
}

impl Stream {
    /// Whether the overlay is to be asked for trackers now; it is taken to be.
    pub(crate) fn take_look_up(&mut self, now: Time) -> bool {
        let racing = &mut self.membership.racing;
        let due = racing.look_up_at <= now && self.source.is_none() && !self.ended;
        if due {
            *racing = Racing {
                failed: std::mem::take(&mut racing.failed),
                looking: true,
                ..Racing::new()
            };
        }
        due
    }

    /// The trackers that a look-up is not for: those that did not answer, and this node, which keeps none but may have until it was
    /// started anew. Their leases last half a minute longer.
    pub(crate) fn not_sought(&self, me: PeerId) -> Vec<PeerId> {
        let failed = self.membership.racing.failed.iter().copied();
        failed.chain(std::iter::once(me)).collect()
    }

    /// A direction of a look-up has answered.
    pub(crate) fn on_found(&mut self, ctx: &mut Ctx<'_>, found: Found) {
        if found.over {
            self.membership.racing.looking = false;
        }
        let Some(lease) = found.lease else {
            return self.look_up_failed(ctx, found.over);
        };
        // Who keeps a tracker itself is near enough to one.
        if lease.stream == self.id && self.source.is_none() && self.tracking.is_none() {
            // The other direction's answer may come when the first one's tracker is there already.
            if self.membership.answered {
                self.enter_present(ctx);
            }
            for node in lease.trackers() {
                self.membership.racing.hear_of(ctx, node);
            }
            self.race(ctx);
        }
    }

    fn look_up_failed(&mut self, ctx: &mut Ctx<'_>, over: bool) {
        if over && self.membership.racing.knows_nobody() {
            // There are no others: one of those that did not answer may be back.
            self.membership.racing.failed.clear();
        }
        if over
            && self.source.is_none()
            && self.membership.tracker.is_none()
            && !self.membership.racing.is_on()
        {
            self.membership.wait_before_dialling(ctx);
        }
    }

    /// Dials those that the race chooses. One that is connected already has arrived.
    pub(super) fn race(&mut self, ctx: &mut Ctx<'_>) {
        loop {
            let chosen = self.membership.racing.race.as_mut().map(Race::choose);
            let chosen = chosen.unwrap_or_default();
            if chosen.is_empty() {
                return;
            }
            for node in chosen {
                self.enter_race(ctx, &node);
            }
        }
    }

    /// Dials a tracker, or takes it at once if it is connected and wins.
    pub(super) fn enter_race(&mut self, ctx: &mut Ctx<'_>, node: &RingNode) {
        // A stranger may name one without an address.
        let reachable = !node.addrs.is_empty() || ctx.neighbours.contains(&node.peer);
        if !reachable || ctx.standings.is_banned(ctx.now, node.peer) {
            return self.membership.racing.drop_out(&node.peer);
        }
        if self.membership.racing.runs(&node.peer) {
            return;
        }
        self.membership.racing.dialled.push(node.peer);
        self.membership.racing.dialled_at = ctx.now;
        if let Some(addr) = ctx.neighbours.get(&node.peer).map(|neighbour| neighbour.addr) {
            if self.wins(ctx, node.peer) {
                self.take_for_tracker(ctx, node.peer, addr, false);
            }
            return;
        }
        let mut opening = Vec::new();
        if self.membership.tracker.is_none() {
            self.membership.next_dial = ctx.now + DIAL_TIMEOUT;
            if !self.membership.answered && self.membership.racing.asked.is_none() {
                // Each that is asked holds slots: one is.
                self.membership.racing.asked = Some(node.peer);
                opening = self.first_words(ctx);
            }
        }
        ctx.dial(Some(node.peer), node.addrs.to_vec(), opening);
    }

    /// A connection stands. Whether it is to one of those that race, and that one is to be the tracker: the first, or a clearly
    /// nearer one later.
    pub(super) fn wins(&mut self, ctx: &Ctx<'_>, peer: PeerId) -> bool {
        let Some(rtt) = ctx.neighbours.get(&peer).map(|neighbour| neighbour.rtt()) else {
            return false;
        };
        if !self.membership.racing.runs(&peer) {
            return false;
        }
        let leader = self.membership.racing.nearest();
        self.membership.racing.arrives(&peer, rtt);
        let Some(tracker) = self.membership.tracker else {
            return true;
        };
        // Who has been asked and has not answered may be none; but whoever comes while a nearer one's answer is on its way is
        // farther.
        if !self.membership.answered && (leader != Some(tracker) || self.is_answer_overdue(ctx, tracker)) {
            return true;
        }
        // A caller is compared when it is known how far away it is.
        !ctx.neighbours.is_unproven(&tracker) && is_nearer(ctx, peer, tracker)
    }

    /// Whether the one that is asked to be the tracker should have answered by now.
    fn is_answer_overdue(&self, ctx: &Ctx<'_>, tracker: PeerId) -> bool {
        let rtt = ctx.neighbours.get(&tracker).map_or(Duration::ZERO, |n| n.rtt());
        let asked = self.membership.asked_at;
        asked.is_none_or(|at| ctx.now.since(at) > 2 * rtt + ANSWER_SLACK)
    }

    /// Nobody has answered yet, and the one that is asked does not in time: the next of those that have arrived is asked.
    pub(super) fn ask_the_next(&mut self, ctx: &mut Ctx<'_>) {
        let racing = &self.membership.racing;
        let Some(tracker) = self.membership.tracker.filter(|_| !self.membership.answered) else {
            return;
        };
        let others = racing.race.as_ref().is_some_and(|race| race.arrived() > 1);
        if others && self.is_answer_overdue(ctx, tracker) {
            self.leave_tracker(ctx, &[]);
        }
    }

    /// As long as nobody has answered, those who are dialled in vain are not waited for until the transport gives up: others may be
    /// nearer than what is left of the user's patience.
    pub(super) fn race_on(&mut self, ctx: &mut Ctx<'_>) {
        if self.membership.answered
            || self.membership.tracker.is_some()
            || !self.membership.racing.give_up_dials(ctx.now)
        {
            return;
        }
        self.race(ctx);
        if !self.membership.racing.is_on() && self.membership.tracker.is_none() {
            self.membership.wait_before_dialling(ctx);
        }
    }

    /// Takes the nearest of those that have arrived and are still connected, if there is one.
    pub(super) fn take_arrived(&mut self, ctx: &mut Ctx<'_>) -> bool {
        while let Some(peer) = self.membership.racing.nearest() {
            if let Some(addr) = ctx.neighbours.get(&peer).map(|neighbour| neighbour.addr) {
                self.take_for_tracker(ctx, peer, addr, false);
                return true;
            }
            self.membership.racing.drop_out(&peer);
        }
        false
    }

    /// The tracker that there is takes part in a race that has not begun, as one that has answered: others are measured by it.
    fn enter_present(&mut self, ctx: &Ctx<'_>) {
        let Some(tracker) = self
            .membership
            .tracker
            .filter(|_| self.membership.racing.knows_nobody())
        else {
            return;
        };
        if let Some(neighbour) = ctx.neighbours.get(&tracker) {
            let (rtt, addrs) = (neighbour.rtt(), std::iter::once(neighbour.addr).collect());
            let node = RingNode::new(tracker, &neighbour.coord, addrs);
            let racing = &mut self.membership.racing;
            racing.hear_of(ctx, &node);
            // It is the only one, so it is chosen.
            let _ = racing.race.as_mut().map(Race::choose);
            racing.arrives(&tracker, rtt);
        }
    }

    /// The tracker has answered, or it is known now how far away it is: one of the siblings that it named may be nearer. Its first
    /// answer names them, a later one those too that have come since; with any they may be worth another race.
    pub(super) fn race_siblings(&mut self, ctx: &mut Ctx<'_>, from: PeerId) {
        let siblings = self.membership.moving.siblings();
        if siblings.is_empty() || self.tracking.is_some() || self.membership.tracker != Some(from) {
            return;
        }
        if ctx.neighbours.is_unproven(&from) {
            // It called, and what they are to be measured by is known with its proof.
            return;
        }
        self.membership.racing.run_anew(ctx);
        self.enter_present(ctx);
        for node in &siblings {
            self.membership.racing.hear_of(ctx, node);
        }
        self.race(ctx);
    }

    /// How far away a peer is, is known now. If it is the tracker, its siblings are measured by it, and so is whoever arrived while
    /// that was not known.
    pub(crate) fn on_proven(&mut self, ctx: &mut Ctx<'_>, peer: PeerId) {
        if let Some(neighbour) = ctx.neighbours.get(&peer) {
            self.membership.racing.correct(&peer, neighbour.rtt());
        }
        self.race_siblings(ctx, peer);
        if self.membership.tracker != Some(peer) {
            return;
        }
        let arrived = self.membership.racing.nearest();
        let arrived = arrived.and_then(|peer| Some((peer, ctx.neighbours.get(&peer)?.addr)));
        if let Some((nearest, addr)) = arrived
            && is_nearer(ctx, nearest, peer)
        {
            self.take_for_tracker(ctx, nearest, addr, false);
        }
    }

    /// Whether this stream has or is about to have anything to do with a peer.
    pub(crate) fn knows(&self, peer: &PeerId) -> bool {
        self.membership.tracker == Some(*peer)
            || self.peers.contains_key(peer)
            || self.membership.racing.runs(peer)
            || self.membership.moving.leads_to(*peer)
            || self.is_overseen(*peer)
            || self.keeps_for(*peer)
    }
}

/// Whether a connected peer is clearly nearer than the tracker that there is.
fn is_nearer(ctx: &Ctx<'_>, peer: PeerId, tracker: PeerId) -> bool {
    let rtt = |peer: &PeerId| ctx.neighbours.get(peer).map_or(Duration::MAX, |n| n.rtt());
    let (new, present) = (rtt(&peer), rtt(&tracker));
    tracker != peer && new.saturating_add(NEARER) < present && new < present.mul_f64(NEARER_SHARE)
}
