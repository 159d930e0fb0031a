//! Rings that grow, come to rest, and are asked for trackers.

use std::collections::BTreeMap;

use doat::Race;
use rand::RngExt;
use wire::message::RingNode;
use wire::{SecretKey, StreamId};

use super::net::{LookUp, Net};
use super::outcome::OverlayOutcome;
use super::plan::{Partition, RingChurn, RingPlan, RingSpace};
use super::score::{self, LookUps, Quality, Scored};
use crate::driver::Progress;
use crate::time::{SECOND, SimTime, seconds};

/// A tracker renews its lease this often: a third of what it holds for.
const RENEW_NS: u64 = doat::LEASE.as_nanos() as u64 / 3;

/// The first members come at least this far apart, so that there is a ring to come to.
const SLOWEST_JOIN_S: f64 = 0.5;

/// From the registration of trackers to the first look-up, and from the last look-up to the count: a filter passes a level of
/// the ring every 0.2 s, and there are seventeen in the largest.
const SPREAD_NS: u64 = 5 * SECOND;

/// While members come and go, look-ups that were answered are scored this often.
const SCORE_NS: u64 = SECOND / 5;

/// Look-ups are spread over so long.
const ASKED_WITHIN_NS: u64 = 10 * SECOND;

/// Streams that are nowhere, to see how many filters have them all the same.
const ABSENT: usize = 50;

/// Simulates one ring.
pub(super) fn run(
    plan: &RingPlan,
    space: RingSpace,
    seed: u64,
    mut outcome: OverlayOutcome,
    mut progress: impl FnMut(Progress),
) -> OverlayOutcome {
    let mut run = Run {
        plan,
        space,
        net: Net::new(space, seed),
        trackers: Vec::new(),
        siblings: BTreeMap::new(),
        others: Vec::new(),
        renewed: SimTime::START,
        outcome: &mut outcome,
        progress: &mut progress,
    };
    run.grow();
    run.settle();
    run.net.make_liars(plan.liars);
    if let Some(partition) = &plan.partition {
        run.part(partition);
    }
    for (n, &count) in plan.trackers.iter().enumerate() {
        let stream = run.net.stream(stream_key(n as u32));
        run.case(stream, count);
    }
    let ever = run.net.ever();
    outcome.peers += ever;
    outcome
}

/// About how much virtual time a ring takes, for the progress bar.
pub(super) fn expected_s(plan: &RingPlan) -> f64 {
    let growing = (plan.nodes as f64).ln().max(1.0) / plan.growth.ln_1p();
    let parted = plan.partition.as_ref().map_or(0.0, |p| p.for_s + p.heal_s);
    let asked = plan
        .churn
        .as_ref()
        .map_or((ASKED_WITHIN_NS / SECOND) as f64, |churn| churn.length_s);
    let cases = plan.trackers.len() as f64 * (asked + 2.0 * (SPREAD_NS / SECOND) as f64);
    growing + plan.settle_s + parted + cases
}

/// The key of a case's stream.
fn stream_key(n: u32) -> SecretKey {
    let mut secret = [7; 32];
    secret[..4].copy_from_slice(&n.to_le_bytes());
    SecretKey::from_bytes(&secret)
}

/// One ring.
struct Run<'a> {
    plan: &'a RingPlan,
    space: RingSpace,
    net: Net,
    /// Trackers of the stream that is looked for now.
    trackers: Vec<u32>,
    /// Whom each of them names, as of its last lease.
    siblings: BTreeMap<u32, Vec<RingNode>>,
    /// The other streams, and who tracks each.
    others: Vec<(StreamId, u32)>,
    renewed: SimTime,
    outcome: &'a mut OverlayOutcome,
    progress: &'a mut dyn FnMut(Progress),
}

impl Run<'_> {
    /// Lets time pass, and says so.
    fn pass(&mut self, ns: u64) {
        const STEP_NS: u64 = SECOND;
        let end = self.net.now.plus(ns);
        while self.net.now < end {
            let step = end.since(self.net.now).min(STEP_NS);
            self.net.pass(step, self.outcome);
            let of_s = expected_s(self.plan);
            (self.progress)(Progress {
                done_s: self.net.now.as_seconds().min(of_s),
                of_s,
                deliveries: self.outcome.deliveries,
                events: self.outcome.events,
            });
        }
    }

    fn grow(&mut self) {
        while self.net.ever() < self.plan.nodes {
            self.net.add();
            let wait_s = (1.0 / (self.plan.growth * self.net.ever() as f64)).min(SLOWEST_JOIN_S);
            self.pass(seconds(wait_s));
        }
    }

    fn settle(&mut self) {
        for n in 0..self.plan.other_streams {
            // In turn: nobody tracks more streams than a member lets one tracker register.
            let present = self.net.present();
            let tracker = present[n % present.len()];
            let stream = self.net.stream(stream_key(1_000_000 + n as u32));
            self.others.push((stream, tracker));
        }
        self.renew(None);
        let end = self.net.now.plus(seconds(self.plan.settle_s));
        while self.net.now < end {
            self.pass(RENEW_NS.min(end.since(self.net.now)));
            self.renew_if_due(None);
        }
    }

    /// Cuts the ring in half, lets it heal, and looks for the trackers of the other streams, wherever they stand: what is lost of
    /// their registrations is not found.
    fn part(&mut self, partition: &Partition) {
        for (cut, length_s) in [(true, partition.for_s), (false, partition.heal_s)] {
            self.net.cut_half(cut);
            let end = self.net.now.plus(seconds(length_s));
            while self.net.now < end {
                self.pass(RENEW_NS.min(end.since(self.net.now)));
                self.renew_if_due(None);
            }
        }
        if !self.others.is_empty() {
            self.count(1, |run| run.ask_for_others());
        }
    }

    fn renew_if_due(&mut self, stream: Option<StreamId>) {
        if self.net.now.since(self.renewed) >= RENEW_NS {
            self.renew(stream);
        }
    }

    /// All trackers renew their leases.
    fn renew(&mut self, stream: Option<StreamId>) {
        self.renewed = self.net.now;
        for (stream, tracker) in self.others.clone() {
            self.net.lease(tracker, stream, &[]);
        }
        let Some(stream) = stream else { return };
        self.net.forge_leases(stream);
        for tracker in self.trackers.clone() {
            self.lease(tracker, stream);
        }
    }

    /// A tracker registers, and names siblings. It knows all there are.
    fn lease(&mut self, tracker: u32, stream: StreamId) {
        let Some(me) = self.net.member(tracker).map(doat::Doat::me) else {
            return;
        };
        let known = self.trackers.iter().filter_map(|&other| self.net.member(other));
        let siblings = doat::siblings(me, known.map(doat::Doat::me));
        let siblings: Vec<RingNode> = siblings.into_iter().cloned().collect();
        self.net.lease(tracker, stream, &siblings);
        self.siblings.insert(tracker, siblings);
    }

    fn case(&mut self, stream: StreamId, count: usize) {
        self.trackers.clear();
        self.siblings.clear();
        let honest = self.net.present().len() - self.net.liars.numbers().len();
        while self.trackers.len() < count.min(honest) {
            let any = self.net.draw_honest();
            if !self.trackers.contains(&any) {
                self.trackers.push(any);
            }
        }
        self.renew(Some(stream));
        self.pass(SPREAD_NS);
        self.count(count, |run| match &run.plan.churn {
            None => run.ask_all(stream),
            Some(churn) => run.ask_in_churn(stream, churn),
        });
    }

    /// Asks, and adds what came out to the results.
    fn count(&mut self, trackers: usize, ask: impl FnOnce(&mut Self) -> Vec<Scored>) {
        self.net.sent = super::net::Sent::default();
        self.net.weighs = true;
        self.net.loops = 0;
        let begun = self.net.now;
        let scored = ask(self);
        self.net.weighs = false;
        let node_seconds = self.net.now.since(begun) as f64 / SECOND as f64 * self.net.present().len() as f64;
        let (present, sent) = (self.net.present().len(), self.net.sent);
        let Quality {
            p_nearest,
            stretch,
            extra_ms,
        } = score::quality(&scored, |look_up| look_up.winner_ms);
        let case = LookUps {
            nodes: present,
            space: self.space.name().to_owned(),
            trackers,
            bloom_fp: self.false_positives(),
            queries: scored.len(),
            found: score::share(&scored, |look_up| look_up.found),
            correct: score::share(&scored, |look_up| look_up.winner_ms.is_some()),
            p_nearest,
            stretch,
            extra_ms,
            at_once: score::quality(&scored, |look_up| look_up.at_once_ms),
            probes: score::count(&scored, |look_up| look_up.probes),
            rounds: score::count(&scored, |look_up| look_up.rounds),
            hops: score::hops(&scored),
            loops: self.net.loops,
            messages_per_node_s: sent.messages as f64 / node_seconds,
            updates_per_node_s: sent.updates as f64 / node_seconds,
            bytes_per_node_s: sent.bytes as f64 / node_seconds,
            answered_ms: score::spread(scored.iter().map(|look_up| look_up.answered_ms).collect()),
            lists_wrong: self.lists_wrong(),
        };
        self.outcome.doat.push(case);
    }

    /// Look-ups by random members, spread over some seconds.
    fn ask_all(&mut self, stream: StreamId) -> Vec<Scored> {
        self.ask_each(Some(stream), |_| stream)
    }

    /// The same, each for any of the other streams.
    fn ask_for_others(&mut self) -> Vec<Scored> {
        self.ask_each(None, |run| {
            let any = run.net.rng.random_range(0..run.others.len());
            run.others[any].0
        })
    }

    fn ask_each(&mut self, renewed: Option<StreamId>, what: impl Fn(&mut Self) -> StreamId) -> Vec<Scored> {
        let pause = ASKED_WITHIN_NS / self.plan.queries as u64;
        for _ in 0..self.plan.queries {
            let asker = self.net.draw_idle();
            let stream = what(self);
            self.net.find(asker, stream);
            self.pass(pause);
            self.renew_if_due(renewed);
        }
        self.pass(SPREAD_NS);
        self.score_answered()
    }

    /// The same while members crash and others come.
    fn ask_in_churn(&mut self, stream: StreamId, churn: &RingChurn) -> Vec<Scored> {
        let end = self.net.now.plus(seconds(churn.length_s));
        let crash_every_s = churn.mean_session_s / self.net.present().len() as f64;
        let ask_every = seconds(churn.length_s / self.plan.queries as f64);
        let mut next_crash = self.net.now;
        let mut next_look_up = self.net.now;
        let mut next_score = self.net.now.plus(SCORE_NS);
        let mut takeovers: Vec<(SimTime, Option<StreamId>)> = Vec::new();
        let mut scored = Vec::new();
        while self.net.now < end {
            let now = self.net.now;
            if next_crash <= now {
                let wait_s = -crash_every_s * (1.0 - self.net.rng.random::<f64>()).ln();
                next_crash = now.plus(seconds(wait_s).max(1));
                let gone = self.net.draw();
                self.net.crash(gone);
                self.net.add();
                let due = now.plus(seconds(churn.takeover_s));
                if self.trackers.contains(&gone) {
                    takeovers.push((due, None));
                }
                takeovers.extend(
                    self.others
                        .iter()
                        .filter(|(_, t)| *t == gone)
                        .map(|(s, _)| (due, Some(*s))),
                );
                self.trackers.retain(|&tracker| tracker != gone);
            }
            for (_, other) in takeovers
                .extract_if(.., |(due, _)| *due <= now)
                .collect::<Vec<_>>()
            {
                let heir = self.net.draw();
                match other {
                    None if !self.trackers.contains(&heir) => {
                        self.trackers.push(heir);
                        self.lease(heir, stream);
                    }
                    None => takeovers.push((now, None)),
                    Some(other) => {
                        self.others
                            .iter_mut()
                            .filter(|(s, _)| *s == other)
                            .for_each(|(_, t)| *t = heir);
                        self.net.lease(heir, other, &[]);
                    }
                }
            }
            if next_look_up <= now {
                next_look_up = now.plus(ask_every);
                let asker = self.net.draw_idle();
                if self.net.member(asker).is_some_and(doat::Doat::is_member) {
                    self.net.find(asker, stream);
                }
            }
            if next_score <= now {
                // At once, while those that were there when it was answered still are.
                next_score = now.plus(SCORE_NS);
                scored.extend(self.score_answered());
            }
            let next = next_crash.min(next_look_up).min(next_score).min(end);
            let takeover = takeovers.iter().map(|(due, _)| *due).min().unwrap_or(end);
            self.pass(next.min(takeover).since(now).max(1));
            self.renew_if_due(Some(stream));
        }
        self.pass(SPREAD_NS);
        scored.extend(self.score_answered());
        scored
    }

    /// The look-ups so far, but for those whose asker is gone.
    fn score_answered(&mut self) -> Vec<Scored> {
        let look_ups = self.net.take_look_ups(SPREAD_NS);
        let asked = look_ups.iter().filter(|look_up| self.net.is_there(look_up.asker));
        asked.map(|look_up| self.score(look_up)).collect()
    }

    /// Races the trackers named, as the program does.
    fn score(&self, look_up: &LookUp) -> Scored {
        // Nobody is nearer to itself than a host is to its neighbour in the same building.
        const LEAST_MS: f64 = 0.1;
        let (net, asker) = (&self.net, look_up.asker);
        let other = self.others.iter().find(|(stream, _)| *stream == look_up.stream);
        let trackers: &[u32] = other.map_or(&self.trackers, |(_, tracker)| std::slice::from_ref(tracker));
        let away = |member: u32| match member {
            itself if itself == asker => LEAST_MS,
            other => net.delays.rtt_ms(asker, other).max(LEAST_MS),
        };
        let tracker = |node: &RingNode| {
            let number = net.number_of(&node.peer)?;
            (net.is_there(number) && trackers.contains(&number)).then_some(number)
        };
        let mut race = Race::new(net.delays.estimator(asker)).with_at_once(self.plan.race);
        let named = &look_up.trackers;
        let asker_tracks = named.iter().any(|node| tracker(node) == Some(asker));
        if !asker_tracks {
            named.iter().for_each(|node| race.offer(node));
        }
        let mut at_once_ms = asker_tracks.then_some(LEAST_MS);
        let mut rounds = 0;
        loop {
            let probed = race.choose();
            if probed.is_empty() {
                break;
            }
            rounds += 1;
            for node in &probed {
                let Some(number) = tracker(node) else {
                    race.failed(node.peer);
                    continue;
                };
                race.answered(node.peer, away(number));
                let siblings = self.siblings.get(&number);
                siblings
                    .into_iter()
                    .flatten()
                    .for_each(|sibling| race.offer(sibling));
            }
            if rounds == 1 {
                at_once_ms = race.best().map(|(_, rtt_ms)| rtt_ms);
            }
        }
        let won_ms = race.best().map(|(_, rtt_ms)| rtt_ms);
        Scored {
            found: !named.is_empty(),
            winner_ms: won_ms.or(at_once_ms),
            at_once_ms,
            probes: race.probes(),
            rounds,
            nearest_ms: trackers
                .iter()
                .map(|&tracker| away(tracker))
                .fold(f64::INFINITY, f64::min),
            hops: look_up.hops.clone(),
            answered_ms: look_up.answered.since(look_up.begun) as f64 / 1e6,
        }
    }

    /// Share of all entries that have a stream which is nowhere.
    fn false_positives(&self) -> f64 {
        let absent = (0..ABSENT).map(|n| stream_key(2_000_000 + n as u32).stream_id());
        let absent: Vec<StreamId> = absent.collect();
        let (mut entries, mut wrong) = (0usize, 0usize);
        for member in self
            .net
            .present()
            .iter()
            .filter_map(|&number| self.net.member(number))
        {
            for way in doat::Way::BOTH {
                for &stream in &absent {
                    let (said, of) = member.claims(way, stream);
                    wrong += said;
                    entries += of;
                }
            }
        }
        wrong as f64 / entries.max(1) as f64
    }

    /// Members whose lists do not name their true neighbours.
    fn lists_wrong(&self) -> usize {
        let mut ring: Vec<&doat::Doat> = self
            .net
            .present()
            .iter()
            .filter_map(|&n| self.net.member(n))
            .collect();
        ring.retain(|member| member.is_member());
        ring.sort_by_key(|member| member.ring().me());
        let count = ring.len();
        let wrong = |(at, member): &(usize, &&doat::Doat)| {
            doat::Way::BOTH.into_iter().any(|way| {
                let list = member.ring().list(way);
                let expected = wire::message::MAX_RING_LIST.min(count - 1);
                list.len() != expected
                    || list.iter().enumerate().any(|(n, node)| {
                        let rank = match way {
                            doat::Way::Up => at + n + 1,
                            doat::Way::Down => at + count * 2 - n - 1,
                        };
                        ring[rank % count].me().peer != node.peer
                    })
            })
        };
        ring.iter().enumerate().filter(wrong).count()
    }
}
