//! Chunks that did not come by themselves: when to ask for one, and whom.

use std::cell::{LazyCell, OnceCell};
use std::time::Duration;

use incentives::Offence;
use wire::message::{DontHave, MAX_REQUESTS, Request};
use wire::{PeerId, Seq, Time};

use super::holders::{Holder, MAX_OPEN, Open, Requests, Wanted, ask_best, holders};
use super::seats::SMALL_SWARM;
use super::{Ctx, Stream};
use crate::io::Class;
use crate::neighbour::Neighbours;
use crate::uplink::Copy;

/// Holes are looked for this often.
const SCAN_EVERY: Duration = Duration::from_millis(20);

/// A chunk is missed this long after it was expected, and four deviations more: the transport repairs a lost packet by
/// itself within about a round trip, and asking earlier brings most chunks twice.
const MISSED_AFTER_US: f64 = 60_000.0;
const MISSED_DEVIATIONS: f64 = 4.0;

/// A chunk that playout waits for is missed this much after its supplier usually has it here, even if that one's delays
/// vary much. With less, chunks that are only a little late are asked for (simulated with PlanetLab delays, 48 seeds).
const LATE_US: f64 = 30_000.0;

/// What an answer takes beside a round trip: a scan, and a place in a queue.
const ANSWER_TAKES: Duration = Duration::from_millis(20);

/// Share of the stream's rate that may be asked for one by one.
const REPAIR_SHARE: f64 = 0.15;

/// Chunks that may be asked for at once after quiet times: half a second of the stream, so that a supplier's crash is
/// bridged.
const BURST_SECONDS: f64 = 0.5;

/// Requests granted to a joiner for each chunk of the past: some are refused and asked again elsewhere.
const GRANT: f64 = 1.5;

/// A supplier whose uplink queue is longer cannot help in time.
const BUSY: Duration = Duration::from_millis(60);

/// The same for a joiner's wishes, which wait behind everything else.
const BUSY_WITH_PAST: Duration = Duration::from_millis(250);

/// How long a new supplier takes to send what it holds: a round trip and a share of its uplink.
const NEW_SUPPLIER: Duration = Duration::from_millis(300);

/// A peer that could not help is left alone for this long: about what its queue takes to empty.
const BUSY_PAUSE: Duration = Duration::from_millis(60);

/// Beyond the round trip, an answer may take this long.
const ANSWER_SLACK: Duration = Duration::from_millis(60);

/// Most different peers asked for one chunk.
const MAX_TRIES: u8 = 6;

/// So many requests in a row without a word, twice what may be open at a time, are no accident of one moment.
const UNANSWERED: u16 = 2 * MAX_OPEN;

/// After so many without a word a peer is not asked for anything for a while, nor taken as a supplier before it has spoken:
/// after a mass exit half of all neighbours are gone, and nobody knows which.
pub(super) const SILENT: u16 = 3;
const SILENT_PAUSE: Duration = Duration::from_millis(1_000);

/// A chunk to be asked for.
pub(super) struct Missing {
    seq: Seq,
    /// Time until it is due; `None` before playout has begun.
    slack: Option<Duration>,
    /// Whether its substream had no supplier when it was made: then asking for it is not counted against the allowance.
    free: bool,
}

/// The state of repair.
#[derive(Debug, Default)]
pub(super) struct Repair {
    open: Requests,
    tokens: f64,
    refilled: Option<Time>,
    /// The newest chunk seen and when it was generated: from here the times of missing ones are estimated.
    pub(super) anchor: Option<(Seq, Time)>,
    /// The mean time between two chunks, in microseconds, zero while none was measured; and of how many, up to [`SPACING_OVER`].
    spacing_us: f64,
    spaced: f64,
    /// The usual round trip as it was last asked for, and what it followed from.
    round_trip: Option<(Trips, Duration)>,
}

/// Changes of the peers of the stream, and of the neighbours.
type Trips = (u64, (u64, u64));

/// The mean goes over about so many chunks: two seconds of a stream of 0.1 Mbit/s, and a group of pictures of the usual rates.
const SPACING_OVER: f64 = 32.0;

/// No longer time between chunks is believed, microseconds: a pause is no slow stream.
const SPACING_MAX_US: f64 = 250_000.0;

impl Repair {
    pub(super) fn observe(&mut self, seq: Seq, generated_at: Time) {
        if self.anchor.is_none_or(|(newest, _)| seq > newest) {
            if let Some((newest, at)) = self.anchor {
                let chunks = newest.behind(seq) as f64;
                let passed_us = generated_at.signed_micros_since(at).max(0) as f64;
                self.spaced = (self.spaced + chunks).min(SPACING_OVER);
                let gain = (chunks / self.spaced).min(1.0);
                self.spacing_us += gain * ((passed_us / chunks).min(SPACING_MAX_US) - self.spacing_us);
            }
            self.anchor = Some((seq, generated_at));
        }
    }

    /// The mean time between two chunks; zero before there were two.
    pub(super) fn spacing(&self) -> Duration {
        Duration::from_micros(self.spacing_us as u64)
    }

    /// Chunks are asked of a peer along with its first packet; those that somebody is being asked for are taken out.
    pub(super) fn ask_of(&mut self, to: PeerId, seqs: &mut Vec<Seq>, until: Time) {
        seqs.retain(|&seq| self.open.get(seq).is_none());
        for &seq in &*seqs {
            self.tokens -= 1.0;
            self.open.insert(Open {
                seq,
                to,
                until,
                tries: 1,
                hedged: false,
                closed: false,
                paid: true,
            });
        }
    }

    /// Until when the answer of whoever is being asked for a chunk is waited for.
    #[cfg(test)]
    pub(super) fn asked_until(&self, seq: Seq) -> Option<Time> {
        self.open.get(seq).map(|open| open.until)
    }

    /// The stream begins anew, at the rate that it had.
    pub(super) fn reset(&mut self) {
        *self = Repair {
            spacing_us: self.spacing_us,
            spaced: self.spaced,
            tokens: self.tokens,
            refilled: self.refilled,
            ..Repair::default()
        };
    }

    /// A joiner may ask for this many chunks of the past beside its usual share.
    pub(super) fn grant(&mut self, chunks: u64) {
        self.tokens += chunks as f64 * GRANT;
    }

    fn refill(&mut self, now: Time, chunks_per_second: f64) {
        let passed = self.refilled.map_or(10.0, |at| now.since(at).as_secs_f64());
        self.refilled = Some(now);
        let burst = (chunks_per_second * BURST_SECONDS).max(8.0);
        let refilled = (self.tokens + passed * chunks_per_second * REPAIR_SHARE).min(burst);
        self.tokens = self.tokens.max(refilled);
    }
}

impl Stream {
    /// Whether there is anything to look for.
    pub(super) fn wants_repair(&self) -> bool {
        self.source.is_none() && !self.window.is_empty() && self.k() > 0
    }

    /// A chunk came, by whatever way: nobody else needs to be asked.
    pub(super) fn answered(&mut self, seq: Seq) {
        let open = self.repair.open.remove(seq);
        if let Some(state) = open.and_then(|open| self.peers.get_mut(&open.to)) {
            state.refusals = 0;
        }
    }

    /// Notes the requests whose time is over: a peer that leaves many without a word does not keep its promises.
    fn note_unanswered(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now;
        let mut silent = Vec::new();
        self.repair.open.run_out(ctx.now, |to| {
            let Some(state) = self.peers.get_mut(&to) else {
                return;
            };
            state.unanswered += 1;
            if state.unanswered >= SILENT {
                // Most likely it is gone: the next ones may be asked in vain, too.
                state.busy_until = state.busy_until.max(now + SILENT_PAUSE);
            }
            if state.unanswered >= UNANSWERED {
                state.unanswered = 0;
                silent.push(to);
            }
        });
        for peer in silent {
            ctx.penalise(peer, Offence::NeverSent);
        }
    }

    /// A connection stands, and with it how long an answer to what went with its first packet takes.
    pub(super) fn repair_hasten(&mut self, ctx: &Ctx<'_>, peer: PeerId) {
        if let Some(neighbour) = ctx.neighbours.get(&peer) {
            let until = ctx.now + neighbour.timeout() + ANSWER_SLACK;
            self.repair.open.hasten(peer, until);
        }
    }

    pub(super) fn repair_forget(&mut self, peer: PeerId) {
        self.repair.open.forget(peer);
    }

    /// The first chunk worth asking for: nothing before the playout point is.
    fn repair_from(&self) -> Seq {
        match &self.playout {
            Some(playout) => playout.point().unwrap_or(self.begin_at.max(self.window.base())),
            None => self.live_from.max(self.window.base()),
        }
    }

    /// From where holes are looked for first, and from where after that: playout begins with the newest chunk that a
    /// player can start with as soon as nothing is missing from there on; what is before it may never be shown.
    fn repair_order(&self) -> (Seq, Seq) {
        let from = self.repair_from();
        let begun = self.playout.as_ref().is_none_or(|p| p.point().is_some());
        match self.window.newest_random_access() {
            // Where playout begins was only guessed: nothing before the key frame is shown.
            Some(point) if !begun && point > from && !self.holds_start() => (point, point),
            Some(point) if !begun && point > from => (point, from),
            _ => (from, from),
        }
    }

    /// Whether playout could begin with the first chunk asked for.
    fn holds_start(&self) -> bool {
        let from = self.repair_from();
        self.window.random_access_at(from) == Some(from)
    }

    /// Looks for holes that are overdue and asks for them.
    pub(super) fn repair_scan(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now;
        self.next_repair_scan = now + SCAN_EVERY;
        let chunk_us = self.spacing().as_micros().max(1) as f64;
        self.repair.refill(now, 1e6 / chunk_us);
        let k = self.k();
        let wanted = self.wanted();
        let mut missing: Vec<Missing> = Vec::new();
        let typical_delay_us = LazyCell::new(|| self.typical_delay_us());
        let neighbours = &*ctx.neighbours;
        let trips = (self.peers.changes(), neighbours.changes());
        let known = self.repair.round_trip.filter(|(of, _)| *of == trips);
        let round_trip = known.map_or_else(OnceCell::new, |(_, known)| OnceCell::from(known));
        let usual_trip = || *round_trip.get_or_init(|| self.typical_round_trip(neighbours));
        let (first, then) = self.repair_order();
        let rest = self.window.holes_after(then).take_while(|&(seq, _)| seq < first);
        // When a chunk was generated follows from the last one held before it, which many holes in a row have in common.
        let mut near: Option<(Seq, Time)> = None;
        for (seq, held) in self.window.holes_after(first).chain(rest) {
            let substream = seq.substream(k);
            if !wanted.contains(substream) {
                continue;
            }
            let Some(sub) = self.subs.get(usize::from(substream.0)) else {
                continue;
            };
            let known = near.filter(|&(at, _)| Some(at) == held);
            near = known.or_else(|| {
                let chunk = self.window.get(held?)?;
                Some((chunk.seq(), chunk.header().generated_at))
            });
            let generated = match near {
                Some((at, generated_at)) => {
                    let distance_us = at.behind(seq) as f64 * chunk_us;
                    generated_at.offset_by(distance_us as i64)
                }
                None => match self.generated_at(seq) {
                    Some(at) => at,
                    None => continue,
                },
            };
            let delay = if sub.delay_samples > 0 {
                sub.delay_us
            } else {
                *typical_delay_us
            };
            let deviation = if sub.delay_samples > 0 {
                sub.delay_dev_us
            } else {
                10_000.0
            };
            // A substream without a supplier waits for nobody, nor does a joiner for what is past.
            let past = seq < self.live_from;
            if !past && generated.offset_by(delay as i64) > now {
                // It may yet come as usual: all that follows only adds to that.
                continue;
            }
            let grace = if sub.parent.is_none() || !sub.attached || past {
                0.0
            } else {
                MISSED_AFTER_US + MISSED_DEVIATIONS * deviation
            };
            let mut expected = generated.offset_by((delay + grace) as i64);
            if sub.parent.is_some() && !past {
                // A new supplier sends what it holds by itself.
                expected = expected.max(sub.parent_since + NEW_SUPPLIER);
            }
            let due = self.playout.as_ref().and_then(|p| p.due(generated));
            // Whatever its supplier's habits: a chunk that is late already is asked for while an answer can be in time.
            let late = generated.offset_by((delay + LATE_US) as i64);
            let presses = || late <= now && due.is_some_and(|due| due - usual_trip() - ANSWER_TAKES <= now);
            if !past && expected > now && !presses() {
                continue;
            }
            missing.push(Missing {
                seq,
                slack: due.map(|due| due.since(now)),
                // What no supplier sends is not extra load: pulling it takes the place of the push.
                free: sub.parent.is_none() || generated.offset_by(delay as i64) < sub.parent_since,
            });
            if missing.len() >= MAX_REQUESTS {
                break;
            }
        }
        let trip = round_trip.get().map(|trip| (trips, *trip));
        self.repair.round_trip = trip.or(self.repair.round_trip);
        self.request(ctx, missing);
    }

    fn typical_delay_us(&self) -> f64 {
        let known = self.subs.iter().filter(|sub| sub.delay_samples > 0);
        match known.clone().count() {
            0 => f64::MAX,
            of => known.map(|sub| sub.delay_us).sum::<f64>() / of as f64,
        }
    }

    /// The median of the round trips to the peers of this stream.
    fn typical_round_trip(&self, neighbours: &Neighbours) -> Duration {
        let peers = self.peers.joined(neighbours.map());
        let mut trips: Vec<Duration> = peers.map(|(_, _, neighbour)| neighbour.rtt()).collect();
        let middle = trips.len() / 2;
        if trips.is_empty() {
            return Duration::ZERO;
        }
        *trips.select_nth_unstable(middle).1
    }

    fn request(&mut self, ctx: &mut Ctx<'_>, missing: Vec<Missing>) {
        let now = ctx.now;
        self.note_unanswered(ctx);
        if missing.is_empty() {
            self.repair.open.clear();
            return;
        }
        let mut asks: Vec<(PeerId, Vec<Seq>)> = Vec::new();
        let begun = self.playout.as_ref().is_none_or(|p| p.point().is_some());
        let spare_period_us = (!begun).then(|| self.period().as_micros() as f64);
        let mut candidates: Option<Vec<Holder<'_>>> = None;
        let (spends, id) = (self.spends(ctx), self.id);
        for Missing { seq, slack, free } in missing {
            let substream = seq.substream(self.k());
            if self.repair.tokens < 1.0 && !free {
                continue;
            }
            let (tries, last, hedge) = match self.repair.open.get(seq) {
                None => (0, None, false),
                Some(open) if open.until <= now => (open.tries, Some(open.to), false),
                Some(open) if open.hedged || slack.is_none() => continue,
                Some(open) => {
                    let rtt = ctx.neighbours.get(&open.to).map_or(Duration::ZERO, |n| n.rtt());
                    let short = slack.is_some_and(|slack| slack < rtt.mul_f64(1.5));
                    if !short {
                        continue;
                    }
                    (open.tries, Some(open.to), true)
                }
            };
            if tries >= MAX_TRIES {
                continue;
            }
            let Some(age_us) = self.age_us(seq, now) else {
                continue;
            };
            let wanted = Wanted {
                seq,
                substream,
                parent: self.sub(substream).and_then(|sub| sub.parent),
                age_us,
                not: last,
                spare_period_us,
                of_source: self.membership.members <= SMALL_SWARM,
            };
            let candidates = candidates.get_or_insert_with(|| {
                let open = &self.repair.open;
                let owes = |peer| !spends || ctx.owes(peer, id);
                holders(now, &self.peers, ctx.neighbours, ctx.standings, open, owes)
            });
            let Some(chosen) = ask_best(candidates, &wanted) else {
                continue;
            };
            let peer = chosen.peer;
            let open = Open {
                seq,
                to: peer,
                until: now + chosen.timeout + ANSWER_SLACK,
                tries: tries + 1,
                hedged: hedge,
                closed: false,
                paid: !free,
            };
            self.repair.tokens -= if open.paid { 1.0 } else { 0.0 };
            self.repair.open.insert(open);
            self.counters.repairs_requested += 1;
            match asks.iter_mut().find(|(p, _)| *p == peer) {
                Some((_, seqs)) => seqs.push(seq),
                None => asks.push((peer, vec![seq])),
            }
        }
        let useful = if begun { URGENT_USEFUL } else { PAST_USEFUL };
        let deadline_ms = useful.as_millis() as u16;
        for (peer, seqs) in asks {
            let seqs = seqs.into_iter().collect();
            ctx.send(
                peer,
                Request {
                    stream_tag: self.id.tag(),
                    seqs,
                    deadline_ms,
                },
            );
        }
        // What nobody answered and nobody plays any more.
        let from = self.repair_from();
        self.repair.open.drop_before(from);
    }

    /// How long ago a chunk was generated, in microseconds.
    fn age_us(&self, seq: Seq, now: Time) -> Option<f64> {
        let generated = self.generated_at(seq)?;
        let offset = self.clock.estimate(now)?.offset_us;
        Some(now.offset_by(offset).signed_micros_since(generated) as f64)
    }

    /// A neighbour asks for single chunks.
    pub(crate) fn on_request(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: &Request) {
        let useful = Duration::from_millis(u64::from(message.deadline_ms)).min(PAST_USEFUL);
        let expires = ctx.now + useful;
        // What may take long goes after all that may not.
        let class = if useful > URGENT_USEFUL {
            Class::Bulk
        } else {
            Class::Repair
        };
        // In a crowd the source has no time for anybody but its own children: a flood of requests would hold up the live stream. What
        // joiners want of the past waits behind all that.
        let child = self
            .peers
            .get(&from)
            .is_some_and(|state| !state.supplied.is_empty());
        let small = self
            .tracking
            .as_ref()
            .is_some_and(|tracking| tracking.everybody() <= SMALL_SWARM as usize);
        let allowed = self.contributes() && (self.source.is_none() || child || small || class == Class::Bulk);
        let busy = match class {
            Class::Bulk => BUSY_WITH_PAST,
            // What the peercaster's first tier lacks nobody has.
            _ if self.source.is_some() => BUSY * 4,
            _ => BUSY,
        };
        let turn = self.turn(ctx, from);
        let left = self.left_by_live(ctx, turn);
        let k = self.k().max(1);
        let mut lacking = Vec::new();
        for &seq in &message.seqs {
            let chunk = self.window.get(seq).filter(|_| allowed).cloned();
            let Some(chunk) = chunk.filter(|_| ctx.uplink.backlog_for(class, turn, ctx.now, left) <= busy)
            else {
                lacking.push(seq);
                continue;
            };
            let hops = self
                .sub(seq.substream(k))
                .map_or(0, |sub| sub.hops)
                .saturating_add(1);
            let copy = Copy {
                to: from,
                chunk,
                hops,
                class,
                goes_on: false,
                turn,
                expires,
            };
            if !self.offer_copy(ctx, copy) {
                lacking.push(seq);
            }
        }
        if !lacking.is_empty() {
            let seqs = lacking.into_iter().collect();
            ctx.send(
                from,
                DontHave {
                    stream_tag: self.id.tag(),
                    seqs,
                },
            );
        }
    }

    /// A neighbour cannot help: the next one is asked at once.
    pub(crate) fn on_dont_have(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: &DontHave) {
        for seq in &message.seqs {
            if let Some(open) = self.repair.open.get_mut(*seq)
                && open.to == from
            {
                open.until = ctx.now;
                open.closed = true;
                // It cost a round trip at most, and says nothing about the next peer.
                open.tries = open.tries.saturating_sub(1);
                // Nothing was sent: the next one may be asked for it.
                self.repair.tokens += if open.paid { 1.0 } else { 0.0 };
                open.paid = false;
            }
        }
        if let Some(state) = self.peers.get_mut(&from) {
            // Each refusal in a row doubles the pause.
            state.unanswered = 0;
            state.refusals = (state.refusals + 1).min(4);
            state.busy_until = ctx.now + BUSY_PAUSE * (1 << state.refusals);
        }
        self.next_repair_scan = ctx.now;
    }
}

/// An answer later than this would miss every playout deadline.
const URGENT_USEFUL: Duration = Duration::from_millis(800);

/// A joiner that has not begun to play can use an answer so long: then the next key frame is here.
pub(super) const PAST_USEFUL: Duration = Duration::from_millis(1_200);

#[cfg(test)]
#[path = "repair_tests.rs"]
mod tests;
